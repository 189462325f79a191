//! Sources: where records come from.
//!
//! A source is a set of partitions, each an ordered sequence of records at growing offsets. Workers divide the partitions
//! among themselves; each partition is read by a [`PartitionReader`] on a thread of its own, which may block.

use std::ops::Range;
use std::path::PathBuf;

pub mod catalog;
pub mod decode;
pub mod feeder;
pub mod file;
pub mod memory;
pub mod metrics;
pub mod operator;

/// Finds the partitions of a source and opens them. One per source and process; used by its discovery thread.
pub trait Source: Send {
    /// The names of partitions that were not reported before, in order. The first call reports everything present.
    ///
    /// # Errors
    /// If the source can not be looked at.
    fn discover(&mut self) -> Result<Vec<String>, SourceError>;

    /// Whether partitions may still appear or grow once the present ones are read.
    fn is_unbounded(&self) -> bool;

    /// Opens a partition that [`Source::discover`] reported, at an offset that it had given out (0: the beginning).
    ///
    /// # Errors
    /// If it can not be read, or is not what it was at that offset.
    fn open(&self, partition: &str, offset: u64) -> Result<Box<dyn PartitionReader>, SourceError>;
}

/// Reads one partition, in order.
pub trait PartitionReader: Send {
    /// Fills `batch` (which is empty) with the next records, at most about `max_bytes` of them. Does not wait for more
    /// input than there is.
    ///
    /// # Errors
    /// If reading fails; what was read before is kept.
    fn poll(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<Progress, SourceError>;

    /// How many bytes there are to read in all, as far as that is known: for progress bars.
    fn total_bytes(&self) -> Option<u64>;

    /// How many bytes were read, on the same scale.
    fn read_bytes(&self) -> u64;
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Records, and there may be more.
    More,
    /// Everything that was there when the partition was opened has been read (perhaps now, perhaps earlier); there may
    /// be records in the batch all the same. More may come.
    CaughtUp,
    /// Nothing will ever follow.
    End,
}

/// Records of one partition, as bytes in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RawBatch {
    /// The buffer that all ranges point into.
    pub buffer: Vec<u8>,
    /// The records, at increasing offsets.
    pub records: Vec<RawRecord>,
    /// The offset to go on from: the source's position after the last record, which may be further than that record.
    pub next_offset: u64,
}

/// One record of a [`RawBatch`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RawRecord {
    /// Its offset in the partition.
    pub offset: u64,
    /// The payload in the buffer; `None` is a tombstone.
    pub payload: Option<Range<u32>>,
    /// If the record was longer than the source's limit: its whole length. The payload is then only its beginning.
    pub oversized_bytes: Option<u64>,
}

impl RawBatch {
    /// The payload of `record`.
    pub fn payload(&self, record: &RawRecord) -> Option<&[u8]> {
        record.payload.as_ref().map(|range| &self.buffer[range.start as usize..range.end as usize])
    }
}

/// A source that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A pattern that matches nothing.
    #[error("no file matches {pattern:?}; check the path, which is relative to the pipeline file")]
    NoMatch {
        /// As written in the pipeline file, made absolute.
        pattern: String,
    },
    /// A pattern that can not be understood.
    #[error("could not parse the file pattern {pattern:?}: {reason}")]
    Pattern {
        /// As written in the pipeline file.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that can not be opened or read.
    #[error("could not {action} {path:?}")]
    Io {
        /// What was attempted: "open", "read", "decompress".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is not what it was when its offset was given out.
    #[error("{path:?} is not the file it was: {reason}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}
