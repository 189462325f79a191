//! What a run appends, and how it is written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::State;
use crate::Epoch;
use crate::part::BuiltPart;

/// What a run appends at once.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Epochs that are sealed, in order.
    pub seals: Vec<Seal>,
    /// Their parts, each with the first and last epoch that it is named for.
    pub parts: Vec<(NewPart, Epoch, Epoch)>,
    /// Sources that get the next numbers.
    pub new_sources: Vec<String>,
    /// Partitions: source, number (the next of that source), name.
    pub new_partitions: Vec<(u16, u32, String)>,
    /// Tables; a number is never used again, see [`State::next_table`].
    pub new_tables: Vec<(u16, TableInfo)>,
    /// Tables whose rows are worth nothing any more.
    pub dropped_tables: Vec<u16>,
    /// Catching up begins: the first hidden epoch.
    pub catching_up: Option<Epoch>,
    /// Catching up ends: the epoch, among `seals`, at which all hidden ones are shown.
    pub reveal: Option<Epoch>,
    /// Sinks that are new or changed; `None` deregisters one.
    pub sinks: BTreeMap<String, Option<SinkState>>,
    /// Fingerprints that are new or changed; `None` removes one.
    pub nodes: BTreeMap<String, Option<String>>,
    /// Sources whose bindings are forgotten: they are read again from the start. Takes effect before `seals`.
    pub rewound_sources: Vec<u16>,
}

impl Entry {
    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.seals.is_empty()
            && self.parts.is_empty()
            && self.new_sources.is_empty()
            && self.new_partitions.is_empty()
            && self.new_tables.is_empty()
            && self.dropped_tables.is_empty()
            && self.catching_up.is_none()
            && self.reveal.is_none()
            && self.sinks.is_empty()
            && self.nodes.is_empty()
            && self.rewound_sources.is_empty()
    }
}

/// The durable commit of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Later than all epochs sealed before.
    pub epoch: Epoch,
    /// How far the epoch goes, for each partition that it has records of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
}

/// How far an epoch goes in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Number of the source.
    pub source: u16,
    /// Number of the partition within the source.
    pub partition: u32,
    /// First offset that does not belong to the epoch. Never goes back, unless the source is rewound.
    pub upper: u64,
    /// What the source wants to find again at that offset, opaque.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
}

/// A part that an entry names for the first time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NewPart {
    /// In an object of its own, durable already. Made by [`crate::Journal::store_part`], or by [`BuiltPart::stored`].
    Stored {
        /// Without the folder.
        name: String,
        /// Size of the object.
        bytes: u64,
        /// Changes in it.
        rows: u64,
        /// Those of them that say that a row is gone.
        removals: u64,
        /// Bytes before compression.
        raw_bytes: u64,
        /// Checksum over everything.
        digest: u32,
    },
    /// Carried by the entry; best below 16 KiB.
    Inline(BuiltPart),
}

/// A table, as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its name in the pipeline.
    pub name: String,
    /// A tail table: a stream, whose rows go once every sink has them.
    pub tail: bool,
    /// It has no rows before the next reveal, at which it gets those that others had before it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub awaits_reveal: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Where a sink stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// All epochs below this one are written and acknowledged.
    Upper(Epoch),
    /// The whole content as of `at` is being written, at version `at`; a sweep follows.
    Filling {
        /// A sealed epoch.
        at: Epoch,
    },
    /// To be filled at the next reveal.
    AwaitingReveal,
}

/// What the manifest remembers of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// How far it is.
    pub standing: Standing,
    /// Identity of its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What the sink wants to find again, opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// It reads a tail table: never filled, and no limit to the hydration epoch.
    #[serde(default)]
    pub stream: bool,
    /// When a run gave it up because its store did not keep up, in milliseconds since 1970: that run writes nothing to it
    /// any more, and its standing stays as it is until the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached_unix_ms: Option<u64>,
}

/// The changes of the epochs `first..=last` in a part: no more of it is sealed by the entry that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// `parts/…`, or `manifest/000000000123#0` for a part that an entry carries.
    pub object: String,
    /// First epoch.
    pub first: Epoch,
    /// Last epoch.
    pub last: Epoch,
    /// Where the part begins in its object.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Changes in it, those of other epochs included.
    pub rows: u64,
    /// Those of them that say that a row is gone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub removals: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Checksum over everything.
    pub digest: u32,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PartRef {
    /// An entry of the manifest carries it.
    pub fn is_inline(&self) -> bool {
        self.object.starts_with("manifest/")
    }

    /// The object that it is in.
    pub(crate) fn file(&self) -> &str {
        self.object.split_once('#').map_or(&self.object, |(file, _)| file)
    }

    pub(crate) fn id(&self) -> PartId {
        PartId { object: self.object.clone(), first: self.first, last: self.last }
    }
}

/// What tells the parts of a state from each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PartId {
    pub(crate) object: String,
    pub(crate) first: Epoch,
    pub(crate) last: Epoch,
}

/// Parts that others stand for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    pub(crate) inputs: Vec<PartId>,
    pub(crate) outputs: Vec<PartRef>,
}

/// An entry as it is written down: JSON, which people can read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) number: u64,
    /// Number of the entry that the run opened with.
    pub(crate) run: u64,
    /// Tells entries of two runs that want the same number from each other.
    pub(crate) nonce: u64,
    pub(crate) written_unix_ms: u64,
    /// Checksum of the entry before.
    pub(crate) previous: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) seals: Vec<Seal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) new_sources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) new_partitions: Vec<(u16, u32, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) new_tables: Vec<(u16, TableInfo)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dropped_tables: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) catching_up: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reveal: Option<Epoch>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sinks: BTreeMap<String, Option<SinkState>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) nodes: BTreeMap<String, Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rewound_sources: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaced: Vec<Replaced>,
    /// The state after this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<Box<State>>,
}
