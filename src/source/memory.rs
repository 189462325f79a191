//! Records handed over by the embedding program: for tests, examples and libraries.
//!
//! The offset of a record is its place in the partition: a program that goes on from a state hands over the same records
//! again, and those below the bookmark are passed over.

use std::sync::{Arc, Mutex};

use super::{Bookmark, Known, PartitionReader, Progress, RawBatch, RawRecord, Source, SourceError};

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
        Box::new(MemorySource { input: self.clone(), reported: 0 })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("a panic would have ended the process")
    }
}

struct MemorySource {
    input: MemoryInput,
    /// Partitions below this number were reported, or were known.
    reported: usize,
}

impl Source for MemorySource {
    fn restore(&mut self, known: &[Known], skip_lost: bool) -> Result<(), SourceError> {
        let present = self.input.lock().partitions.len();
        for Known { name, bookmark } in known {
            match name.parse::<usize>() {
                Ok(partition) if partition < present => self.reported = self.reported.max(partition + 1),
                _ if skip_lost => {}
                _ => {
                    let reason = format!("the program has {present} partitions");
                    return Err(SourceError::Lost { partition: name.clone(), offset: bookmark.offset, reason });
                }
            }
        }
        Ok(())
    }

    fn discover(&mut self) -> Result<Vec<String>, SourceError> {
        let present = self.input.lock().partitions.len();
        let new = std::mem::replace(&mut self.reported, present)..present;
        Ok(new.map(|partition| partition.to_string()).collect())
    }

    fn adopt(&mut self, partition: &str) -> Result<(), SourceError> {
        let present = self.input.lock().partitions.len();
        match partition.parse::<usize>() {
            Ok(number) if number < present => {
                self.reported = self.reported.max(number + 1);
                Ok(())
            }
            _ => {
                let reason = format!("this program has {present} partitions");
                Err(SourceError::Adopted { partition: partition.to_owned(), reason })
            }
        }
    }

    fn is_unbounded(&self) -> bool {
        !self.input.lock().closed
    }

    fn open(&self, partition: &str, from: &Bookmark) -> Result<Box<dyn PartitionReader>, SourceError> {
        let shared = self.input.lock();
        let number = partition.parse().unwrap_or(usize::MAX);
        // Without its records, a partition that was skipped as lost.
        let present = shared.partitions.get(number).map_or(0, Vec::len) as u64;
        if shared.closed && present < from.offset && number < shared.partitions.len() {
            let reason = format!("it has only {present} records");
            return Err(SourceError::Changed { path: partition.into(), offset: from.offset, reason });
        }
        let input = self.input.clone();
        Ok(Box::new(MemoryReader { input, partition: number, next: from.offset, present, read_bytes: 0 }))
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
        batch.next_offset = self.next;
        let Some(records) = shared.partitions.get(self.partition) else { return Ok(Progress::End) };
        for payload in records.iter().skip(self.next as usize) {
            if !batch.buffer.is_empty() && batch.buffer.len() + payload.len() > max_bytes {
                break;
            }
            let start = batch.buffer.len() as u32;
            batch.buffer.extend_from_slice(payload);
            let range = start..batch.buffer.len() as u32;
            batch.records.push(RawRecord { offset: self.next, payload: Some(range), key: None, oversized_bytes: None });
            self.next += 1;
            self.read_bytes += payload.len() as u64;
        }
        batch.next_offset = self.next;
        Ok(match self.next >= records.len() as u64 {
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
