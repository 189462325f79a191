//! A topic of its own for each test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::archive::from_source;
use crate::support::Place;

/// How long brokers may take, also while they are killed and the machine does other things.
pub const LONG: Duration = Duration::from_secs(90);

/// A topic; with its name in pipelines and messages.
pub struct Topic {
    pub brokers: String,
    pub name: String,
    admin: AdminClient<DefaultClientContext>,
}

/// A record to be produced.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub partition: i32,
    pub key: Option<String>,
    pub payload: Option<String>,
    pub headers: Vec<(String, String)>,
    pub timestamp_ms: Option<i64>,
}

/// A record that a sink has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub key: String,
    pub value: Option<String>,
    pub epoch: u64,
}

impl Written {
    fn of(message: &impl Message) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().unwrap();
        let epoch = headers.iter().find(|header| header.key == "flowstone-epoch").unwrap().value.unwrap();
        let key = text(message.key().unwrap());
        let value = message.payload().map(text);
        (key != "[]").then(|| Written { key, value, epoch: text(epoch).parse().unwrap() })
    }
}

/// A record with a payload.
pub fn record(partition: i32, payload: impl Into<String>) -> Record {
    Record { partition, payload: Some(payload.into()), ..Record::default() }
}

/// A record without one, with a key.
pub fn tombstone(partition: i32, key: &str) -> Record {
    Record { partition, key: Some(key.to_owned()), ..Record::default() }
}

/// Futures of the admin client are ready when its thread has the answer.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LONG)).request_timeout(Some(LONG))
}

impl Topic {
    /// A new topic of the cluster that tests share.
    pub fn new(partitions: i32) -> Self {
        Topic::at(flowstone_services::shared::kafka(), partitions, 1, &[])
    }

    /// A new topic of that cluster, with settings.
    pub fn with(partitions: i32, settings: &[(&str, &str)]) -> Self {
        Topic::at(flowstone_services::shared::kafka(), partitions, 1, settings)
    }

    /// A new topic of a cluster.
    pub fn at(brokers: &str, partitions: i32, copies: i32, settings: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("t{now}-{}", NUMBER.fetch_add(1, Relaxed));
        let admin = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        let topic = Topic { brokers: brokers.to_owned(), name, admin };
        topic.create(partitions, copies, settings);
        topic
    }

    fn create(&self, partitions: i32, copies: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(copies));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        eventually("the topic is made", || wait(self.admin.create_topics([&topic], &options())).unwrap()[0].is_ok());
        let consumer: BaseConsumer = self.client().create().unwrap();
        eventually("the topic is there", || {
            let metadata = consumer.fetch_metadata(Some(&self.name), LONG).unwrap();
            let found = metadata.topics()[0].partitions();
            found.len() == partitions as usize && found.iter().all(|partition| partition.leader() >= 0)
        });
    }

    pub fn delete(&self) {
        for result in wait(self.admin.delete_topics(&[&self.name], &options())).unwrap() {
            result.unwrap();
        }
    }

    /// Deletes it, and makes one of the same name.
    pub fn make_anew(&self, partitions: i32) {
        self.delete();
        self.create(partitions, 1, &[]);
    }

    pub fn grow(&self, partitions: usize) {
        let grown = wait(self.admin.create_partitions(&[NewPartitions::new(&self.name, partitions)], &options()));
        grown.unwrap()[0].as_ref().unwrap();
    }

    /// Moves the log's beginning.
    pub fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        wait(self.admin.delete_records(&list, &options())).unwrap();
        let consumer: BaseConsumer = self.client().create().unwrap();
        eventually("its beginning has moved", || {
            consumer.fetch_watermarks(&self.name, partition, LONG).unwrap().0 >= offset
        });
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Produces records, and waits until they are there.
    pub fn produce(&self, records: impl IntoIterator<Item = Record>) {
        let producer: BaseProducer =
            self.client().set("enable.idempotence", "true").set("linger.ms", "1").create().unwrap();
        self.send(&producer, records);
        producer.flush(LONG).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
    }

    /// Produces records in a transaction, and commits or aborts it.
    pub fn transact(&self, commits: bool, records: impl IntoIterator<Item = Record>) {
        let producer: BaseProducer = self.client().set("transactional.id", &self.name).create().unwrap();
        producer.init_transactions(LONG).unwrap();
        producer.begin_transaction().unwrap();
        self.send(&producer, records);
        producer.flush(LONG).unwrap();
        match commits {
            true => producer.commit_transaction(LONG).unwrap(),
            false => producer.abort_transaction(LONG).unwrap(),
        }
    }

    fn send(&self, producer: &BaseProducer, records: impl IntoIterator<Item = Record>) {
        for record in records {
            let mut base: BaseRecord<'_, String, String> = BaseRecord::to(&self.name).partition(record.partition);
            if let Some(key) = &record.key {
                base = base.key(key);
            }
            if let Some(payload) = &record.payload {
                base = base.payload(payload);
            }
            if let Some(at) = record.timestamp_ms {
                base = base.timestamp(at);
            }
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut waiting = base.headers(headers);
            while let Err((_, returned)) = producer.send(waiting) {
                producer.poll(Duration::from_millis(10));
                waiting = returned;
            }
        }
    }

    /// The offset that is committed for a group in each partition.
    pub fn committed(&self, group: &str, partitions: i32) -> HashMap<i32, i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        (0..partitions).for_each(|partition| {
            list.add_partition(&self.name, partition);
        });
        let committed = consumer.committed_offsets(list, LONG).unwrap();
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { -1 };
        committed.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect()
    }

    /// What sinks have written, as far as it is committed, partition by partition; without what says only that an epoch was.
    pub fn written(&self) -> Vec<Written> {
        let mut written = Vec::new();
        self.each(|message| written.extend(Written::of(message)));
        written
    }

    /// How many records there are, as far as they are committed.
    pub fn count(&self) -> usize {
        let mut count = 0;
        self.each(|_| count += 1);
        count
    }

    fn each(&self, mut take: impl FnMut(&BorrowedMessage<'_>)) {
        let mut config = self.client();
        config.set("group.id", "reader").set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
        let partitions = consumer.fetch_metadata(Some(&self.name), LONG).unwrap().topics()[0].partitions().len();
        for partition in 0..i32::try_from(partitions).unwrap() {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&self.name, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            loop {
                match consumer.poll(LONG).expect("the broker answers") {
                    Ok(message) => take(&message),
                    Err(KafkaError::PartitionEOF(_)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// A pipeline that fuses what is in the topic; `kafka` adds to the settings of the source.
    pub fn pipeline(&self, kafka: &str, sinks: &str) -> String {
        let source = format!("{}, key: /annotation_id, delete: /deleted", self.source(kafka));
        from_source(&source, "", sinks)
    }

    /// The source alone.
    pub fn source(&self, kafka: &str) -> String {
        let more = if kafka.is_empty() { String::new() } else { format!(", {kafka}") };
        format!("kafka: {{ brokers: \"{}\", topic: {}{more} }}", self.brokers, self.name)
    }
}

/// Waits until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `flowstone backfill`, which must fail with exit code 1; what it says.
pub fn fails(place: &Place) -> String {
    let said = place.refused(1);
    assert!(said.lines().any(|line| line.starts_with("error: ")), "{said}");
    said
}
