//! The part of the model about stores that are servers.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::OneOrMany;
use super::units::{ByteSize, Span};
use crate::record::FieldPath;

/// A password or a key: written into a file as `"${VARIABLE}"`, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What must not be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Hidden: the settings of a pipeline are drawn, logged and recorded.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "description": "a password or a key; put it into a variable: \"${NAME}\"" })
    }
}

/// An index of Elasticsearch or OpenSearch: a document a row, with the row key as `_id`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchSink {
    /// The server, `http://HOST:9200` or `https://…`; of a cluster several nodes may be named, the next is asked if one does
    /// not answer.
    pub url: OneOrMany<String>,
    /// The index; or several, of which the key of a row decides: `moments-{hash:8}` by its hash, `moments-{hour}`, `{day}`,
    /// `{month}` or `{year}` by the start of a moment, `events-{day:/time}` by a field of the key. These are made as rows come.
    #[schemars(length(min = 1))]
    pub index: String,
    /// Makes the index and its mapping if they are missing; without it, they must be there and fit.
    #[serde(default)]
    pub create: bool,
    /// A name to search by, made if missing. With `deletes: tombstone` it hides what is deleted.
    #[schemars(length(min = 1))]
    pub alias: Option<String>,
    /// The key of an API user, as the server has given it (`encoded`).
    pub api_key: Option<Secret>,
    /// A user, with `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificate of who has signed the server's; by default those that the system trusts.
    #[schemars(length(min = 1))]
    pub ca: Option<String>,
    /// What becomes of documents that are deleted.
    #[serde(default)]
    pub deletes: Deletes,
    /// How long a made index remembers a deletion, so that an older write that comes late can not undo it.
    #[serde(default = "defaults::gc_deletes")]
    pub gc_deletes: Span,
    /// The shards of an index that is made; by default what the server decides.
    #[schemars(range(min = 1))]
    pub shards: Option<u32>,
    /// The copies of each shard of an index that is made; by default what the server decides.
    pub replicas: Option<u32>,
    /// How often an index that is made shows what was written; by default what the server decides.
    pub refresh: Option<Span>,
    /// The field of an annotation that holds its label, in the mapping of a made index.
    #[serde(default = "defaults::label")]
    pub label: FieldPath,
    /// The fields of an annotation that are searched as text, besides the label, in the mapping of a made index.
    #[serde(default = "defaults::text")]
    pub text: Vec<FieldPath>,
    /// The field of an annotation that holds its confidence, in the mapping of a made index.
    #[serde(default = "defaults::confidence")]
    pub confidence: FieldPath,
    /// Where annotations have vectors, if they are to be searched by them; in the mapping of a made index.
    pub vector: Option<VectorField>,
    /// How many bytes of documents one request holds.
    #[serde(default = "defaults::bulk")]
    pub bulk: ByteSize,
    /// How many requests are on their way at most; fewer when the server says that it has enough.
    #[serde(default = "defaults::in_flight")]
    #[schemars(range(min = 1))]
    pub in_flight: u32,
    /// Compresses requests.
    #[serde(default)]
    pub gzip: bool,
    /// What becomes of the old document when the server refuses a new one.
    #[serde(default)]
    pub on_refused: OnRefused,
    /// The run ends if more documents of one epoch are refused.
    #[serde(default = "defaults::max_refused")]
    pub max_refused: u32,
}

/// The vectors of annotations, such as embeddings. Needs Elasticsearch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorField {
    /// The field of an annotation that holds its vector, a list of numbers.
    #[serde(default = "defaults::vector")]
    pub path: FieldPath,
    /// How many numbers a vector has. The server refuses documents with others.
    #[schemars(range(min = 1))]
    pub dims: u32,
    /// How alike two vectors are.
    #[serde(default)]
    pub metric: Metric,
    /// Makes an index of them (HNSW), for searches that need not compare all: `query --approximate`. It takes time and memory.
    #[serde(default)]
    pub approximate: bool,
}

/// How alike two vectors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// By the angle between them.
    #[default]
    Cosine,
    /// By the distance between their ends.
    Euclidean,
}

/// What becomes of documents that are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deletes {
    /// They are removed. The server forgets deletions after `gc_deletes` and when it restarts; an older write that comes later
    /// than that would bring the document back.
    #[default]
    Remove,
    /// `{"_deleted": true}` takes their place, which nothing older can undo. Needs `alias`, which hides these.
    Tombstone,
}

/// What becomes of the old row when the store refuses a new one. In each case the new one is a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRefused {
    /// It is deleted: a missing row is honest, a stale one is not.
    #[default]
    Delete,
    /// It stays.
    Keep,
    /// It stays, and the run ends with an error.
    Stop,
}

/// A table of Cassandra or ScyllaDB. Moments have the columns `asset`, `hour`, `start_ns`, `document` and `epoch` unless
/// `partition`, `clustering` or `columns` say otherwise; other rows `key`, `document` and `epoch`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CassandraSink {
    /// Servers to ask for the others of the cluster: `HOST:9042`.
    pub nodes: OneOrMany<String>,
    /// The keyspace.
    #[schemars(length(min = 1))]
    pub keyspace: String,
    /// The table.
    #[schemars(length(min = 1))]
    pub table: String,
    /// Makes keyspace and table if they are missing; without it, they must be there and fit.
    #[serde(default)]
    pub create: bool,
    /// How many copies a keyspace that is made has of each row.
    #[serde(default = "defaults::replication")]
    #[schemars(range(min = 1))]
    pub replication: u32,
    /// The data center whose servers are written to first; replicas of a keyspace that is made are there.
    pub datacenter: Option<String>,
    /// A user, with `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// Encrypts connections.
    pub tls: Option<CassandraTls>,
    /// How many copies of a row must be written before it counts as written.
    #[serde(default)]
    pub consistency: Consistency,
    /// The columns of the partition key, in order. With it, `clustering` or `columns`, these three say all of the table.
    #[serde(default)]
    pub partition: IndexMap<String, ColumnSpec>,
    /// The clustering columns, in order.
    #[serde(default)]
    pub clustering: IndexMap<String, ColumnSpec>,
    /// Further columns.
    #[serde(default)]
    pub columns: IndexMap<String, ColumnSpec>,
    /// How long rows stay; by default for ever. In whole seconds.
    pub ttl: Option<Span>,
    /// How many requests are on their way to each server, on average at most; fewer when the servers say that they have enough.
    #[serde(default = "defaults::requests")]
    #[schemars(range(min = 1))]
    pub in_flight: u32,
    /// How many bytes rows of one partition are written together in.
    #[serde(default = "defaults::batch")]
    pub batch: ByteSize,
    /// What becomes of the old row when the server refuses a new one.
    #[serde(default)]
    pub on_refused: OnRefused,
    /// The run ends if more rows of one epoch are refused.
    #[serde(default = "defaults::max_refused")]
    pub max_refused: u32,
}

/// Encrypted connections. The certificate of each server must name its address, and be signed by whom `ca` names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CassandraTls {
    /// A PEM file with the certificates of who has signed the servers'.
    #[schemars(length(min = 1))]
    pub ca: String,
    /// A PEM file with a certificate to show to servers that want one, with `key`.
    #[schemars(length(min = 1))]
    pub certificate: Option<String>,
    /// A PEM file with the key of that certificate.
    #[schemars(length(min = 1))]
    pub key: Option<String>,
}

/// A column: its type, and the path of its value in the document.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: CassandraType,
    /// Where its value is in the document.
    pub path: FieldPath,
    /// For a time in nanoseconds, of type `bigint`: it is counted in whole ones of this, such as `1h`.
    pub divide: Option<Span>,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CassandraType {
    /// Text: strings as they are, other values as JSON.
    Text,
    /// An integer of 64 bits.
    Bigint,
    /// A floating-point number of 64 bits.
    Double,
    /// `true` or `false`.
    Boolean,
}

/// How many copies of a row must be written before it counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One.
    One,
    /// Most of all.
    Quorum,
    /// Most of those in the data center.
    #[default]
    LocalQuorum,
    /// All.
    All,
}

mod defaults {
    use super::{ByteSize, FieldPath, Span};

    pub(super) fn gc_deletes() -> Span {
        Span::from_millis(3_600_000)
    }
    pub(super) fn bulk() -> ByteSize {
        ByteSize(4 << 20)
    }
    pub(super) fn in_flight() -> u32 {
        4
    }
    pub(super) fn max_refused() -> u32 {
        1_000
    }
    pub(super) fn label() -> FieldPath {
        FieldPath::literal("/label")
    }
    pub(super) fn text() -> Vec<FieldPath> {
        vec![FieldPath::literal("/text")]
    }
    pub(super) fn vector() -> FieldPath {
        FieldPath::literal("/embedding_vector")
    }
    pub(super) fn confidence() -> FieldPath {
        FieldPath::literal("/confidence_score")
    }
    pub(super) fn replication() -> u32 {
        1
    }
    pub(super) fn requests() -> u32 {
        256
    }
    pub(super) fn batch() -> ByteSize {
        ByteSize(4 << 10)
    }
}
