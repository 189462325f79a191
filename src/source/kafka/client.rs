//! The consumer that all readers of a source share, and the thread that serves it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::assignment::Assignment;
use crate::kafka::{ANSWER, CONNECT, Context, FIRST_ANSWER, Problem, options};
use crate::pipeline::{Isolation, KafkaSource as Spec};
use crate::source::SourceError;

/// How often new partitions are looked for, and offsets committed for monitors.
const LOOK_DELAY: Duration = Duration::from_secs(1);
/// How long the last offsets may take to be committed, when a run has ended.
const GOODBYE: Duration = Duration::from_secs(2);
const SERVE_DELAY: Duration = Duration::from_millis(100);
/// A topic that was just made is not known to all brokers at once.
const MISSING_DELAY: Duration = Duration::from_secs(5);

/// Clones share one consumer.
#[derive(Clone)]
pub(super) struct Client {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Context>>,
}

struct Shared {
    name: String,
    brokers: String,
    topic: String,
    partitions: AtomicI32,
    assignment: Assignment,
    /// What is to be committed for monitors.
    written: Mutex<BTreeMap<i32, u64>>,
}

/// What a question about the topic came to.
enum Asked {
    Found,
    Missing,
    Failed(KafkaError),
}

impl Client {
    /// Connects, and finds the partitions of the topic.
    pub(super) fn connect(spec: &Spec, name: &str, group: &str) -> Result<Self, SourceError> {
        let isolation = match spec.isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let mut settings = spec.options.clone();
        // Of each partition: what is fetched ahead is bounded. By default librdkafka fetches nothing for a second once that
        // is full, and it is empty again after some milliseconds.
        for (option, value) in [("queued.max.messages.kbytes", "8192"), ("fetch.queue.backoff.ms", "10")] {
            settings.entry(option.to_owned()).or_insert_with(|| value.to_owned());
        }
        let ours = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("isolation.level", isolation),
            ("allow.auto.create.topics", "false"),
            ("statistics.interval.ms", "1000"),
        ];
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            brokers: spec.brokers.clone(),
            topic: spec.topic.clone(),
            partitions: AtomicI32::new(0),
            assignment: Assignment::default(),
            written: Mutex::default(),
        });
        let config = options::config(&spec.brokers, &settings, &ours);
        let context = Context::new(format!("source {name:?}"));
        let consumer = config.create_with_context(context).map_err(|error| {
            let reason = None;
            service("use", format!("Kafka with the options of source {name:?}"), Problem { error, reason })
        })?;
        let client = Client { shared, consumer: Arc::new(consumer) };
        client.serve();
        client.first_look()?;
        Ok(client)
    }

    fn serve(&self) {
        let (shared, consumer) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.consumer));
        thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || serve(&shared, &consumer))
            .expect("the system can start a thread");
    }

    fn first_look(&self) -> Result<(), SourceError> {
        let start = Instant::now();
        loop {
            let object = || format!("Kafka at {}", self.shared.brokers);
            match self.shared.ask(&self.consumer, FIRST_ANSWER) {
                Asked::Found => return Ok(()),
                Asked::Missing if start.elapsed() > MISSING_DELAY => {
                    let what = format!("the topic {:?} of Kafka at {}", self.shared.topic, self.shared.brokers);
                    return Err(service("find", what, "brokers know no such topic; make it, or correct `topic`"));
                }
                Asked::Missing => thread::sleep(SERVE_DELAY),
                Asked::Failed(error) => {
                    if let Some(reason) = self.consumer.context().refusal() {
                        return Err(service("log in to", object(), reason));
                    }
                    if start.elapsed() > CONNECT {
                        return Err(service("reach", object(), self.consumer.context().explain(error)));
                    }
                    thread::sleep(SERVE_DELAY);
                }
            }
        }
    }

    /// Looks for new partitions.
    pub(super) fn look(&self) -> Result<(), SourceError> {
        match self.ask() {
            Asked::Failed(error) => Err(self.failed("look at", error)),
            Asked::Found | Asked::Missing => Ok(()),
        }
    }

    fn ask(&self) -> Asked {
        self.shared.ask(&self.consumer, ANSWER)
    }

    /// How many partitions the topic had at the last look.
    pub(super) fn partitions(&self) -> i32 {
        self.shared.partitions.load(Relaxed)
    }

    /// The first offset that a partition has, and the one after the last.
    pub(super) fn watermarks(&self, partition: i32) -> Result<(u64, u64), SourceError> {
        self.shared.assignment.asked();
        let asked = self.retried(|| self.consumer.fetch_watermarks(&self.shared.topic, partition, ANSWER));
        let (low, high) = asked.map_err(|error| self.failed("ask for the offsets of", error))?;
        let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Ok((offset(low), offset(high)))
    }

    /// The offset of the first record of a partition that is not older.
    pub(super) fn offset_at(&self, partition: i32, time: &str) -> Result<Option<u64>, SourceError> {
        let parsed: jiff::Timestamp = time.parse().map_err(|error| {
            service("read", format!("the time {time:?}, where source {:?} starts", self.shared.name), error)
        })?;
        self.shared.assignment.asked();
        let asked = self.retried(|| {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&self.shared.topic, partition, Offset::Offset(parsed.as_millisecond()))?;
            self.consumer.offsets_for_times(times, ANSWER)
        });
        let found = asked.map_err(|error| self.failed("ask for the offsets of", error))?;
        let offset = found.elements().first().map(|element| element.offset());
        Ok(match offset {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            _ => None,
        })
    }

    /// Tries again while brokers elect leaders, or come back.
    fn retried<T>(&self, mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
        let start = Instant::now();
        loop {
            match ask() {
                Err(_) if start.elapsed() < CONNECT && self.consumer.context().refusal().is_none() => {
                    thread::sleep(SERVE_DELAY);
                }
                answer => return answer,
            }
        }
    }

    /// What will be fetched of a partition: [`fetch`](Self::fetch) begins with it.
    pub(super) fn assign(&self, partition: i32, offset: u64) -> PartitionQueue<Context> {
        let topic = self.shared.topic.as_str();
        let queue = self.consumer.split_partition_queue(topic, partition).expect("a partition that was found");
        self.shared.assignment.add(partition, offset);
        queue
    }

    /// Begins to fetch partitions that were assigned. To be called again and again: it may not be time yet.
    pub(super) fn fetch(&self) -> Result<(), SourceError> {
        let begun = self.shared.assignment.begin(&self.consumer, &self.shared.topic);
        begun.map_err(|error| self.failed("read", error))
    }

    /// Stops fetching a partition.
    pub(super) fn release(&self, partition: i32) {
        if self.shared.assignment.forget(partition) {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.shared.topic, partition);
        // An error means that the consumer is closing.
        let _ = self.consumer.incremental_unassign(&list);
    }

    /// See [`Context::end`].
    pub(super) fn end(&self, partition: i32) -> Option<u64> {
        self.consumer.context().end(partition)
    }

    /// To be committed to the group, with the next others.
    pub(super) fn commit(&self, partition: i32, offset: u64) {
        self.shared.lock().insert(partition, offset);
    }

    /// Commits what waits, and waits for the answer; not for long.
    pub(super) fn finish(&self) {
        let (client, (answer, answered)) = (self.clone(), channel());
        // librdkafka would wait for a coordinator for as long as there is none.
        let commit = move || answer.send(client.shared.commit(&client.consumer, CommitMode::Sync));
        if thread::Builder::new().name("kafka".to_owned()).spawn(commit).is_err() {
            return;
        }
        if let Ok(Err(error)) = answered.recv_timeout(GOODBYE) {
            let name = &self.shared.name;
            tracing::warn!("source {name:?}: offsets could not be committed for monitors: {error}");
        }
    }

    /// What went wrong with a question about the topic.
    pub(super) fn failed(&self, action: &'static str, error: KafkaError) -> SourceError {
        let object = format!("the topic {:?} of Kafka at {}", self.shared.topic, self.shared.brokers);
        service(action, object, self.consumer.context().explain(error))
    }

    pub(super) fn warn(&self, partition: &str, error: &KafkaError) {
        tracing::warn!("source {:?}: partition {partition:?}: {error}; it goes on trying", self.shared.name);
    }
}

fn service(
    action: &'static str,
    object: String,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SourceError {
    SourceError::Service { action, object, source: source.into() }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, u64>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, consumer: &BaseConsumer<Context>, patience: Duration) -> Asked {
        let metadata = match consumer.fetch_metadata(Some(&self.topic), patience) {
            Ok(metadata) => metadata,
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
            )) => return Asked::Missing,
            Err(error) => return Asked::Failed(error),
        };
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let partitions = i32::try_from(partitions).expect("fewer than 2^31 partitions");
        if partitions == 0 {
            return Asked::Missing;
        }
        // Of a topic that is made anew with fewer, what is asked for says so.
        self.partitions.fetch_max(partitions, Relaxed);
        Asked::Found
    }

    /// Commits what waits, if anything does. Asynchronous commits are answered by nothing.
    fn commit(&self, consumer: &BaseConsumer<Context>, mode: CommitMode) -> KafkaResult<()> {
        let written = std::mem::take(&mut *self.lock());
        let mut list = TopicPartitionList::new();
        for (partition, offset) in written {
            list.add_partition_offset(
                &self.topic,
                partition,
                Offset::Offset(i64::try_from(offset).expect("Kafka gave it")),
            )?;
        }
        if list.count() == 0 { Ok(()) } else { consumer.commit(&list, mode) }
    }
}

/// Serves a consumer as long as somebody has it.
fn serve(shared: &Weak<Shared>, consumer: &Weak<BaseConsumer<Context>>) {
    let mut looked = Instant::now();
    while let Some(consumer) = consumer.upgrade() {
        if let Some(Err(error)) = consumer.poll(SERVE_DELAY) {
            tracing::debug!("{error}");
        }
        if looked.elapsed() < LOOK_DELAY {
            continue;
        }
        let Some(shared) = shared.upgrade() else { return };
        if let Err(error) = shared.commit(&consumer, CommitMode::Async) {
            tracing::debug!("source {:?}: offsets could not be committed: {error}", shared.name);
        }
        if let Asked::Failed(error) = shared.ask(&consumer, ANSWER) {
            tracing::debug!("source {:?}: partitions could not be looked for: {error}", shared.name);
        }
        looked = Instant::now();
    }
}
