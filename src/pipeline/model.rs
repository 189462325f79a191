//! The pipeline file, as types. Parser, JSON Schema and reference page are all made from these.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::aggregation::{
    AggregateSpec, ComputeFields, ComputeName, ComputeSpec, ConditionFields, ConditionSpec, EndSpec, HopSpec, IdSpec,
    Literal, SessionSpec, TimeUnit, TopSpec, WindowSpec,
};
pub use super::operator::OperatorSpec;
pub use super::remote::{CassandraSink, ElasticsearchSink};
pub use super::reshaping::{AsOf, DistinctSpec, FilterSpec, JoinSpec, JoinWith, MapSpec, Rest, Unmatched};
pub use super::topics::{Isolation, KafkaFormat, KafkaSink, KafkaSource, KafkaStart, KeyField, MessageKey};
use super::units::{ByteSize, Span};
use crate::record::FieldPath;

/// A pipeline: sources, operators and sinks, by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The pipeline's name, in logs and metrics.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Where state lives: a directory, a URL such as `s3://bucket/prefix`, or `none`. Dead letters go to the directory by default.
    #[serde(default = "defaults::state")]
    #[schemars(length(min = 1))]
    pub state: String,
    /// How long an epoch is open while input streams in: the upper bound of how long a change waits to be grouped.
    #[serde(default = "defaults::epoch")]
    pub epoch: Span,
    /// How long an ordinary stop waits for the sinks.
    #[serde(default = "defaults::drain")]
    pub drain: Span,
    /// What the process may take; a run that takes more ends with an error. By default three quarters of what the machine has.
    pub memory: Option<ByteSize>,
    /// Where records go that can not be processed.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// Where records come from.
    #[schemars(extend("minProperties" = 1))]
    pub sources: IndexMap<String, SourceSpec>,
    /// What is computed.
    #[serde(default)]
    pub operators: IndexMap<String, OperatorSpec>,
    /// Where results go.
    #[schemars(extend("minProperties" = 1))]
    pub sinks: IndexMap<String, SinkSpec>,
}

/// Where records go that can not be processed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// An NDJSON file; by default `dead-letters.ndjson` in the state directory.
    #[schemars(length(min = 1))]
    pub path: Option<String>,
}

/// A source of records. Exactly one of `file`, `kafka` and `memory` says which kind.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["file"] }, { "required": ["kafka"] }, { "required": ["memory"] }]))]
pub struct SourceSpec {
    /// Lines of JSON in files.
    pub file: Option<FileSource>,
    /// A topic of Kafka.
    pub kafka: Option<KafkaSource>,
    /// Records that the embedding program hands over.
    pub memory: Option<MemorySource>,
    /// The field or fields that identify a row, or `message`: the key of the topic's messages. It makes the source a table: the
    /// newest record of a key wins.
    pub key: Option<OneOrMany<KeyField>>,
    /// The field that orders the records of a key: an integer or an RFC 3339 time. Without it the offset does.
    pub version: Option<FieldPath>,
    /// The field whose `true` marks a record as a deletion.
    pub delete: Option<FieldPath>,
    /// How long a versioned deletion is remembered, so that older records can not undo it; and how an operation has ended, once a
    /// newer one is shown.
    #[serde(default = "defaults::tombstones")]
    pub tombstones: Span,
    /// Lets rows go after a time; by default they stay.
    pub retention: Option<RetentionSpec>,
    /// Which operation (run of a model) a row belongs to: it is shown when that one is finished. Needs `operations`.
    pub operation: Option<OperationFields>,
    /// The source without a key that says which operations are finished or canceled, or a mapping with its fields.
    pub operations: Option<OperationsSpec>,
    /// Longer records are dead letters.
    #[serde(default = "defaults::max_record_bytes")]
    pub max_record_bytes: ByteSize,
}

/// Lines of JSON in files: a partition a file, the byte position its offset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Paths or globs, relative to the pipeline file; `.gz` and `.zst` are decompressed.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub paths: Vec<String>,
    /// Goes on reading as files grow and new ones appear.
    #[serde(default)]
    pub follow: bool,
}

/// Records that the embedding program hands over under the source's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemorySource {}

/// Folds several unkeyed sources into one table: the newest record of a key wins.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpsertSpec {
    /// The sources.
    pub from: OneOrMany<String>,
    /// The field or fields that identify a row.
    pub key: OneOrMany<FieldPath>,
    /// The field that orders the records of a key: an integer or an RFC 3339 time. Without it source, partition and offset do.
    pub version: Option<FieldPath>,
    /// The field whose `true` marks a record as a deletion.
    pub delete: Option<FieldPath>,
    /// How long a versioned deletion is remembered, so that older records can not undo it; and how an operation has ended, once a
    /// newer one is shown.
    #[serde(default = "defaults::tombstones")]
    pub tombstones: Span,
    /// Lets rows go after a time; by default they stay.
    pub retention: Option<RetentionSpec>,
    /// Which operation (run of a model) a row belongs to: it is shown when that one is finished. Needs `operations`.
    pub operation: Option<OperationFields>,
    /// The source without a key that says which operations are finished or canceled, or a mapping with its fields.
    pub operations: Option<OperationsSpec>,
}

/// How long rows stay. One goes within a minute after its time is over; a record that is older already never becomes a row.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionSpec {
    /// The field that holds the row's time: an integer in nanoseconds since 1970 or an RFC 3339 time. Without one, a record is a
    /// dead letter, unless it deletes.
    pub time: FieldPath,
    /// How long a row stays after its time. May be changed; what is gone stays gone.
    pub keep: Span,
}

/// Which operation a row belongs to. Operations of one type and pivot follow each other by their numbers: shown are the rows of
/// the newest that is finished, and rows without a number.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationFields {
    /// The field that names what kind of rows the operation makes: a string or an integer.
    #[serde(rename = "type")]
    pub kind: FieldPath,
    /// The field that names what it looks at, such as an asset: a string or an integer.
    pub pivot: FieldPath,
    /// The field that holds its number: an integer that is not negative. Rows without it belong to no operation.
    pub number: FieldPath,
}

/// Where it says how operations stand.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OperationsSpec {
    /// The source's name; its records have the operation in the same fields as the rows.
    Source(#[schemars(length(min = 1))] String),
    /// The source, and its fields.
    Fields(OperationsFields),
}

impl OperationsSpec {
    /// The source.
    pub fn from(&self) -> &str {
        match self {
            OperationsSpec::Source(from) => from,
            OperationsSpec::Fields(fields) => &fields.from,
        }
    }

    /// All fields, if rows have those of `operation`.
    pub fn fields(&self, operation: &OperationFields) -> OperationsFields {
        let mut fields = match self {
            OperationsSpec::Source(from) => OperationsFields { from: from.clone(), ..OperationsFields::default() },
            OperationsSpec::Fields(fields) => fields.clone(),
        };
        fields.kind.get_or_insert_with(|| operation.kind.clone());
        fields.pivot.get_or_insert_with(|| operation.pivot.clone());
        fields.number.get_or_insert_with(|| operation.number.clone());
        fields
    }
}

/// The records that say how operations stand. Those of one operation belong into one partition of the source: it ends once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationsFields {
    /// A source without a key.
    pub from: String,
    /// The field that holds the operation's type; by default that of the rows.
    #[serde(rename = "type")]
    pub kind: Option<FieldPath>,
    /// The field that holds its pivot; by default that of the rows.
    pub pivot: Option<FieldPath>,
    /// The field that holds its number; by default that of the rows.
    pub number: Option<FieldPath>,
    /// The field that says how it stands: `STARTED`, `FINISHED` or `CANCELED`.
    #[serde(default = "defaults::status")]
    pub status: FieldPath,
    /// The field that says of a finished one how many rows it has: they are shown once so many have come. Without it, at once.
    #[serde(default = "defaults::annotations")]
    pub annotations: FieldPath,
}

impl Default for OperationsFields {
    fn default() -> Self {
        OperationsFields {
            from: String::new(),
            kind: None,
            pivot: None,
            number: None,
            status: defaults::status(),
            annotations: defaults::annotations(),
        }
    }
}

/// Fuses annotations that overlap in time, per asset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FuseSpec {
    /// A keyed source or an `upsert`.
    pub from: String,
    /// The field that names the asset: a string or an integer.
    pub by: FieldPath,
    /// The field that holds the annotation's type (modality): a string.
    #[serde(rename = "type")]
    pub kind: FieldPath,
    /// The fields that hold the annotation's time range, in integer nanoseconds.
    pub range: RangeSpec,
    /// One document a bucket, a run of equal buckets, or an exact segment.
    #[serde(default)]
    pub emit: Emit,
    /// The width of a bucket.
    #[serde(default = "defaults::bucket")]
    pub bucket: Span,
    /// Whether a range includes its end.
    #[serde(default)]
    pub end: End,
    /// A document needs annotations of at least so many distinct types.
    #[serde(default = "defaults::min_modalities")]
    #[schemars(range(min = 1))]
    pub min_modalities: u32,
    /// A document needs an annotation of each of these types.
    #[serde(default)]
    pub require: Vec<String>,
    /// Longer annotations are dead letters; by default 100,000 buckets.
    pub max_range: Option<Span>,
    /// Documents with more children are rejected.
    #[serde(default = "defaults::max_children")]
    #[schemars(range(min = 1))]
    pub max_children: u32,
    /// Larger documents are rejected.
    #[serde(default = "defaults::max_document_bytes")]
    pub max_document_bytes: ByteSize,
    /// The top-level field that documents take over from their first child; by default the one that holds `by`.
    pub context: Option<FieldPath>,
    /// The top-level fields that children keep besides key, type and range; by default all.
    pub fields: Option<Vec<FieldPath>>,
}

/// The fields that hold a time range.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeSpec {
    /// Start, in integer nanoseconds.
    pub start: FieldPath,
    /// End, in integer nanoseconds.
    pub end: FieldPath,
}

/// What one fused document stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// A bucket.
    #[default]
    Buckets,
    /// Consecutive buckets with the same children.
    Runs,
    /// The exact time between two neighbouring end points of annotations.
    Segments,
}

/// Whether a range includes its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// `[start, end)`.
    #[default]
    Exclusive,
    /// `[start, end]`.
    Inclusive,
}

/// A sink. Exactly one of `sqlite`, `tantivy`, `elasticsearch`, `cassandra`, `kafka`, `file` and `discard` says which kind.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["sqlite"] }, { "required": ["tantivy"] }, { "required": ["elasticsearch"] }, { "required": ["cassandra"] }, { "required": ["kafka"] }, { "required": ["file"] }, { "required": ["discard"] }]))]
pub struct SinkSpec {
    /// The collection to write: a source, an operator, `NODE.rejected` of an operator other than `upsert`, or `dead_letters`.
    pub from: String,
    /// Another sink that must have written an epoch before this one may.
    pub after: Option<String>,
    /// What happens when the store does not keep up.
    #[serde(default)]
    pub on_lag: OnLag,
    /// A table of an SQLite file.
    pub sqlite: Option<SqliteSink>,
    /// A search index of moments.
    pub tantivy: Option<TantivySink>,
    /// An index of Elasticsearch or OpenSearch.
    pub elasticsearch: Option<ElasticsearchSink>,
    /// A table of Cassandra or ScyllaDB.
    pub cassandra: Option<CassandraSink>,
    /// A topic of Kafka.
    pub kafka: Option<KafkaSink>,
    /// A directory of NDJSON files with change records.
    pub file: Option<FileSink>,
    /// Counts documents and bytes, and keeps nothing.
    pub discard: Option<DiscardSink>,
}

/// What happens when a sink's store does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnLag {
    /// All sources wait for it.
    #[default]
    Pause,
    /// When it has stood still for so long the run goes on without it, and without the sinks that wait for it; the next run
    /// fills them again. At least 2 s.
    Detach(Span),
}

impl OnLag {
    /// How long it may stand still, if the run then goes on without it.
    pub fn detach(self) -> Option<Span> {
        match self {
            OnLag::Pause => None,
            OnLag::Detach(limit) => Some(limit),
        }
    }
}

/// A table of an SQLite file: `key`, `document` (JSON text), `epoch`, and the columns named here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSink {
    /// The file; created if missing.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The table; created if missing.
    #[schemars(length(min = 1))]
    pub table: String,
    /// Further columns, each with the path of its value in the document.
    #[serde(default)]
    pub columns: IndexMap<String, FieldPath>,
}

/// A search index of moments; `from` must be a `fuse`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TantivySink {
    /// The directory of the index; created if missing.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The field of an annotation that holds its label.
    #[serde(default = "defaults::label")]
    pub label: FieldPath,
    /// The fields of an annotation that are searched as text, besides the label.
    #[serde(default = "defaults::text")]
    pub text: Vec<FieldPath>,
    /// The field of an annotation that holds its confidence.
    #[serde(default = "defaults::confidence")]
    pub confidence: FieldPath,
    /// How often what was written becomes searchable, at most.
    #[serde(default = "defaults::commit")]
    pub commit: Span,
}

/// A directory of NDJSON files, each with the change records of a range of epochs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// The directory; created if missing.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// Counts documents and bytes, and keeps nothing: for benchmarks, and to see what a slow store does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardSink {
    /// Whether documents are rendered before they are counted; without it, bytes are not counted.
    #[serde(default = "defaults::yes")]
    pub render: bool,
    /// At most so many bytes of rendered documents a second, on each worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<ByteSize>,
}

/// One value, or a list of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "OneOrMany{T}")]
pub enum OneOrMany<T> {
    /// `x`
    One(T),
    /// `[x, y]`
    Many(#[schemars(length(min = 1))] Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values, in order.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) => values,
        }
    }
}

/// The width of a bucket that is not given.
pub(super) fn default_bucket() -> Span {
    defaults::bucket()
}

mod defaults {
    use super::{ByteSize, FieldPath, Span};

    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn state() -> String {
        "./state".to_owned()
    }
    pub(super) fn epoch() -> Span {
        Span::from_millis(250)
    }
    pub(super) fn drain() -> Span {
        Span::from_millis(20_000)
    }
    pub(super) fn tombstones() -> Span {
        Span::from_millis(30 * 24 * 3_600_000)
    }
    pub(super) fn max_record_bytes() -> ByteSize {
        ByteSize(16 << 20)
    }
    pub(super) fn status() -> FieldPath {
        FieldPath::literal("/status")
    }
    pub(super) fn annotations() -> FieldPath {
        FieldPath::literal("/annotations")
    }
    pub(super) fn bucket() -> Span {
        Span::from_millis(1_000)
    }
    pub(super) fn min_modalities() -> u32 {
        2
    }
    pub(super) fn max_children() -> u32 {
        10_000
    }
    pub(super) fn max_document_bytes() -> ByteSize {
        ByteSize(8 << 20)
    }
    pub(super) fn label() -> FieldPath {
        FieldPath::literal("/label")
    }
    pub(super) fn text() -> Vec<FieldPath> {
        vec![FieldPath::literal("/text")]
    }
    pub(super) fn confidence() -> FieldPath {
        FieldPath::literal("/confidence_score")
    }
    pub(super) fn commit() -> Span {
        Span::from_millis(1_000)
    }
}
