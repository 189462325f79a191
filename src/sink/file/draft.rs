//! A file in the making: written under a temporary name beside its place, and moved there when it is whole and durable.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Enough that the system calls do not show.
const BUFFER_BYTES: usize = 256 << 10;

const SUFFIX: &str = ".tmp";

/// Hexadecimal digits between a draft's stem and its suffix; random, so that two runs never write the same draft.
const TAG_DIGITS: usize = 16;

/// Removed when it is dropped without having been published.
pub(super) struct Draft {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
    published: bool,
}

impl Draft {
    /// An empty one: `STEM.0123456789abcdef.tmp`.
    pub(super) fn create(directory: &Path, stem: &str) -> io::Result<Self> {
        let tag = RandomState::new().build_hasher().finish();
        let path = directory.join(format!("{stem}.{tag:0width$x}{SUFFIX}", width = TAG_DIGITS));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Draft { path, out: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0, published: false })
    }

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

    /// Makes it durable and moves it to `target`, in the same directory; replaces what is there.
    pub(super) fn publish(mut self, target: &Path) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.path, target)?;
        self.published = true;
        sync_directory_of(target)
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
        if !self.published {
            // If that fails, the next run removes it.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Removes the drafts that runs left which did not end in order.
pub(super) fn remove_leftovers(directory: &Path, stem: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_draft = entry.file_name().to_str().is_some_and(|name| {
            let tag = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
            let tag = tag.and_then(|rest| rest.strip_suffix(SUFFIX)).unwrap_or_default();
            tag.len() == TAG_DIGITS && tag.bytes().all(|b| b.is_ascii_hexdigit())
        });
        if is_draft {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
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
