//! Reading a part: its index first, then ranges of blocks, a few MiB at a time.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::block::Block;
use super::frame::{self, BlockEntry, HEADER_BYTES, Unreadable};
use crate::Epoch;
use crate::error::JournalError;
use crate::manifest::PartRef;
use crate::store::Store;

/// What is read from the end of a part at first: the index of some 200 MB of rows fits.
const TAIL_BYTES: u64 = 64 << 10;
/// Blocks are fetched together up to this size.
const REQUEST_BYTES: u64 = 4 << 20;

/// Where a part's bytes are.
enum Body {
    /// All of them, here.
    Memory(Bytes),
    /// In an object, from an offset on.
    Store { store: Store, file: String, offset: u64 },
}

/// A part whose index has been read and checked.
pub struct PartReader {
    /// What errors call it.
    object: String,
    body: Body,
    index: Vec<BlockEntry>,
    rows: u64,
    epochs: (Epoch, Epoch),
    request_bytes: u64,
}

impl PartReader {
    pub(crate) fn open(store: &Store, part: &PartRef) -> Result<Self, JournalError> {
        let file = part.file();
        let want = part.bytes.min(TAIL_BYTES);
        let start = part.offset + part.bytes - want;
        let (mut tail, size) = store.get_range(file, start, want)?;
        if tail.len() as u64 != want || (!part.is_inline() && size != part.bytes) {
            let problem = format!("it has {size} bytes, and the manifest says {}", part.bytes + part.offset);
            return Err(JournalError::damaged(&part.object, problem));
        }
        let body = if want == part.bytes {
            Body::Memory(tail.clone())
        } else {
            Body::Store { store: store.clone(), file: file.to_owned(), offset: part.offset }
        };
        let footer = frame::footer(&tail, part.bytes).map_err(|what| unreadable(&part.object, &what))?;
        let needed = frame::tail_bytes(&footer);
        if needed > part.bytes {
            return Err(JournalError::damaged(&part.object, "its index is longer than itself"));
        }
        if needed > want {
            tail = store.get_range(file, part.offset + part.bytes - needed, needed)?.0;
        }
        Self::assemble(part, body, &footer, &tail)
    }

    /// A part whose bytes are at hand.
    pub(crate) fn in_memory(part: &PartRef, bytes: Bytes) -> Result<Self, JournalError> {
        let footer = frame::footer(&bytes, bytes.len() as u64).map_err(|what| unreadable(&part.object, &what))?;
        let tail = bytes.clone();
        Self::assemble(part, Body::Memory(bytes), &footer, &tail)
    }

    /// `end` ends with index and footer.
    fn assemble(part: &PartRef, body: Body, footer: &frame::Footer, end: &[u8]) -> Result<Self, JournalError> {
        let short = || JournalError::damaged(&part.object, "its index is cut off");
        let needed = usize::try_from(frame::tail_bytes(footer)).map_err(|_| short())?;
        let tail = end.len().checked_sub(needed).map(|start| &end[start..]).ok_or_else(short)?;
        let index = frame::index(tail, footer, part.bytes).map_err(|what| unreadable(&part.object, &what))?;
        if footer.digest != part.digest || footer.totals.rows != part.rows {
            return Err(JournalError::foreign(&part.object, "it is a whole part, but not the one that was named"));
        }
        if let Body::Memory(bytes) = &body
            && bytes.get(..HEADER_BYTES) != Some(&frame::header())
        {
            return Err(JournalError::damaged(&part.object, "its header is not that of a part"));
        }
        let epochs = (part.first, part.last);
        let (object, rows) = (part.object.clone(), footer.totals.rows);
        Ok(PartReader { object, body, index, rows, epochs, request_bytes: REQUEST_BYTES })
    }

    /// Fetches up to this many bytes at a time (a block at least), instead of 4 MiB.
    pub fn with_request_bytes(mut self, bytes: u64) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// All rows of the part, those of other epochs included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The blocks with rows of the key groups asked for, and of the epochs that the manifest names the part for.
    /// Holds one request's bytes at a time. After an error there is nothing more.
    pub fn blocks(&self, groups: Range<u16>) -> Blocks<'_> {
        let wanted = self.index.iter().enumerate().filter(|(_, block)| {
            u16::from(block.first_group) < groups.end
                && u16::from(block.last_group) >= groups.start
                && block.first_epoch <= self.epochs.1
                && block.last_epoch >= self.epochs.0
        });
        Blocks { wanted: wanted.map(|(i, _)| i).collect(), reader: self, groups, fetched: Bytes::new(), start: 0 }
    }

    /// Bytes `start..end` of the part.
    fn fetch(&self, start: u64, end: u64) -> Result<Bytes, JournalError> {
        let bytes = match &self.body {
            Body::Memory(bytes) => bytes.get(start as usize..end as usize).map(|range| bytes.slice_ref(range)),
            Body::Store { store, file, offset } => {
                let (bytes, _) = store.get_range(file, offset + start, end - start)?;
                (bytes.len() as u64 == end - start).then_some(bytes)
            }
        };
        bytes.ok_or_else(|| JournalError::damaged(&self.object, "it ends before its blocks do"))
    }

    fn decode(&self, entry: &BlockEntry, stored: &[u8], groups: &Range<u16>) -> Result<Block, JournalError> {
        let damaged = |problem: &str| {
            JournalError::damaged(&self.object, format!("in the block at byte {}, {problem}", entry.offset))
        };
        if crc32fast::hash(stored) != entry.crc {
            return Err(damaged("the checksum does not match"));
        }
        let raw = if entry.stored_bytes == entry.raw_bytes {
            stored.to_vec()
        } else {
            lz4_flex::block::decompress(stored, entry.raw_bytes as usize)
                .map_err(|_| damaged("the bytes do not decompress"))?
        };
        if raw.len() != entry.raw_bytes as usize {
            return Err(damaged("the length is not the one in the index"));
        }
        Block::new(raw, entry, groups.clone(), self.epochs).map_err(damaged)
    }
}

fn unreadable(object: &str, what: &Unreadable) -> JournalError {
    match what {
        Unreadable::Problem(problem) => JournalError::damaged(object, *problem),
        Unreadable::Version(found) => {
            JournalError::Version { object: object.to_owned(), found: *found, known: frame::VERSION }
        }
    }
}

/// The blocks of a part, in order; see [`PartReader::blocks`].
pub struct Blocks<'a> {
    reader: &'a PartReader,
    wanted: VecDeque<usize>,
    groups: Range<u16>,
    fetched: Bytes,
    /// Where `fetched` begins in the part.
    start: u64,
}

impl Blocks<'_> {
    fn next_block(&mut self, i: usize) -> Result<Block, JournalError> {
        let entry = &self.reader.index[i];
        let end = entry.offset + u64::from(entry.stored_bytes);
        if entry.offset < self.start || end > self.start + self.fetched.len() as u64 {
            self.fetch(i)?;
        }
        let from = (entry.offset - self.start) as usize;
        self.reader.decode(entry, &self.fetched[from..from + entry.stored_bytes as usize], &self.groups)
    }

    /// Fetches block `i`, and those after it that are wanted, lie next to it and fit a request. The header is read, and
    /// checked, with the first block.
    fn fetch(&mut self, i: usize) -> Result<(), JournalError> {
        let entry = &self.reader.index[i];
        let start = if i == 0 { 0 } else { entry.offset };
        let mut end = entry.offset + u64::from(entry.stored_bytes);
        for &next in &self.wanted {
            let next = &self.reader.index[next];
            let next_end = next.offset + u64::from(next.stored_bytes);
            if next.offset != end || next_end - start > self.reader.request_bytes {
                break;
            }
            end = next_end;
        }
        // An allocation may be shared with what was fetched before: let go of that first.
        self.fetched = Bytes::new();
        self.fetched = self.reader.fetch(start, end)?;
        self.start = start;
        if i == 0 && self.fetched[..HEADER_BYTES] != frame::header() {
            return Err(JournalError::damaged(&self.reader.object, "its header is not that of a part"));
        }
        Ok(())
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let i = self.wanted.pop_front()?;
        let block = self.next_block(i);
        if block.is_err() {
            self.wanted.clear();
        }
        Some(block)
    }
}
