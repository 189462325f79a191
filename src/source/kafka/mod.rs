//! A topic of Kafka: a partition a partition, named `TOPIC-NUMBER`.
//!
//! ```text
//!  librdkafka's threads ──queue of a partition, bounded──▶ reader ──▶ RawBatch     on the feeder's thread
//!                       ──events──▶ client.rs                                      a thread a source and process
//! ```
//!
//! - Partitions are assigned by ourselves, never by a group: where to go on is remembered with the state, and a group's
//!   rebalancing could neither move nor lose it. Offsets are committed to a group all the same, for monitors of lag.
//! - The offset to go on from is the position after the last record or, at the end, of what follows it: the marks of
//!   transactions are passed over.
//! - What follows must be there. If the log's beginning has passed the offset, if its end lies before it, or if the last
//!   record is not the one that was read, the source is refused (law L5). That one is asked for again when a partition is
//!   opened; if compaction or retention has taken it, only the other two are left to tell.
//! - A bounded read ends where the partition ended when it was opened, or at the end of what is committed.

use std::collections::BTreeSet;

use self::client::Client;
use self::copy::Copy;
use self::mark::Mark;
use self::reader::{Begin, Reader};
use super::{Bookmark, Known, PartitionReader, Source, SourceError};
use crate::pipeline::{KafkaSource as Spec, KafkaStart};

mod assignment;
mod client;
mod copy;
mod mark;
mod reader;

/// A topic as a source.
pub struct KafkaSource {
    client: Client,
    spec: Spec,
    copy: Copy,
    /// The partitions that earlier runs knew, or that were reported or adopted.
    known: BTreeSet<i32>,
    /// Partitions below this number, if no earlier run knew any, begin where the pipeline says; all others at their beginning.
    first_run: i32,
    skip_lost: bool,
}

/// What becomes of messages.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    /// Longer ones are dead letters.
    pub max_record_bytes: u64,
    /// Whether the key of a row is that of its message.
    pub is_by_message: bool,
}

/// Connects to brokers. `group` is the consumer group for monitors, if the pipeline names none; `name` is the source's.
///
/// # Errors
/// If no broker answers, if they refuse us, or if there is no such topic.
pub fn open(spec: &Spec, name: &str, group: &str, messages: Messages) -> Result<KafkaSource, SourceError> {
    let group = spec.group.as_deref().unwrap_or(group);
    let client = Client::connect(spec, name, group)?;
    let Messages { max_record_bytes, is_by_message } = messages;
    let copy = Copy { max_record_bytes, message_key: spec.message_key, is_by_message, metadata: spec.metadata.clone() };
    let first_run = client.partitions();
    Ok(KafkaSource { client, spec: spec.clone(), copy, known: BTreeSet::new(), first_run, skip_lost: false })
}

impl KafkaSource {
    fn name(&self, partition: i32) -> String {
        format!("{}-{partition}", self.spec.topic)
    }

    fn number(&self, name: &str) -> Option<i32> {
        name.strip_prefix(self.spec.topic.as_str())?.strip_prefix('-')?.parse().ok().filter(|number| *number >= 0)
    }

    /// The number of a partition that is there.
    fn present(&self, name: &str) -> Result<i32, String> {
        let partitions = self.client.partitions();
        match self.number(name) {
            None => Err(format!("the topic is {:?} now", self.spec.topic)),
            Some(number) if number >= partitions => {
                Err(format!("the topic {:?} has {partitions} partitions", self.spec.topic))
            }
            Some(number) => Ok(number),
        }
    }

    /// Where reading begins, and what must be there.
    fn begin(&self, partition: i32, from: &Bookmark) -> Result<Begin, SourceError> {
        let name = self.name(partition);
        let (low, high) = self.client.watermarks(partition)?;
        let refused = |reason: String, choices: String| SourceError::Position {
            partition: name.clone(),
            offset: from.offset,
            reason,
            choices,
        };
        let anew = || {
            let topic = &self.spec.topic;
            format!(
                "bring back the topic {topic:?} as it was, or read what is there from the start: --rebuild, with each table \
                 that reads this source"
            )
        };
        let mark = Mark::parse(from).map_err(|reason| refused(reason, anew()))?;
        let Some(mark) = mark else {
            let at = self.start(partition, low, high)?;
            return Ok(Begin { at, next: at, last: None, high });
        };
        if from.offset > high {
            let reason = format!("its log ends at offset {high}: the topic was cut, or made anew");
            return Err(refused(reason, anew()));
        }
        if from.offset < low {
            let lost = low - from.offset;
            if !self.skip_lost {
                let reason = format!(
                    "its log starts at offset {low} now: retention or a deletion has taken {lost} offsets that were not read"
                );
                let choices = format!(
                    "go on at offset {low} without them by --skip-lost, or read what is there from the start: --rebuild, \
                     with each table that reads this source"
                );
                return Err(refused(reason, choices));
            }
            tracing::warn!("partition {name:?}: offsets {} to {low} are lost; it goes on at {low}", from.offset);
            return Ok(Begin { at: low, next: low, last: None, high });
        }
        // The last record again, if it is still there.
        let last = mark.last.filter(|last| last.offset >= low);
        let at = last.map_or(from.offset, |last| last.offset);
        Ok(Begin { at, next: from.offset, last, high })
    }

    /// A table that is built anew is to have all that there ever was (law L8).
    fn check_rewound(&self, bookmark: &Bookmark, partition: i32, low: u64) -> Result<(), SourceError> {
        let is_rewound = bookmark.mark.is_empty() && self.spec.start == KafkaStart::Beginning;
        if !is_rewound || low == 0 || self.skip_lost || self.spec.offsets.contains_key(&partition.to_string()) {
            return Ok(());
        }
        Err(SourceError::Position {
            partition: self.name(partition),
            offset: 0,
            reason: format!("its log starts at offset {low}: retention or a deletion has taken what was before"),
            choices: "build the table of what is there by --skip-lost, besides --rebuild".to_owned(),
        })
    }

    /// Where a partition begins that was never read.
    fn start(&self, partition: i32, low: u64, high: u64) -> Result<u64, SourceError> {
        if partition >= self.first_run {
            return Ok(low);
        }
        if let Some(offset) = self.spec.offsets.get(&partition.to_string()) {
            if (low..=high).contains(offset) {
                return Ok(*offset);
            }
            return Err(SourceError::Position {
                partition: self.name(partition),
                offset: *offset,
                reason: format!("its log has the offsets from {low} to {high}"),
                choices: "choose one of them in `offsets`".to_owned(),
            });
        }
        match &self.spec.start {
            KafkaStart::Beginning => Ok(low),
            KafkaStart::End => Ok(high),
            KafkaStart::Timestamp(time) => Ok(self.client.offset_at(partition, time)?.unwrap_or(high)),
        }
    }
}

impl Source for KafkaSource {
    fn restore(&mut self, known: &[Known], skip_lost: bool) -> Result<(), SourceError> {
        self.skip_lost = skip_lost;
        for Known { name, bookmark } in known {
            match self.present(name) {
                Ok(number) => {
                    self.known.insert(number);
                    // Better now than when it is opened: nothing has been started yet.
                    let begin = self.begin(number, bookmark)?;
                    self.check_rewound(bookmark, number, begin.at)?;
                }
                Err(_) if skip_lost || bookmark.mark.is_empty() => {
                    tracing::warn!("partition {name:?} is gone; what followed offset {} is lost", bookmark.offset);
                }
                Err(reason) => {
                    return Err(SourceError::Position {
                        partition: name.clone(),
                        offset: bookmark.offset,
                        reason: format!("it is gone: {reason}"),
                        choices: "bring it back, or go on without it by --skip-lost".to_owned(),
                    });
                }
            }
        }
        if known.iter().any(|known| !known.bookmark.mark.is_empty()) {
            self.first_run = 0;
        }
        Ok(())
    }

    fn discover(&mut self) -> Result<Vec<String>, SourceError> {
        let new: Vec<i32> = (0..self.client.partitions()).filter(|number| self.known.insert(*number)).collect();
        Ok(new.into_iter().map(|number| self.name(number)).collect())
    }

    fn adopt(&mut self, partition: &str) -> Result<(), SourceError> {
        // This process may not have looked since it was made.
        self.client.look()?;
        let number = self.present(partition);
        let number = number.map_err(|reason| SourceError::Adopted { partition: partition.to_owned(), reason })?;
        self.known.insert(number);
        Ok(())
    }

    fn is_unbounded(&self) -> bool {
        true
    }

    fn written(&self, partition: &str, offset: u64) {
        if let Some(number) = self.number(partition) {
            self.client.commit(number, offset);
        }
    }

    fn finish(&self) {
        self.client.finish();
    }

    fn open(&self, partition: &str, from: &Bookmark) -> Result<Box<dyn PartitionReader>, SourceError> {
        let Ok(number) = self.present(partition) else {
            // It was given up when the run began.
            return Ok(Box::new(reader::Gone { bookmark: from.clone() }));
        };
        let begin = self.begin(number, from)?;
        let queue = self.client.assign(number, begin.at);
        Ok(Box::new(Reader::new(self.client.clone(), partition, number, queue, begin, from, self.copy.clone())))
    }
}
