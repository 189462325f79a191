//! Lines of JSON in files: a partition a file, a record a line, the byte position of the line its offset.
//!
//! ```text
//!  paths ──▶ which files match            │ discovery
//!  follow ─▶ which of them are new        │
//!                   │ partition
//!                   ▼
//!  input ──▶ bytes, decompressed ──▶ lines ──▶ RawBatch      │ reader, a thread a partition
//! ```
//!
//! - Offsets count decompressed bytes. Compressed files (`.gz`, `.zst`) are read to their end and cannot be followed.
//! - Lines of white space are no records; a carriage return before the line feed and a byte order mark at the start of the
//!   file are no part of one. What stands after the last line feed is a record, unless the file may still grow.
//! - Of a record beyond the limit the first 4 KiB are kept; memory is bounded by the limit and the batch size.
//! - A bookmark remembers what the file was, see `mark.rs`: one that is shorter or has other content is refused. One that
//!   was read to its end is read on if it has grown. If its last line had no end, it was taken as a record: if that line
//!   goes on, the file is refused, because a part of the line was a record before.
//! - A partition that is gone is refused, unless it was read to its end, or `paths` do not name it any more.
//! - Followed files are known by identity, see `follow.rs`, and found again after a restart, see `restore.rs`. A file that is cut and has grown past its old size between two
//!   looks can not be told from one that only grew: rotate by renaming.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::follow::{Following, Identity, NewFile, Places, Watch};
use self::input::{Format, Input};
use self::lines::Lines;
use self::mark::{Disk, Mark, Trace};
use self::marks::{Marks, Over};
use self::paths::Paths;
use self::reader::Reader;
use self::restore::{Found, Wanted};
pub use self::standing::{Standing, standing};
use super::{Bookmark, Known, PartitionReader, Source, SourceError};

mod follow;
mod input;
mod lines;
mod mark;
mod marks;
mod paths;
mod reader;
mod restore;
mod standing;
#[cfg(test)]
mod tests;

/// Files as a source.
pub struct FileSource {
    paths: Paths,
    follow: bool,
    max_record_bytes: u64,
    /// How long a file that was rotated away must be quiet.
    quiet: Duration,
    places: Places,
    partitions: HashMap<String, Partition>,
    known: HashSet<PathBuf>,
    /// Names that were not reported yet.
    pending: Vec<String>,
}

struct Partition {
    path: PathBuf,
    at: Place,
}

/// Where a file that can be followed lies, and which it is.
type Followable = (PathBuf, Identity);

enum Place {
    /// The path alone says which file it is.
    Path,
    Followed(Followed),
    /// There is nothing to read any more. `lost` says that there should have been.
    Gone {
        lost: bool,
    },
}

struct Followed {
    watch: Arc<Watch>,
    identity: Identity,
    /// Opened when it was found: it may have been renamed until it is read.
    file: Mutex<Option<File>>,
}

/// The files that `paths`, globs relative to `base`, match. They are looked for when the source is asked for them. Records longer than `max_record_bytes` (at most 1 GiB) are
/// reported as oversized. With `follow` the source goes on as files grow and appear.
///
/// # Errors
/// If a pattern can not be parsed.
pub fn open(paths: &[String], base: &Path, follow: bool, max_record_bytes: u64) -> Result<FileSource, SourceError> {
    Ok(FileSource {
        paths: Paths::new(paths, base)?,
        follow,
        max_record_bytes,
        quiet: follow::QUIET,
        places: Places::default(),
        partitions: HashMap::new(),
        known: HashSet::new(),
        pending: Vec::new(),
    })
}

impl FileSource {
    /// The files that are there now: those that are known by their path, and those that are followed.
    fn present(&self) -> Result<(Vec<PathBuf>, Vec<Followable>), SourceError> {
        let (mut by_path, mut followed) = (Vec::new(), Vec::new());
        for path in self.paths.files(!self.follow, &self.known)? {
            if self.may_follow(&path) {
                match identity_at(&path) {
                    Ok(Some(identity)) => {
                        followed.push((path, identity));
                        continue;
                    }
                    Ok(None) => {}
                    // Renamed since it was listed.
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(source) => return Err(SourceError::Io { action: "open", path, source }),
                }
            }
            by_path.push(path);
        }
        Ok((by_path, followed))
    }

    fn may_follow(&self, path: &Path) -> bool {
        self.follow && Format::of(path) == Format::Plain
    }

    /// Registers what was not there at the last look.
    fn look(&mut self) -> Result<(), SourceError> {
        let (by_path, followed) = self.present()?;
        for path in by_path {
            if self.known.insert(path.clone()) {
                let name = self.free_name(&path);
                self.register(name, path, Place::Path);
            }
        }
        self.look_at(followed, None)
    }

    /// Registers followed files that were not there at the last look; if there is an `adopted` one, only that: its name and
    /// its path.
    fn look_at(
        &mut self,
        followed: Vec<(PathBuf, Identity)>,
        adopted: Option<(&str, &Path)>,
    ) -> Result<(), SourceError> {
        let ours = |path: &Path| adopted.is_none_or(|(_, adopted)| adopted == path);
        let mut failed = None;
        for new in self.places.look(followed, ours) {
            match open_same(&new.path, new.identity) {
                Ok(Some(file)) => {
                    let NewFile { path, identity, watch } = new;
                    let name = adopted.map_or_else(|| self.free_name(&path), |(name, _)| name.to_owned());
                    self.register(
                        name,
                        path,
                        Place::Followed(Followed { watch, identity, file: Mutex::new(Some(file)) }),
                    );
                }
                Ok(None) => self.places.forget(&new),
                Err(source) => {
                    self.places.forget(&new);
                    failed.get_or_insert(SourceError::Io { action: "open", path: new.path, source });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// A name of its own for the file: `app.log`, then `app.log#2` for the next file at that path.
    fn free_name(&self, path: &Path) -> String {
        let plain = self.paths.name(path);
        let numbered = (2..).map(|n: u32| format!("{plain}#{n}"));
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        names.find(|name| !self.partitions.contains_key(name)).expect("there are enough numbers")
    }

    fn register(&mut self, name: String, path: PathBuf, at: Place) {
        self.pending.push(name.clone());
        self.partitions.insert(name, Partition { path, at });
    }

    /// The path of a name, without the number that may have been added to it.
    fn path_of(&self, name: &str, is_known: impl Fn(&str) -> bool) -> PathBuf {
        let path = self.paths.path(name);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match name.rsplit_once('#') {
            Some((plain, number)) if is_number(number) && is_known(plain) && !path.exists() => self.paths.path(plain),
            _ => path,
        }
    }

    /// Finds what earlier runs followed.
    fn restore_followed(&mut self, wanted: Vec<Wanted<'_>>, skip_lost: bool) -> Result<(), SourceError> {
        let (_, present) = self.present()?;
        let found = restore::find(&wanted, &present)?;
        for (wanted, found) in wanted.into_iter().zip(found) {
            let Some(Found { path, identity, is_reachable }) = found else {
                let at = self.gone(wanted.known, &wanted.path, wanted.mark.as_ref(), skip_lost)?;
                self.partitions.insert(wanted.known.name.clone(), Partition { path: wanted.path, at });
                continue;
            };
            let file = open_same(&path, identity);
            let file = file.map_err(|source| SourceError::Io { action: "open", path: path.clone(), source })?;
            let watch = self.places.restore(&path, identity, is_reachable);
            let at = Place::Followed(Followed { watch, identity, file: Mutex::new(file) });
            self.partitions.insert(wanted.known.name.clone(), Partition { path, at });
        }
        Ok(())
    }

    /// The place of a partition without a file, if there may be such.
    fn gone(&self, known: &Known, path: &Path, mark: Option<&Mark>, skip_lost: bool) -> Result<Place, SourceError> {
        let Known { name, bookmark } = known;
        if mark.is_some_and(|mark| mark.ended) || !self.paths.match_path(path) {
            return Ok(Place::Gone { lost: false });
        }
        if mark.is_none() && bookmark.offset == 0 {
            tracing::warn!("partition {name:?} is gone before anything of it was read");
            return Ok(Place::Gone { lost: true });
        }
        if skip_lost {
            tracing::warn!("partition {name:?} is gone; what followed offset {} of it is lost", bookmark.offset);
            return Ok(Place::Gone { lost: true });
        }
        let reason = match fs::metadata(path) {
            Ok(metadata) => format!("{path:?} is another file now, of {} bytes", metadata.len()),
            Err(_) => format!("there is no {path:?}"),
        };
        Err(SourceError::Lost { partition: name.clone(), offset: bookmark.offset, reason })
    }
}

impl Source for FileSource {
    fn restore(&mut self, known: &[Known], skip_lost: bool) -> Result<(), SourceError> {
        let names: HashSet<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let mut wanted = Vec::new();
        for partition in known {
            let Known { name, bookmark } = partition;
            let path =
                if self.follow { self.path_of(name, |plain| names.contains(plain)) } else { self.paths.path(name) };
            let changed = |reason| SourceError::Changed { path: path.clone(), offset: bookmark.offset, reason };
            let mark = Mark::parse(bookmark).map_err(changed)?;
            if self.may_follow(&path) && !is_special(&path) {
                wanted.push(Wanted { known: partition, path, mark });
                continue;
            }
            let is_there = self.paths.match_path(&path) && path.exists();
            let at = if is_there { Place::Path } else { self.gone(partition, &path, mark.as_ref(), skip_lost)? };
            self.known.insert(path.clone());
            self.partitions.insert(name.clone(), Partition { path, at });
        }
        if wanted.is_empty() { Ok(()) } else { self.restore_followed(wanted, skip_lost) }
    }

    fn adopt(&mut self, partition: &str) -> Result<(), SourceError> {
        if self.partitions.contains_key(partition) {
            return Ok(());
        }
        let path = match self.follow {
            true => self.path_of(partition, |plain| self.partitions.contains_key(plain)),
            false => self.paths.path(partition),
        };
        let identity = if self.may_follow(&path) { identity_at(&path) } else { path.metadata().map(|_| None) };
        let identity = identity.map_err(|source| SourceError::Io { action: "open", path: path.clone(), source })?;
        if let Some(identity) = identity {
            // Where else the former file at that path may be matters only if there was one.
            let all = self.places.has_moved(&path, identity);
            let followed = if all { self.present()?.1 } else { vec![(path.clone(), identity)] };
            self.look_at(followed, Some((partition, &path)))?;
        } else if self.known.insert(path.clone()) {
            self.register(partition.to_owned(), path.clone(), Place::Path);
        }
        self.pending.clear();
        if self.partitions.contains_key(partition) {
            return Ok(());
        }
        let reason = format!("the file at {path:?} is another partition here");
        Err(SourceError::Adopted { partition: partition.to_owned(), reason })
    }

    fn discover(&mut self) -> Result<Vec<String>, SourceError> {
        // The first look was taken when the source was opened.
        if self.pending.is_empty() {
            self.look()?;
        }
        Ok(std::mem::take(&mut self.pending))
    }

    fn is_unbounded(&self) -> bool {
        self.follow
    }

    fn open(&self, partition: &str, from: &Bookmark) -> Result<Box<dyn PartitionReader>, SourceError> {
        let found = self.partitions.get(partition).ok_or_else(|| {
            let (path, source) = (PathBuf::from(partition), ErrorKind::NotFound.into());
            SourceError::Io { action: "open", path, source }
        })?;
        let path = &found.path;
        let failed = |action| move |source| SourceError::Io { action, path: path.clone(), source };
        let changed = |reason| SourceError::Changed { path: path.clone(), offset: from.offset, reason };
        let mark = Mark::parse(from).map_err(changed)?;

        let file = match &found.at {
            Place::Gone { lost } => return Ok(Box::new(over(from, mark, *lost))),
            Place::Followed(followed) => followed.open(path).map_err(failed("open"))?,
            Place::Path => Some(File::open(path).map_err(failed("open"))?),
        };
        let mut file = file.ok_or_else(|| changed("another file has its path now".to_owned()))?;
        let metadata = file.metadata().map_err(failed("open"))?;
        let format = Format::of(path);
        let disk = mark.as_ref().filter(|mark| mark.ended).and_then(|mark| mark.disk.as_ref());
        if let Some(disk) = disk {
            if Disk::of(&mut file).map_err(failed("read"))? == *disk {
                return Ok(Box::new(over(from, None, false)));
            }
            io::Seek::rewind(&mut file).map_err(failed("read"))?;
        }
        let mut trace = Trace::default();
        if format == Format::Plain && metadata.is_file() {
            let read = Trace::of_file(&mut file, from.offset).map_err(failed("read"))?;
            trace = read.ok_or_else(|| changed(format!("it has {} bytes", metadata.len())))?;
            io::Seek::rewind(&mut file).map_err(failed("read"))?;
        }
        let action = if format == Format::Plain { "read" } else { "decompress" };
        let input = Input::open(file, format, from.offset, &mut trace).map_err(failed(action))?;
        let input = input.ok_or_else(|| changed("its content ends before that".to_owned()))?;
        if let Some(difference) = mark.and_then(|mark| mark.difference(&trace, from.offset)) {
            return Err(changed(difference));
        }
        let following = match &found.at {
            Place::Followed(followed) => Some(Following::new(followed.watch.clone(), metadata.len(), self.quiet)),
            _ => None,
        };
        let identity = (format == Format::Plain && metadata.is_file()).then(|| Identity::of(&metadata));
        let marks = Marks::new(from.offset, trace, identity);
        let lines = Lines::new(from.offset, self.max_record_bytes);
        Ok(Box::new(Reader::new(path.clone(), format, input, lines, &metadata, following, marks)))
    }
}

/// What is left of a partition that has nothing to read. One that was lost has ended from now on.
fn over(from: &Bookmark, mark: Option<Mark>, lost: bool) -> Over {
    let mut bookmark = from.clone();
    if lost {
        bookmark.mark = Mark { ended: true, ..mark.unwrap_or_default() }.to_json();
    }
    Over { bookmark }
}

/// The identity of the regular file at `path`; `None` if it is something else.
fn identity_at(path: &Path) -> io::Result<Option<Identity>> {
    let metadata = fs::metadata(path)?;
    Ok(metadata.is_file().then(|| Identity::of(&metadata)))
}

/// Whether there is something at `path` that is no regular file, such as a pipe: it is not followed.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

impl Followed {
    /// The file, also if it was renamed since it was found; `None` if it was opened before and its path leads elsewhere now.
    fn open(&self, path: &Path) -> io::Result<Option<File>> {
        let held = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        match held {
            Some(file) => Ok(Some(file)),
            None => open_same(path, self.identity),
        }
    }
}

/// The file at `path`, if it is still the one with this identity.
fn open_same(path: &Path, identity: Identity) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let same = Identity::of(&file.metadata()?) == identity;
    Ok(same.then_some(file))
}
