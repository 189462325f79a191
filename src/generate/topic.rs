//! A topic of Kafka that an archive goes to.

use std::pin::pin;
use std::task::{Context as Polling, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::GenerateError;
use crate::kafka::{ANSWER, CONNECT, Context, Problem, options};

/// How long brokers may take to acknowledge what was sent last.
const LAST: Duration = Duration::from_secs(120);
/// How long a topic that was just made may be unknown.
const MADE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// What comes less early than this is sent at once.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
/// Where the id stands in each line; see [`write_id`](super::annotation::write_id).
const ID: std::ops::Range<usize> = 18..54;

/// A topic of Kafka, and how fast it is written.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Brokers to begin with.
    pub brokers: String,
    /// Its name.
    pub name: String,
    /// The partitions that it gets if it has to be made; none if it must be there.
    pub partitions: Option<u32>,
    /// Lines a second; without it, as fast as brokers take them.
    pub rate: Option<f64>,
    /// Further options of librdkafka.
    pub options: IndexMap<String, String>,
}

/// Sends lines, each when it is due.
pub(super) struct TopicWriter {
    topic: Topic,
    producer: BaseProducer<Context>,
    begun: Instant,
    sent: u64,
}

impl Topic {
    fn failed(
        &self,
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> GenerateError {
        let (topic, brokers) = (self.name.clone(), self.brokers.clone());
        GenerateError::Topic { action, topic, brokers, source: source.into() }
    }

    /// Sees to it that the topic is there.
    fn find(&self) -> Result<(), GenerateError> {
        let config = options::config(&self.brokers, &self.options, &[("allow.auto.create.topics", "false")]);
        let context = Context::new("generate");
        let consumer: BaseConsumer<Context> = config
            .create_with_context(context)
            .map_err(|error| self.failed("find", Problem { error, reason: None }))?;
        let (start, mut is_made) = (Instant::now(), false);
        loop {
            let asked = consumer.fetch_metadata(Some(&self.name), ANSWER);
            let unknown = [RDKafkaErrorCode::UnknownTopic, RDKafkaErrorCode::UnknownTopicOrPartition];
            let is_there = match asked {
                Ok(metadata) => metadata.topics().first().is_some_and(|topic| {
                    let partitions = topic.partitions();
                    !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
                }),
                Err(error) if error.rdkafka_error_code().is_some_and(|code| unknown.contains(&code)) => false,
                Err(error) if start.elapsed() >= CONNECT || consumer.context().refusal().is_some() => {
                    return Err(self.failed("find", consumer.context().explain(error)));
                }
                Err(_) => {
                    thread::sleep(LOOK);
                    continue;
                }
            };
            match self.partitions {
                _ if is_there => return Ok(()),
                None => {
                    return Err(
                        self.failed("find", "brokers know no such topic; make it, or have it made by --partitions")
                    );
                }
                Some(partitions) if !is_made => {
                    self.make(partitions)?;
                    is_made = true;
                }
                Some(_) if start.elapsed() >= CONNECT + MADE => {
                    return Err(self.failed("find", "it was made, and brokers do not know it yet; try again"));
                }
                Some(_) => thread::sleep(LOOK),
            }
        }
    }

    /// Makes it, with as many copies as the brokers make by default.
    fn make(&self, partitions: u32) -> Result<(), GenerateError> {
        let admin: AdminClient<DefaultClientContext> =
            options::config(&self.brokers, &self.options, &[]).create().map_err(|error| self.failed("make", error))?;
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(CONNECT));
        let made = wait(admin.create_topics([&topic], &options)).map_err(|error| self.failed("make", error))?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
            Some(Err((_, code))) => Err(self.failed("make", KafkaError::AdminOp(code))),
        }
    }
}

/// Futures of the admin client are ready when its thread has the answer.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Polling::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl TopicWriter {
    pub(super) fn open(topic: &Topic) -> Result<Self, GenerateError> {
        topic.find()?;
        let mut settings = topic.options.clone();
        // The partitioner is that of the clients in Java.
        for (option, value) in [("linger.ms", "5"), ("compression.type", "lz4"), ("partitioner", "murmur2_random")] {
            settings.entry(option.to_owned()).or_insert_with(|| value.to_owned());
        }
        // Lines of an id must come in their order, and once.
        let config = options::config(&topic.brokers, &settings, &[("enable.idempotence", "true")]);
        let producer = config
            .create_with_context(Context::new("generate"))
            .map_err(|error| topic.failed("write to", Problem { error, reason: None }))?;
        Ok(TopicWriter { topic: topic.clone(), producer, begun: Instant::now(), sent: 0 })
    }

    /// Sends lines, each with its line break.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), GenerateError> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.wait_until_due();
            self.send(line.trim_ascii_end())?;
            self.sent += 1;
        }
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    fn wait_until_due(&self) {
        let Some(rate) = self.topic.rate else { return };
        let due = Duration::from_secs_f64(self.sent as f64 / rate);
        while let Some(early) = due.checked_sub(self.begun.elapsed()).filter(|early| *early >= SHORTEST_WAIT) {
            // Waiting inside of `poll` keeps a processor busy in its last millisecond.
            thread::sleep(early.min(LOOK));
            self.producer.poll(Duration::ZERO);
        }
    }

    fn send(&self, line: &[u8]) -> Result<(), GenerateError> {
        let mut record = BaseRecord::to(&self.topic.name).key(&line[ID]).payload(line);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    self.producer.poll(LOOK);
                    self.check()?;
                    record = returned;
                }
                Err((error, _)) => return Err(self.topic.failed("write to", self.producer.context().explain(error))),
            }
        }
    }

    /// Whether all that was answered so far was taken.
    fn check(&self) -> Result<(), GenerateError> {
        match self.producer.context().undelivered() {
            None => Ok(()),
            Some(error) => Err(self.topic.failed("write to", self.producer.context().explain(error))),
        }
    }

    /// Waits until brokers have everything.
    pub(super) fn finish(self) -> Result<(), GenerateError> {
        let flushed = self.producer.flush(LAST);
        self.check()?;
        flushed.map_err(|error| self.topic.failed("write to", self.producer.context().explain(error)))
    }
}
