//! The part of the model about topics of Kafka.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::FieldPath;

/// What a row is identified by: a field, or the key of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyField {
    /// The key of its message.
    Message,
    /// A field.
    Path(FieldPath),
}

const MESSAGE: &str = "message";

impl FromStr for KeyField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            MESSAGE => Ok(KeyField::Message),
            path => path.parse().map(KeyField::Path),
        }
    }
}

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyField::Message => f.write_str(MESSAGE),
            KeyField::Path(path) => path.fmt(f),
        }
    }
}

impl Serialize for KeyField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for KeyField {
    fn schema_name() -> Cow<'static, str> {
        "KeyField".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(message|(/([^/~]|~[01])+)+)$",
            "description": "a field path: a JSON Pointer such as /annotation_id; or message: the key of the topic's messages"
        })
    }
}

use super::units::Span;

/// A topic of Kafka. A record without a value (a tombstone) deletes the row that its message key names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSource {
    /// Brokers to begin with, as `host:port`, separated by commas.
    #[schemars(length(min = 1))]
    pub brokers: String,
    /// The topic.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// Where a first run begins. Partitions that are made later are read from their beginning.
    #[serde(default)]
    pub start: KafkaStart,
    /// Where a first run begins in partitions of these numbers, instead: the offset of the first record.
    #[serde(default)]
    pub offsets: IndexMap<String, u64>,
    /// Whether records of transactions are read once these are committed, or at once.
    #[serde(default)]
    pub isolation: Isolation,
    /// How message keys are read: that of a record without a value, and with `key: message` all.
    #[serde(default)]
    pub message_key: MessageKey,
    /// A top-level field that records get, with where they come from: an object with `partition`, `offset`, `timestamp_ms`, `key`
    /// and `headers`. By default records stay as they are.
    #[schemars(length(min = 1))]
    pub metadata: Option<String>,
    /// The consumer group under which offsets are committed once all sinks have them, for monitors of lag; nothing else depends on
    /// it. By default `flowstone-`, the pipeline's name, `-` and the source's name.
    #[schemars(length(min = 1))]
    pub group: Option<String>,
    /// Further options of librdkafka, such as `security.protocol` and `sasl.password`. Those that would break a guarantee are
    /// refused.
    #[serde(default)]
    pub options: IndexMap<String, String>,
}

/// Where a first run begins in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaStart {
    /// At the first record that is there.
    #[default]
    Beginning,
    /// After the last record that is there.
    End,
    /// At the first record that is not older than this RFC 3339 time; after the last one if all are.
    Timestamp(String),
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of committed transactions, and those without one.
    #[default]
    ReadCommitted,
    /// All, also of transactions that are aborted later.
    ReadUncommitted,
}

/// How a message key is read as the key of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageKey {
    /// As a string.
    #[default]
    Text,
    /// As an integer, in decimal digits.
    Integer,
    /// As JSON: a string, an integer, or an array with the fields of the key.
    Json,
}

/// A topic of Kafka that nobody else writes: a record a change, keyed by the row key; a deletion has no value. Each epoch is one
/// transaction: read what is committed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSink {
    /// Brokers to begin with, as `host:port`, separated by commas.
    #[schemars(length(min = 1))]
    pub brokers: String,
    /// The topic, which must exist.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// What the value of a record is.
    #[serde(default)]
    pub format: KafkaFormat,
    /// The transactional id, of which only one run at a time can write; by default `flowstone-` and the topic's name.
    #[schemars(length(min = 1))]
    pub transactional_id: Option<String>,
    /// How long brokers may take until they have committed an epoch; then the run ends. A first fill is one transaction. Brokers
    /// allow so much by default (`transaction.max.timeout.ms`).
    #[serde(default = "transaction_timeout")]
    pub transaction_timeout: Span,
    /// Further options of librdkafka, such as `security.protocol` and `compression.type`. Those that would break a guarantee are
    /// refused.
    #[serde(default)]
    pub options: IndexMap<String, String>,
}

fn transaction_timeout() -> Span {
    Span::from_millis(900_000)
}

/// What the value of a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaFormat {
    /// The document; none for a deletion.
    #[default]
    Json,
    /// `key`, `epoch`, `op` (`upsert` or `delete`), and documents: `before` if there was one, `after` if there is one. When the
    /// topic is filled anew, there is no `before`, and what goes has no value.
    Change,
}
