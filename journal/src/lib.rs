//! The durable side of Flowstone's spine.
#![forbid(unsafe_code)]

mod error;
mod journal;
mod keeper;
mod location;
mod manifest;
mod merge;
mod part;
mod store;
mod verify;

pub use error::JournalError;
pub use journal::Journal;
pub use keeper::Keeper;
pub use manifest::{
    Binding, Collapse, Entry, NewPart, PartRef, PartitionState, Seal, SinkState, SourceState, Standing, State,
    TableInfo,
};
pub use part::{Block, Blocks, BuiltPart, Change, KEY_GROUPS, PartBuilder, PartReader, key_group};
pub use verify::{Problem, Report, verify};

/// Milliseconds since the Unix epoch; strictly growing.
pub type Epoch = u64;

/// A number that no other call gives, in this process or another.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(unix_ms());
    hasher.finish()
}

pub(crate) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}
