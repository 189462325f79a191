//! Reads one partition.

use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::client::Client;
use super::copy::Copy;
use super::mark::{Last, Mark, offset};
use crate::kafka::{Context, cause};
use crate::source::{Bookmark, PartitionReader, Progress, RawBatch, SourceError};

/// How long to wait for a partition that has not been read to its end: else the feeder would ask without a pause.
const PATIENCE: Duration = Duration::from_millis(2);
/// Small records: so many at a time.
const RECORDS: usize = 4_096;

/// Where a partition is read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    /// The first offset to fetch.
    pub(super) at: u64,
    /// The first one to hand over.
    pub(super) next: u64,
    /// The record that must be there if any is at its offset.
    pub(super) last: Option<Last>,
    /// The end of what is committed, when the partition was opened.
    pub(super) high: u64,
}

/// Reads one partition.
pub(super) struct Reader {
    client: Client,
    name: String,
    partition: i32,
    queue: PartitionQueue<Context>,
    copy: Copy,
    next: u64,
    mark: Mark,
    expected: Option<Last>,
    /// Where what is committed ended when the partition was opened.
    high: u64,
    is_at_end: bool,
    has_caught_up: bool,
    read_bytes: u64,
}

impl Reader {
    pub(super) fn new(
        client: Client,
        name: &str,
        partition: i32,
        queue: PartitionQueue<Context>,
        begin: Begin,
        from: &Bookmark,
        copy: Copy,
    ) -> Self {
        // What was skipped is forgotten.
        let last = Mark::parse(from).ok().flatten().and_then(|mark| mark.last).filter(|_| begin.next == from.offset);
        Reader {
            client,
            name: name.to_owned(),
            partition,
            queue,
            copy,
            next: begin.next,
            mark: Mark { last },
            expected: begin.last,
            high: begin.high,
            is_at_end: false,
            has_caught_up: false,
            read_bytes: 0,
        }
    }

    /// Takes what is in the queue, up to a limit; says whether it is empty now.
    fn drain(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<bool, SourceError> {
        let mut last = None;
        let mut wait = if self.has_caught_up { Duration::ZERO } else { PATIENCE };
        let mut is_empty = false;
        while batch.buffer.len() < max_bytes && batch.records.len() < RECORDS {
            let message = match self.queue.poll(wait) {
                None => {
                    is_empty = true;
                    break;
                }
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.is_at_end = true;
                    continue;
                }
                Some(Err(error)) => {
                    self.failed(error)?;
                    continue;
                }
            };
            wait = Duration::ZERO;
            self.is_at_end = false;
            let at = offset(&message);
            if let Some(expected) = self.expected.take() {
                check(&self.name, expected, &message)?;
            }
            if at < self.next {
                continue;
            }
            self.copy.push(&message, batch);
            self.read_bytes += message.payload_len() as u64 + message.key_len() as u64;
            self.next = at + 1;
            last = Some(message);
        }
        if let Some(message) = last {
            self.mark.last = Some(Last::of(&message));
        }
        Ok(is_empty)
    }

    /// What can pass is waited for; the rest ends the run.
    fn failed(&self, error: KafkaError) -> Result<(), SourceError> {
        match cause(&error) {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let (low, high) = self.client.watermarks(self.partition)?;
                let offset = self.next;
                Err(SourceError::Position {
                    partition: self.name.clone(),
                    offset,
                    reason: format!("its log has the offsets from {low} to {high} now"),
                    choices: "run again: it then says what may be done".to_owned(),
                })
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) => Err(self.client.failed("read", error)),
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(self.client.failed("read", error)),
            _ => {
                self.client.warn(&self.name, &error);
                Ok(())
            }
        }
    }
}

/// The record that was read last must be the one that it was, if it is still there.
fn check(partition: &str, expected: Last, message: &BorrowedMessage<'_>) -> Result<(), SourceError> {
    let at = offset(message);
    if at != expected.offset || Last::of(message) == expected {
        return Ok(());
    }
    Err(SourceError::Position {
        partition: partition.to_owned(),
        offset: at + 1,
        reason: format!("the record at offset {at} is not the one that was read: the topic was made anew"),
        choices:
            "bring back the topic as it was, or read what is there from the start: --rebuild, with each table that \
                  reads this source"
                .to_owned(),
    })
}

impl PartitionReader for Reader {
    fn poll(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<Progress, SourceError> {
        self.client.fetch()?;
        // Before the queue is emptied: what it says is then true of what was taken.
        let end = self.client.end(self.partition);
        let is_empty = self.drain(batch, max_bytes)?;
        if is_empty && self.is_at_end {
            // What is left of it are the ends of transactions.
            self.next = self.next.max(self.high).max(end.unwrap_or(0));
        }
        batch.next_offset = self.next;
        batch.mark = self.mark.to_text();
        self.has_caught_up |= self.next >= self.high || (is_empty && self.is_at_end);
        Ok(if self.has_caught_up && (is_empty || self.next >= self.high) { Progress::CaughtUp } else { Progress::More })
    }

    fn total_bytes(&self) -> Option<u64> {
        None
    }

    fn read_bytes(&self) -> u64 {
        self.read_bytes
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.client.release(self.partition);
    }
}

/// A partition that is not there any more, and was given up.
pub(super) struct Gone {
    pub(super) bookmark: Bookmark,
}

impl PartitionReader for Gone {
    fn poll(&mut self, batch: &mut RawBatch, _: usize) -> Result<Progress, SourceError> {
        (batch.next_offset, batch.mark) = (self.bookmark.offset, self.bookmark.mark.clone());
        Ok(Progress::End)
    }

    fn total_bytes(&self) -> Option<u64> {
        None
    }

    fn read_bytes(&self) -> u64 {
        0
    }
}
