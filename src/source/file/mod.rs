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
//! - Followed files are known by identity, see `follow.rs`. A file that is cut and has grown past its old size between two
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
use self::paths::Paths;
use self::reader::Reader;
use super::{Bookmark, Known, PartitionReader, Source, SourceError};

mod follow;
mod input;
mod lines;
mod paths;
mod reader;
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
    followed: Option<Followed>,
}

struct Followed {
    watch: Arc<Watch>,
    identity: Identity,
    /// Opened when it was found: it may have been renamed until it is read.
    file: Mutex<Option<File>>,
}

/// Opens the files that `paths`, globs relative to `base`, match. Records longer than `max_record_bytes` (at most 1 GiB) are
/// reported as oversized. With `follow` the source goes on as files grow and appear.
///
/// # Errors
/// If a pattern can not be parsed, or a directory or file can not be looked at. Without `follow`: if a pattern matches nothing.
pub fn open(paths: &[String], base: &Path, follow: bool, max_record_bytes: u64) -> Result<FileSource, SourceError> {
    let mut source = FileSource {
        paths: Paths::new(paths, base)?,
        follow,
        max_record_bytes,
        quiet: follow::QUIET,
        places: Places::default(),
        partitions: HashMap::new(),
        known: HashSet::new(),
        pending: Vec::new(),
    };
    source.look()?;
    Ok(source)
}

impl FileSource {
    /// Registers what was not there at the last look.
    fn look(&mut self) -> Result<(), SourceError> {
        let mut followed = Vec::new();
        for path in self.paths.files(!self.follow)? {
            if self.follow && Format::of(&path) == Format::Plain {
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {
                        followed.push((path, Identity::of(&metadata)));
                        continue;
                    }
                    Ok(_) => {}
                    // Renamed since it was listed.
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(source) => return Err(SourceError::Io { action: "open", path, source }),
                }
            }
            if self.known.insert(path.clone()) {
                self.register(path, None);
            }
        }
        let mut failed = None;
        for new in self.places.look(followed) {
            match open_same(&new.path, new.identity) {
                Ok(Some(file)) => {
                    let NewFile { path, identity, watch } = new;
                    self.register(path, Some(Followed { watch, identity, file: Mutex::new(Some(file)) }));
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

    /// Gives the file a name of its own: `app.log`, then `app.log#2` for the next file at that path.
    fn register(&mut self, path: PathBuf, followed: Option<Followed>) {
        let plain = self.paths.name(&path);
        let numbered = (2..).map(|n: u32| format!("{plain}#{n}"));
        let name = std::iter::once(plain.clone())
            .chain(numbered)
            .find(|name| !self.partitions.contains_key(name))
            .expect("there are enough numbers");
        self.pending.push(name.clone());
        self.partitions.insert(name, Partition { path, followed });
    }
}

impl Source for FileSource {
    fn restore(&mut self, _known: &[Known], _skip_lost: bool) -> Result<(), SourceError> {
        Ok(())
    }

    fn adopt(&mut self, _partition: &str) -> Result<(), SourceError> {
        self.look()
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
        let offset = from.offset;
        let found = self.partitions.get(partition);
        let path = found.map_or_else(|| PathBuf::from(partition), |p| p.path.clone());
        let failed = |action, source| SourceError::Io { action, path: path.clone(), source };
        let changed = |reason| SourceError::Changed { path: path.clone(), offset, reason };
        let found = found.ok_or_else(|| failed("open", ErrorKind::NotFound.into()))?;

        let file = match &found.followed {
            Some(followed) => followed.open(&path).map_err(|e| failed("open", e))?,
            None => Some(File::open(&path).map_err(|e| failed("open", e))?),
        };
        let file = file.ok_or_else(|| changed("another file has its path now".to_owned()))?;
        let metadata = file.metadata().map_err(|e| failed("open", e))?;
        let format = Format::of(&path);
        if format == Format::Plain && metadata.is_file() && metadata.len() < offset {
            return Err(changed(format!("it has {} bytes, and was read up to byte {offset}", metadata.len())));
        }
        let input = Input::open(file, format, offset).map_err(|e| match format {
            Format::Plain => failed("read", e),
            _ => failed("decompress", e),
        })?;
        let input = input.ok_or_else(|| changed(format!("its content ends before offset {offset}")))?;
        let following = found.followed.as_ref().map(|f| Following::new(f.watch.clone(), metadata.len(), self.quiet));
        let lines = Lines::new(offset, self.max_record_bytes);
        Ok(Box::new(Reader::new(path, format, input, lines, &metadata, following)))
    }
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
