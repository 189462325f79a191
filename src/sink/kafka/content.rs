//! What is in the topic: how far the sink is, and which keys have a row.

use std::collections::HashMap;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Offset, TopicPartitionList};

use super::{EPOCH, NO_ROW, OPEN, STORE};
use crate::kafka::{ANSWER, Context, options};
use crate::pipeline::KafkaSink as Spec;
use crate::sink::SinkError;

/// How much of a partition's end is read at first, to find its last record: the ends of transactions are no records.
const END: i64 = 64;

/// Reads the topic that a sink writes.
pub(super) struct Content {
    consumer: BaseConsumer<Context>,
    topic: String,
    object: String,
    partitions: i32,
}

/// What the newest record says.
pub(super) struct Newest {
    pub(super) store: String,
    pub(super) epoch: u64,
}

impl Content {
    pub(super) fn open(name: &str, spec: &Spec, object: &str) -> Result<Self, SinkError> {
        let group = format!("flowstone-{name}");
        // Never joined, and nothing is committed to it; librdkafka assigns nothing without one.
        let ours = [
            ("group.id", group.as_str()),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
        ];
        // Those of producers mean nothing here.
        let mut settings = spec.options.clone();
        settings.retain(|option, _| {
            ["security.", "sasl.", "ssl.", "socket.", "broker.", "client.", "enable.ssl"]
                .iter()
                .any(|prefix| option.starts_with(prefix))
        });
        let config = options::config(&spec.brokers, &settings, &ours);
        let consumer: BaseConsumer<Context> = config
            .create_with_context(Context::new(format!("sink {name:?}")))
            .map_err(|error| SinkError::store("open", object, error))?;
        let mut content = Content { consumer, topic: spec.topic.clone(), object: object.to_owned(), partitions: 0 };
        content.partitions = content.count()?;
        Ok(content)
    }

    fn count(&self) -> Result<i32, SinkError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER);
        let partitions = match metadata {
            Ok(metadata) => metadata.topics().first().map_or(0, |topic| topic.partitions().len()),
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => 0,
            Err(error) => return Err(self.failed("look at", error)),
        };
        match i32::try_from(partitions) {
            Ok(0) | Err(_) => {
                Err(SinkError::store("find", &self.object, "brokers know no such topic; make it, or correct `topic`"))
            }
            Ok(partitions) => Ok(partitions),
        }
    }

    fn failed(&self, action: &'static str, error: KafkaError) -> SinkError {
        SinkError::store(action, &self.object, self.consumer.context().explain(error))
    }

    /// What the newest record of all partitions says; `None` if there is none.
    pub(super) fn newest(&self) -> Result<Option<Newest>, SinkError> {
        let mut newest: Option<Newest> = None;
        for partition in 0..self.partitions {
            let (low, high) = self.watermarks(partition)?;
            let (mut span, mut last) = (END, None);
            while last.is_none() && high > low {
                let from = low.max(high - span);
                self.read(partition, from, |message| last = Some(self.stamp(message)))?;
                if from == low {
                    break;
                }
                span *= 8;
            }
            let Some(last) = last.transpose()? else { continue };
            newest = match newest {
                Some(newest) if newest.store != last.store => {
                    let difference = format!("its records are of two stores, {} and {}", newest.store, last.store);
                    return Err(SinkError::Mismatch { object: self.object.clone(), difference });
                }
                Some(newest) if newest.epoch >= last.epoch => Some(newest),
                _ => Some(last),
            };
        }
        Ok(newest)
    }

    fn stamp(&self, message: &BorrowedMessage<'_>) -> Result<Newest, SinkError> {
        let header = |name: &str| {
            let headers = message.headers()?;
            let value = headers.iter().find(|header| header.key == name)?.value?;
            std::str::from_utf8(value).ok()
        };
        match (header(EPOCH).and_then(|epoch| epoch.parse().ok()), header(STORE)) {
            (Some(epoch), Some(store)) => Ok(Newest { store: store.to_owned(), epoch }),
            _ => {
                let (partition, offset) = (message.partition(), message.offset());
                let difference = format!(
                    "the record at offset {offset} of partition {partition} is not of a sink; give the sink a topic of its own"
                );
                Err(SinkError::Mismatch { object: self.object.clone(), difference })
            }
        }
    }

    /// The keys that have a row, as far as it is committed.
    pub(super) fn keys(&self) -> Result<Vec<Vec<u8>>, SinkError> {
        let mut keys: HashMap<Vec<u8>, bool> = HashMap::new();
        for partition in 0..self.partitions {
            let (low, high) = self.watermarks(partition)?;
            if high > low {
                self.read(partition, low, |message| {
                    let key = message.key().unwrap_or_default();
                    keys.insert(key.to_owned(), message.payload().is_some() && key != NO_ROW);
                })?;
            }
        }
        Ok(keys.into_iter().filter(|(_, has_row)| *has_row).map(|(key, _)| key).collect())
    }

    fn watermarks(&self, partition: i32) -> Result<(i64, i64), SinkError> {
        let asked = self.consumer.fetch_watermarks(&self.topic, partition, ANSWER);
        asked.map_err(|error| self.failed("look at", error))
    }

    /// Reads a partition from an offset to the end of what is committed.
    fn read(&self, partition: i32, from: i64, mut take: impl FnMut(&BorrowedMessage<'_>)) -> Result<(), SinkError> {
        let mut list = TopicPartitionList::new();
        let assigned = list.add_partition_offset(&self.topic, partition, Offset::Offset(from));
        assigned.and_then(|()| self.consumer.assign(&list)).map_err(|error| self.failed("read", error))?;
        let mut heard = Instant::now();
        loop {
            match self.consumer.poll(ANSWER) {
                Some(Ok(message)) => take(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if heard.elapsed() > OPEN => return Err(self.failed("read", error)),
                None if heard.elapsed() > OPEN => {
                    return Err(SinkError::store(
                        "read",
                        &self.object,
                        "brokers do not answer; try again once they do",
                    ));
                }
                // Brokers may come back.
                Some(Err(_)) | None => continue,
            }
            heard = Instant::now();
        }
    }
}
