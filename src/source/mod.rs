//! Sources: where records come from.
//!
//! A source is a set of partitions, each an ordered sequence of records at growing offsets. Workers divide the partitions
//! among themselves; each partition is read by a [`PartitionReader`] on a thread of its own, which may block.

use std::ops::Range;
use std::path::PathBuf;

mod alarm;
pub mod catalog;
pub mod decode;
pub mod feeder;
pub mod file;
mod in_flight;
mod intake;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
pub mod messages;
pub mod metrics;
pub mod operator;
#[cfg(test)]
mod tests;

pub use in_flight::Limits;

/// Finds the partitions of a source and opens them. One per source and process; used by its discovery thread.
///
/// First [`Source::restore`], once; then any of the others. One process of a cluster discovers, and tells the others, which
/// [`Source::adopt`] what it found.
pub trait Source: Send {
    /// Takes over the partitions that earlier runs knew. They can be opened by their names, and discovery does not report
    /// them again. With `skip_lost` those that are gone and were not read to their end count as ended.
    ///
    /// # Errors
    /// If the source can not be looked at, or if a partition is gone that was not read to its end.
    fn restore(&mut self, known: &[Known], skip_lost: bool) -> Result<(), SourceError>;

    /// The names of partitions that were not reported before and are not known, in order. The first call reports
    /// everything present.
    ///
    /// # Errors
    /// If the source can not be looked at.
    fn discover(&mut self) -> Result<Vec<String>, SourceError>;

    /// Takes over a partition that another process of the cluster has found.
    ///
    /// # Errors
    /// If this process can not find it.
    fn adopt(&mut self, partition: &str) -> Result<(), SourceError>;

    /// Whether partitions may still appear or grow once the present ones are read.
    fn is_unbounded(&self) -> bool;

    /// All records of a partition below `offset` are in all sinks. Only for monitors.
    fn written(&self, _partition: &str, _offset: u64) {}

    /// The run has ended: what was told to [`Source::written`] gets where monitors see it. Waits for that for a moment only.
    fn finish(&self) {}

    /// Opens a partition that is known, was reported or was adopted, where a bookmark leads.
    ///
    /// # Errors
    /// If it can not be read, or is not what it was when the bookmark was given out (law L5).
    fn open(&self, partition: &str, from: &Bookmark) -> Result<Box<dyn PartitionReader>, SourceError>;
}

/// Where to go on in a partition. The default is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Bookmark {
    /// The offset of the next record.
    pub offset: u64,
    /// What else the source needs to go on, and to notice that the partition is not what it was. Opaque to all others.
    pub mark: String,
}

/// A partition that an earlier run knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// How far it was read.
    pub bookmark: Bookmark,
}

/// Reads one partition, in order.
pub trait PartitionReader: Send {
    /// Fills `batch` (which is empty) with the next records, at most about `max_bytes` of them. Does not wait for more
    /// input than there is. The batch says where to go on also when there are no records in it.
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
    /// With `next_offset`, the [`Bookmark`] after this batch.
    pub mark: String,
}

/// One record of a [`RawBatch`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RawRecord {
    /// Its offset in the partition.
    pub offset: u64,
    /// The payload in the buffer; `None` is a tombstone.
    pub payload: Option<Range<u32>>,
    /// The key of the row, in the buffer, as JSON: of a tombstone, and of others if it is not in the payload.
    pub key: Option<Range<u32>>,
    /// If the record was longer than the source's limit: its whole length. The payload is then only its beginning.
    pub oversized_bytes: Option<u64>,
}

impl RawBatch {
    /// The payload of `record`.
    pub fn payload(&self, record: &RawRecord) -> Option<&[u8]> {
        record.payload.as_ref().map(|range| self.slice(range))
    }

    /// The key of the row that `record` deletes, as JSON.
    pub fn key(&self, record: &RawRecord) -> Option<&[u8]> {
        record.key.as_ref().map(|range| self.slice(range))
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.buffer[range.start as usize..range.end as usize]
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
    /// A partition that is not what it was when its bookmark was given out (law L5).
    #[error(
        "{path:?} is not what it was when it was read up to offset {offset}: {reason}; bring back what it was, or give the \
         new content another name, which is then read from its start"
    )]
    Changed {
        /// The file, or the partition's name.
        path: PathBuf,
        /// How far it was read.
        offset: u64,
        /// What differs.
        reason: String,
    },
    /// A partition that is gone although it was not read to its end.
    #[error(
        "partition {partition:?} was read up to offset {offset}, not to its end, and is gone: {reason}; put it back, or \
         remove it from `paths`, or go on without it by --skip-lost"
    )]
    Lost {
        /// Its name.
        partition: String,
        /// How far it was read.
        offset: u64,
        /// Where it was looked for.
        reason: String,
    },
    /// A service that could not be used.
    #[error("could not {action} {object}")]
    Service {
        /// What was attempted.
        action: &'static str,
        /// The service, and what of it.
        object: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A partition that does not have what follows what was read of it (law L5).
    #[error("partition {partition:?} can not be read on from offset {offset}: {reason}; {choices}")]
    Position {
        /// Its name.
        partition: String,
        /// How far it was read.
        offset: u64,
        /// What is there instead.
        reason: String,
        /// What may be done.
        choices: String,
    },
    /// A partition that one process of the cluster found and this one does not.
    #[error(
        "partition {partition:?}, which another process of the cluster has found, is not there for this one: {reason}; all \
         processes must see the same files"
    )]
    Adopted {
        /// Its name.
        partition: String,
        /// What was found instead.
        reason: String,
    },
}
