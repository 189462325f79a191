//! The manifest: what each entry says, and the state that the entries add up to.

mod entry;
mod fold;
mod frame;
mod state;

pub use entry::{Binding, Entry, NewPart, PartRef, Seal, SinkState, Standing, TableInfo};
pub(crate) use entry::{Record, Replaced};
pub(crate) use frame::{Framed, INLINE_START, decode, encode};
pub(crate) use state::Opening;
pub use state::{Collapse, PartitionState, SourceState, State};

/// Every entry whose number is a multiple of this carries the whole state.
pub(crate) const SNAPSHOT_EVERY: u64 = 64;

/// The name of an entry's object.
pub(crate) fn entry_object(number: u64) -> String {
    format!("manifest/{number:012}")
}

/// The number in the name of an entry's object.
pub(crate) fn entry_number(object: &str) -> Option<u64> {
    let digits = object.strip_prefix("manifest/")?;
    (digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}
