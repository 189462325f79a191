//! A topic of Kafka: a record a change, keyed by the row key; a deletion is a record without a value.
//!
//! | part of a record | holds |
//! |---|---|
//! | key | the row key, a compact JSON array: `["a7",4000000000]` |
//! | value | the document, nothing for a deletion; or with `format: change` what was and what is |
//! | header `flowstone-epoch` | the epoch, in decimal digits |
//! | header `flowstone-store` | the identity of the topic's content |
//!
//! One transaction an epoch. As an epoch is in the topic whole or not at all, for readers of what is committed, its newest
//! record says how far the sink is: no other place has to be kept in step. An epoch in which nothing is to be written still
//! leaves a record, of the key `[]` and without a value.
//!
//! The transactional id is fixed to the sink: a run that opens the topic ends the transactions of all earlier ones, which can
//! commit nothing any more (law L6).
//!
//! A fill is one transaction, too, so it must be written within fifteen minutes, which is the longest that brokers allow. Its
//! sweep reads the topic once, and deletes the keys that the fill does not have, with a record without a value in any format.
//!
//! What librdkafka can not send again ends the run, and nothing of the epoch is seen; the next run writes it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use xxhash_rust::xxh3::xxh3_128;

use self::content::Content;
use super::identity::random_id;
use super::{Change, Opened, SinkError, StoreState, Sweep, Writer};
use crate::kafka::{Context, Problem, options};
use crate::pipeline::{KafkaFormat, KafkaSink as Spec};
use crate::record::Renderer;

mod content;

/// How long brokers are tried at the start.
const OPEN: Duration = Duration::from_secs(60);
const EPOCH: &str = "flowstone-epoch";
const STORE: &str = "flowstone-store";
/// The key of what says only that an epoch was written.
const NO_ROW: &[u8] = b"[]";

/// Opens the topic. `name` is the sink's; `id` is the transactional id, if the pipeline names none.
///
/// # Errors
/// If no broker answers, if there is no such topic, or if there are records in it that no sink has written.
pub fn open(name: &str, spec: &Spec, id: &str) -> Result<Opened, SinkError> {
    let object = format!("kafka sink {name:?} (topic {:?})", spec.topic);
    let producer = producer(name, spec, spec.transactional_id.as_deref().unwrap_or(id), &object)?;
    // Ends what earlier runs have open: after this, nobody else adds to the topic.
    producer.init_transactions(OPEN).map_err(|error| failed("open", &object, &producer, error))?;
    let content = Content::open(name, spec, &object)?;
    let newest = content.newest()?;
    let (store, upper) = match newest {
        Some(newest) => (newest.store, newest.epoch.saturating_add(1)),
        None => (random_id(), 0),
    };
    let state = StoreState { id: store.clone(), upper };
    let writer = KafkaWriter {
        object,
        topic: spec.topic.clone(),
        format: spec.format,
        timeout: spec.transaction_timeout.duration(),
        producer,
        content,
        headers: [String::new(), store],
        is_empty: upper == 0,
        writing: None,
        written: HashSet::new(),
        upper,
        key: Vec::new(),
        value: Vec::new(),
        renderer: Renderer::default(),
    };
    Ok(Opened { writer: Box::new(writer), above: upper, store: Some(state) })
}

fn producer(name: &str, spec: &Spec, id: &str, object: &str) -> Result<BaseProducer<Context>, SinkError> {
    let timeout = spec.transaction_timeout.duration().as_millis().to_string();
    let mut settings = spec.options.clone();
    let mut preset = |option: &str, value: &str| {
        settings.entry(option.to_owned()).or_insert_with(|| value.to_owned());
    };
    preset("linger.ms", "5");
    preset("compression.type", "lz4");
    // As the clients in Java do.
    preset("partitioner", "murmur2_random");
    let ours = [("transactional.id", id), ("transaction.timeout.ms", timeout.as_str())];
    let config = options::config(&spec.brokers, &settings, &ours);
    config
        .create_with_context(Context::new(format!("sink {name:?}")))
        .map_err(|error| SinkError::store("open", object, Problem { error, reason: None }))
}

fn failed(action: &'static str, object: &str, producer: &BaseProducer<Context>, error: KafkaError) -> SinkError {
    let fenced = [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::InvalidProducerEpoch];
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    if error.rdkafka_error_code().into_iter().chain(fatal).any(|code| fenced.contains(&code)) {
        return SinkError::Fenced { object: object.to_owned() };
    }
    SinkError::store(action, object, producer.context().explain(error))
}

struct KafkaWriter {
    /// The sink and the store, for errors.
    object: String,
    topic: String,
    format: KafkaFormat,
    /// How long a transaction may take.
    timeout: Duration,
    producer: BaseProducer<Context>,
    content: Content,
    /// Of epoch and store.
    headers: [String; 2],
    /// Whether there was nothing in the topic: then there is nothing to sweep.
    is_empty: bool,
    /// The epoch whose transaction is open.
    writing: Option<Writing>,
    /// The keys of the open epoch, hashed; only if they may be needed for a sweep.
    written: HashSet<u128>,
    upper: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    renderer: Renderer,
}

struct Writing {
    epoch: u64,
    records: u64,
}

impl KafkaWriter {
    fn failed(&self, action: &'static str, error: KafkaError) -> SinkError {
        failed(action, &self.object, &self.producer, error)
    }

    /// Opens the epoch's transaction, unless it is open.
    fn begin(&mut self, epoch: u64) -> Result<(), SinkError> {
        if let Some(writing) = &self.writing {
            assert_eq!(writing.epoch, epoch, "an epoch is closed before the next one is written");
            return Ok(());
        }
        self.producer.begin_transaction().map_err(|error| self.failed("write to", error))?;
        self.headers[0] = epoch.to_string();
        self.writing = Some(Writing { epoch, records: 0 });
        Ok(())
    }

    /// Sends one record, as soon as there is room for it.
    fn send(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), SinkError> {
        let [epoch, store] = &self.headers;
        let headers = OwnedHeaders::new();
        let headers = headers.insert(Header { key: EPOCH, value: Some(epoch) });
        let headers = headers.insert(Header { key: STORE, value: Some(store) });
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).key(key).headers(headers);
        if let Some(value) = value {
            record = record.payload(value);
        }
        let start = Instant::now();
        while let Err((error, returned)) = self.producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || start.elapsed() > self.timeout {
                return Err(self.failed("write to", error));
            }
            self.producer.poll(Duration::from_millis(10));
            record = returned;
        }
        if let Some(writing) = &mut self.writing {
            writing.records += 1;
            if writing.records.is_multiple_of(1_024) {
                self.producer.poll(Duration::ZERO);
            }
        }
        Ok(())
    }

    fn put(&mut self, epoch: u64, change: &Change) -> Result<(), SinkError> {
        let (mut key, mut value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        key.clear();
        value.clear();
        change.row().write_key(&mut key);
        let has_value = self.render(epoch, change, &key, &mut value);
        if !self.is_empty {
            self.written.insert(xxh3_128(&key));
        }
        let sent = self.send(&key, has_value.then_some(value.as_slice()));
        (self.key, self.value) = (key, value);
        sent
    }

    /// Renders the value of a record, if it has one.
    fn render(&mut self, epoch: u64, change: &Change, key: &[u8], value: &mut Vec<u8>) -> bool {
        if self.format == KafkaFormat::Json {
            let Some(row) = change.after() else { return false };
            self.renderer.document(row, value);
            return true;
        }
        let op = if change.after().is_some() { "upsert" } else { "delete" };
        value.extend_from_slice(b"{\"key\":");
        value.extend_from_slice(key);
        value.extend_from_slice(format!(",\"epoch\":{epoch},\"op\":\"{op}\"").as_bytes());
        for (side, row) in [("before", change.before()), ("after", change.after())] {
            if let Some(row) = row {
                value.extend_from_slice(format!(",\"{side}\":").as_bytes());
                self.renderer.document(row, value);
            }
        }
        value.push(b'}');
        true
    }

    /// Deletes what is in the topic of keys that the open epoch has not.
    fn sweep(&mut self) -> Result<(), SinkError> {
        if self.is_empty {
            return Ok(());
        }
        for key in self.content.keys()? {
            if !self.written.contains(&xxh3_128(&key)) {
                self.send(&key, None)?;
            }
        }
        Ok(())
    }
}

impl Writer for KafkaWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        self.begin(epoch)?;
        changes.drain(..).try_for_each(|change| self.put(epoch, &change))
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        self.begin(epoch)?;
        if sweep == Sweep::Older {
            self.sweep()?;
        }
        if self.writing.as_ref().is_some_and(|writing| writing.records == 0) {
            self.send(NO_ROW, None)?;
        }
        let start = Instant::now();
        loop {
            match self.producer.commit_transaction(self.timeout) {
                Ok(()) => break,
                // It is said that the same call may be tried again.
                Err(KafkaError::Transaction(error)) if error.is_retriable() && start.elapsed() < self.timeout => {}
                Err(error) => return Err(self.failed("commit to", error)),
            }
        }
        self.writing = None;
        self.written.clear();
        self.is_empty = false;
        self.upper = epoch + 1;
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.writing.take().is_some() {
            self.producer.abort_transaction(OPEN).map_err(|error| self.failed("roll back", error))?;
        }
        Ok(())
    }
}
