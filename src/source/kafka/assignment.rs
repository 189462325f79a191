//! When partitions begin to be fetched: all at once, when nothing more is to be asked about others.
//!
//! A broker answers the requests of a connection one after the other, and one for records that are not there yet only after
//! `fetch.wait.max.ms`, half a second by default. What is asked behind it waits: opened and fetched one by one, partitions would
//! take half a second each.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Context;

/// So long nobody may have asked about a partition. Several workers open their own at the same time.
const QUIET: Duration = Duration::from_millis(10);

/// Partitions that are to be fetched.
#[derive(Default)]
pub(super) struct Assignment {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    partitions: Vec<(i32, i64)>,
    asked: Option<Instant>,
}

impl Assignment {
    /// Somebody asks about a partition now.
    pub fn asked(&self) {
        self.lock().asked = Some(Instant::now());
    }

    /// To be fetched from this offset on, with the next others.
    pub fn add(&self, partition: i32, offset: u64) {
        let offset = i64::try_from(offset).expect("Kafka gave it");
        self.lock().partitions.push((partition, offset));
    }

    /// Begins to fetch what waits, if it is time.
    pub fn begin(&self, consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<()> {
        let mut waiting = self.lock();
        if waiting.partitions.is_empty() || waiting.asked.is_some_and(|asked| asked.elapsed() < QUIET) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in waiting.partitions.drain(..) {
            list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        }
        consumer.incremental_assign(&list)
    }

    /// Whether it was not fetched yet; it will not be.
    pub fn forget(&self, partition: i32) -> bool {
        let mut waiting = self.lock();
        let count = waiting.partitions.len();
        waiting.partitions.retain(|(other, _)| *other != partition);
        waiting.partitions.len() < count
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
