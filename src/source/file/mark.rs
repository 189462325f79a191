//! What a bookmark remembers of a file: by what it is known again, and by what a change is noticed.
//!
//! The mark of a bookmark at `offset` is a JSON object:
//!
//! | field | what |
//! |---|---|
//! | `head` | xxh3-64, in hex, of the first 4 KiB, or of as much as there is before the offset |
//! | `tail` | the same of the last 4 KiB before the offset |
//! | `ended` | whether the file was read to its end, and nobody waited for more |
//! | `id` | device, inode and time of birth in ns, of a plain file: it is known by them when it is renamed |
//! | `disk` | size and a hash of a compressed file that has ended: it need not be decompressed to see that it is unchanged |
//!
//! Hashes are over decompressed bytes, like offsets: what stands before the offset must be decompressed anyway to go on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use memchr::memrchr;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::follow::Identity;
use crate::source::Bookmark;

/// How much is hashed at either end.
const HASHED_BYTES: usize = 4 << 10;

/// A mark, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) head: String,
    pub(super) tail: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) disk: Option<Disk>,
}

/// A compressed file as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disk {
    size_bytes: u64,
    ends: String,
}

impl Mark {
    /// The mark of a bookmark; `None` if it has none, as at the beginning.
    pub(super) fn parse(bookmark: &Bookmark) -> Result<Option<Mark>, String> {
        if bookmark.mark.is_empty() {
            return Ok(None);
        }
        let parsed = serde_json::from_str(&bookmark.mark);
        parsed.map(Some).map_err(|e| format!("the mark of its bookmark can not be parsed: {e}"))
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a mark has nothing in it that JSON does not have")
    }

    /// Why the bytes of a trace, up to the offset of the mark, are not those of the mark.
    pub(super) fn difference(&self, trace: &Trace, offset: u64) -> Option<String> {
        let bytes = offset.min(HASHED_BYTES as u64);
        if trace.head_hash(offset) != self.head {
            return Some(format!("its first {bytes} bytes are others"));
        }
        (trace.tail_hash() != self.tail).then(|| format!("the last {bytes} bytes before the offset are others"))
    }
}

impl Disk {
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let size_bytes = file.metadata()?.len();
        let trace = Trace::of_file(file, size_bytes)?.unwrap_or_default();
        let ends = hex(xxh3_64(&[trace.head.as_slice(), trace.tail.as_slice()].concat()));
        Ok(Disk { size_bytes, ends })
    }
}

/// The bytes at both ends of what was read.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The first bytes.
    head: Vec<u8>,
    /// The last bytes that were read.
    recent: Vec<u8>,
    /// The last bytes before the start of the unfinished line: before the offset to go on from.
    tail: Vec<u8>,
}

impl Trace {
    /// Of the first `offset` bytes of a plain file; `None` if it has not so many. Moves the file's position.
    pub(super) fn of_file(file: &mut File, offset: u64) -> io::Result<Option<Self>> {
        let bytes = offset.min(HASHED_BYTES as u64);
        let mut piece = |from: u64| {
            file.seek(SeekFrom::Start(from))?;
            let mut piece = Vec::with_capacity(bytes as usize);
            (&mut *file).take(bytes).read_to_end(&mut piece)?;
            Ok::<_, io::Error>(piece)
        };
        let (head, tail) = (piece(0)?, piece(offset - bytes)?);
        let is_whole = (head.len() as u64, tail.len() as u64) == (bytes, bytes);
        Ok(is_whole.then(|| Trace { head, recent: tail.clone(), tail }))
    }

    /// Takes in bytes that were read, in which lines may end.
    pub(super) fn read(&mut self, piece: &[u8]) {
        if let Some(newline) = memrchr(b'\n', piece) {
            let (before, after) = piece.split_at(newline + 1);
            self.skip(before);
            self.finish();
            self.skip(after);
        } else {
            self.skip(piece);
        }
    }

    /// Takes in bytes that were passed over.
    pub(super) fn skip(&mut self, piece: &[u8]) {
        let missing = HASHED_BYTES - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(missing)]);
        let kept = HASHED_BYTES.saturating_sub(piece.len()).min(self.recent.len());
        self.recent.drain(..self.recent.len() - kept);
        self.recent.extend_from_slice(&piece[piece.len().saturating_sub(HASHED_BYTES)..]);
    }

    /// Everything that was read stands before the offset.
    pub(super) fn finish(&mut self) {
        self.tail.clone_from(&self.recent);
    }

    /// The last byte before the offset.
    pub(super) fn last(&self) -> Option<u8> {
        self.tail.last().copied()
    }

    pub(super) fn head_hash(&self, offset: u64) -> String {
        hex(xxh3_64(&self.head[..self.head.len().min(usize::try_from(offset).unwrap_or(usize::MAX))]))
    }

    pub(super) fn tail_hash(&self) -> String {
        hex(xxh3_64(&self.tail))
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_trace_is_that_of_the_whole_however_it_was_read(
            lines in prop::collection::vec(0..3000usize, 1..12), cuts in prop::collection::vec(1..5000usize, 1..40),
        ) {
            let mut content: Vec<u8> = Vec::new();
            for (n, length) in lines.iter().enumerate() {
                content.extend((0..*length).map(|at| b'a' + ((at * 7 + n) % 23) as u8));
                content.push(b'\n');
            }
            content.pop();
            let (mut trace, mut rest) = (Trace::default(), &content[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                trace.read(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let offset = memrchr(b'\n', &content).map_or(0, |at| at + 1);
            prop_assert_eq!(&trace.head, &content[..content.len().min(HASHED_BYTES)]);
            prop_assert_eq!(&trace.tail, &content[offset.saturating_sub(HASHED_BYTES)..offset]);
            trace.finish();
            prop_assert_eq!(&trace.tail, &content[content.len().saturating_sub(HASHED_BYTES)..]);
        }
    }

    #[test]
    fn a_mark_is_compact_json() {
        let mark = Mark { head: hex(1), tail: hex(2), ..Mark::default() };
        assert_eq!(mark.to_json(), r#"{"head":"0000000000000001","tail":"0000000000000002"}"#);
        let bookmark = |mark: &str| Bookmark { offset: 1, mark: mark.to_owned() };
        assert_eq!(Mark::parse(&bookmark(&mark.to_json())), Ok(Some(mark)));
        assert_eq!(Mark::parse(&bookmark("")), Ok(None));
        assert!(Mark::parse(&bookmark("{}")).unwrap_err().starts_with("the mark of its bookmark can not be parsed"));
    }
}
