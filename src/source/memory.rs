//! Records handed over by the embedding program: for tests, examples and libraries.

use std::sync::{Arc, Mutex};

use super::{PartitionReader, Progress, RawBatch, RawRecord, Source, SourceError};

/// The writing end of a memory source. Clones write to the same source.
#[derive(Clone, Debug)]
pub struct MemoryInput {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    partitions: Vec<Vec<Vec<u8>>>,
    closed: bool,
}

impl MemoryInput {
    /// A source with so many partitions, all empty.
    pub fn new(partitions: usize) -> Self {
        MemoryInput { shared: Arc::new(Mutex::new(Shared { partitions: vec![Vec::new(); partitions], closed: false })) }
    }

    /// Adds a record to a partition. Its offset is its place there.
    ///
    /// # Panics
    /// If the source is closed or has no such partition.
    pub fn push(&self, partition: usize, payload: impl Into<Vec<u8>>) {
        let mut shared = self.lock();
        assert!(!shared.closed, "the source is closed");
        shared.partitions[partition].push(payload.into());
    }

    /// Says that nothing will follow: a run ends once it has read everything.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// The reading end.
    pub fn source(&self) -> Box<dyn Source> {
        Box::new(MemorySource { input: self.clone(), reported: false })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("a panic would have ended the process")
    }
}

struct MemorySource {
    input: MemoryInput,
    reported: bool,
}

impl Source for MemorySource {
    fn discover(&mut self) -> Result<Vec<String>, SourceError> {
        let partitions = if self.reported { 0 } else { self.input.lock().partitions.len() };
        self.reported = true;
        Ok((0..partitions).map(|n| n.to_string()).collect())
    }

    fn is_unbounded(&self) -> bool {
        !self.input.lock().closed
    }

    fn open(&self, partition: &str, offset: u64) -> Result<Box<dyn PartitionReader>, SourceError> {
        let partition: usize = partition.parse().expect("a name that discovery gave out");
        let present = self.input.lock().partitions[partition].len() as u64;
        Ok(Box::new(MemoryReader { input: self.input.clone(), partition, next: offset, present, read_bytes: 0 }))
    }
}

struct MemoryReader {
    input: MemoryInput,
    partition: usize,
    next: u64,
    /// The records that were there when the partition was opened.
    present: u64,
    read_bytes: u64,
}

impl PartitionReader for MemoryReader {
    fn poll(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<Progress, SourceError> {
        let shared = self.input.lock();
        let records = &shared.partitions[self.partition];
        for payload in &records[self.next as usize..] {
            if !batch.buffer.is_empty() && batch.buffer.len() + payload.len() > max_bytes {
                break;
            }
            let start = batch.buffer.len() as u32;
            batch.buffer.extend_from_slice(payload);
            let range = start..batch.buffer.len() as u32;
            batch.records.push(RawRecord { offset: self.next, payload: Some(range), oversized_bytes: None });
            self.next += 1;
            self.read_bytes += payload.len() as u64;
        }
        batch.next_offset = self.next;
        Ok(match self.next as usize == records.len() {
            true if shared.closed => Progress::End,
            _ if self.next >= self.present => Progress::CaughtUp,
            _ => Progress::More,
        })
    }

    fn total_bytes(&self) -> Option<u64> {
        None
    }

    fn read_bytes(&self) -> u64 {
        self.read_bytes
    }
}
