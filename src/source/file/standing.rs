//! How far a file was read, for people: without opening the source, and without reading the file.

use std::fs;
use std::path::{Path, PathBuf};

use super::follow::Identity;
use super::input::Format;
use super::mark::Mark;
use crate::source::Bookmark;

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It was read to its end when nobody waited for more; it may have grown since.
    pub ended: bool,
    /// Bytes of its file after the offset; unknown of compressed files that have not ended or have changed, and of files that
    /// are not where they were. A last line without an end is among them.
    pub behind_bytes: Option<u64>,
}

/// Where the partition `name` stands, of a source whose paths are relative to `base`.
pub fn standing(name: &str, bookmark: &Bookmark, base: &Path) -> Standing {
    let mark = Mark::parse(bookmark).ok().flatten();
    let ended = mark.as_ref().is_some_and(|mark| mark.ended);
    Standing { ended, behind_bytes: behind_bytes(name, bookmark.offset, mark.as_ref(), base) }
}

fn behind_bytes(name: &str, offset: u64, mark: Option<&Mark>, base: &Path) -> Option<u64> {
    let path = path_of(name, base);
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    if Format::of(&path) == Format::Plain {
        let known = mark.and_then(|mark| mark.id);
        let is_the_same = known.is_none_or(|known| known == Identity::of(&metadata));
        return metadata.len().checked_sub(offset).filter(|_| is_the_same);
    }
    // Offsets count decompressed bytes.
    let read = mark.and_then(|mark| mark.disk.as_ref())?;
    (read.size_bytes() == metadata.len()).then_some(0)
}

/// `app.log#2` is the second file that `app.log` led to, unless there is a file of that name.
fn path_of(name: &str, base: &Path) -> PathBuf {
    let path = base.join(name);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match name.rsplit_once('#') {
        Some((plain, number)) if is_number(number) && !path.exists() => base.join(plain),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(base: &Path, name: &str, offset: u64, mark: &str) -> Standing {
        standing(name, &Bookmark { offset, mark: mark.to_owned() }, base)
    }

    #[test]
    fn what_follows_the_offset_of_a_plain_file_is_behind() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.ndjson"), "0123456789").unwrap();
        assert_eq!(behind(dir.path(), "a.ndjson", 0, ""), Standing { ended: false, behind_bytes: Some(10) });
        let ended = r#"{"head":"","tail":"","ended":true}"#;
        assert_eq!(behind(dir.path(), "a.ndjson", 7, ended), Standing { ended: true, behind_bytes: Some(3) });
        assert_eq!(behind(dir.path(), "a.ndjson", 11, "").behind_bytes, None, "it was cut");
        assert_eq!(behind(dir.path(), "b.ndjson", 1, "").behind_bytes, None, "it is gone");
        assert_eq!(behind(dir.path(), "a.ndjson#2", 4, "").behind_bytes, Some(6));
        let other = r#"{"head":"","tail":"","id":{"dev":0,"ino":0,"born_ns":0}}"#;
        assert_eq!(behind(dir.path(), "a.ndjson", 1, other).behind_bytes, None, "another file has its path");
    }

    #[test]
    fn of_a_compressed_file_only_its_end_is_known() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.gz"), "0123456789").unwrap();
        let mark =
            |size: u64| format!(r#"{{"head":"","tail":"","ended":true,"disk":{{"size_bytes":{size},"ends":""}}}}"#);
        assert_eq!(behind(dir.path(), "a.gz", 99, &mark(10)), Standing { ended: true, behind_bytes: Some(0) });
        assert_eq!(behind(dir.path(), "a.gz", 99, &mark(9)).behind_bytes, None, "it has changed");
        assert_eq!(behind(dir.path(), "a.gz", 5, "").behind_bytes, None);
    }
}
