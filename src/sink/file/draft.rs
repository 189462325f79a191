//! Files in the making: written in a directory of the run's own, and moved to their place when they are whole and durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::sink::identity::random_id;

/// Enough that the system calls do not show.
const BUFFER_BYTES: usize = 256 << 10;

const SUFFIX: &str = ".tmp";

/// Hexadecimal digits between a workshop's stem and its suffix; random, so that no two runs have the same.
const TAG_DIGITS: usize = 16;

/// The directory of a run's drafts, beside what they become: `STEM.0123456789abcdef.tmp`. It shows whose turn it is: a run
/// that opens the store takes those of all others away, and without it a run can make no draft and publish none.
///
/// Dropped after the drafts in it.
pub(super) struct Workshop {
    path: PathBuf,
    drafts: u64,
}

impl Workshop {
    /// Makes one, and ends all others: left by runs that did not end in order, or of a run that does not know yet that its
    /// time is over. What those had not published when this returns they never will.
    pub(super) fn open(directory: &Path, stem: &str) -> io::Result<Self> {
        let path = directory.join(format!("{stem}.{}{SUFFIX}", random_id()));
        fs::create_dir(&path)?;
        let workshop = Workshop { path, drafts: 0 };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.path() != workshop.path && entry.file_name().to_str().is_some_and(|name| is_of(stem, name)) {
                // Moved first: at once all of it is out of reach.
                let taken = workshop.path.join("taken");
                match fs::rename(entry.path(), &taken) {
                    Ok(()) if fs::symlink_metadata(&taken)?.is_dir() => fs::remove_dir_all(&taken)?,
                    Ok(()) => fs::remove_file(&taken)?,
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(workshop)
    }

    /// An empty draft.
    pub(super) fn draft(&mut self) -> io::Result<Draft> {
        self.drafts += 1;
        let path = self.path.join(self.drafts.to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Draft { path, out: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0 })
    }

    /// Whether another run has opened the store since. Not so if the store's whole directory is gone.
    pub(super) fn is_taken_over(&self) -> bool {
        !self.path.exists() && directory_of(&self.path).exists()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // Of this name, there is none but ours. If that fails, the next run removes it.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn is_of(stem: &str, name: &str) -> bool {
    let tag = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
    let tag = tag.and_then(|rest| rest.strip_suffix(SUFFIX)).unwrap_or_default();
    tag.len() == TAG_DIGITS && tag.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Removed when it is dropped without having been published.
pub(super) struct Draft {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl Draft {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Forgets everything from `bytes` on.
    pub(super) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().set_len(bytes)?;
        self.out.seek(SeekFrom::Start(bytes))?;
        self.bytes = bytes;
        Ok(())
    }

    /// Copies everything from `bytes` on to the end of `to`.
    pub(super) fn copy(&mut self, bytes: u64, to: &mut impl Write) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(bytes))?;
        let length = self.bytes - bytes;
        let copied = io::copy(&mut self.out.get_ref().take(length), to)?;
        self.out.seek(SeekFrom::End(0))?;
        if copied < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Makes it durable and moves it to `target`, on the same file system; fails if something is there.
    pub(super) fn publish(mut self, target: &Path) -> io::Result<()> {
        self.sync()?;
        match fs::hard_link(&self.path, target) {
            // Not all file systems have links. The workshop alone then keeps other runs away.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) && !target.exists() => {
                fs::rename(&self.path, target)?;
            }
            result => result?,
        }
        sync_directory_of(target)
    }

    /// Makes it durable and moves it to `target`, on the same file system; replaces what is there.
    pub(super) fn replace(mut self, target: &Path) -> io::Result<()> {
        self.sync()?;
        fs::rename(&self.path, target)?;
        sync_directory_of(target)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there if it was moved. If this fails, its workshop goes with all that is in it.
        drop(fs::remove_file(&self.path));
    }
}

/// Makes it durable that a file is, or is no longer, in its directory.
#[cfg(unix)]
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Elsewhere a directory can not be synced by itself.
#[cfg(not(unix))]
pub(super) fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
