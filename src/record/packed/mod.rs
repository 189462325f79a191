//! Rows as bytes, as the journal and the memory keep them. Written by hand: it is what recovery spends its time in.
//!
//! Format 1. `n` is a LEB128 integer of at most 64 bits in its shortest form, `z` one in zigzag form, `text` and `bytes`
//! are `n` and so many bytes, `int` is 8 bytes, little-endian.
//!
//! | what | how |
//! |---|---|
//! | scalar | `1` int (signed), or `2` int (above 2^63 - 1), or `3` text |
//! | key of a record | scalar; or `16` n scalars, for a composite key |
//! | key of a row of an operation | `18`, operation, then the key as of any record |
//! | key of an operation | `19`, operation |
//! | operation | type: scalar, pivot: scalar, number: int |
//! | key of a dead letter | `17`, node: text, origin: text, offset: int |
//! | record | format: `1`; flags: 1 has a version, 2 has a body, 4 has a time, 8 is remembered, 16 has a stage; source: n, partition: n, offset: n; version: z; time: z; stage; body |
//! | stage | of an operation: `0` if it is started; `1` if it is finished, and what it waits for: n; `2` if it is canceled |
//! | body | fingerprint: int; length of the payload: n; number of facets: n; facets; the payload |
//! | facets | `0` and the reason: text, if the operator can not use the row; else `1`, asset: scalar, type: text, start: n, length: n, context, number of pieces: n, pieces |
//! | context | `0`; or `1`, start: n, length: n, in the payload |
//! | piece | start * 4 + lead: n, length: n, in the payload |
//! | dead letter | format: `1`; reason: text; length of the whole record: n; payload: bytes |
//!
//! Keys are equal if and only if their bytes are. A key's bytes have no version: a change of their form is a new format of
//! the journal. Facets are what operators take from a payload, so they depend on the operators' settings: if those are
//! not the ones that a row was written with, by its fingerprint, its facets are taken from its payload again.

mod index;
mod input;
mod key;
mod record;
mod state;
mod write;

pub(super) use index::{Head, index};
pub(super) use input::Input;
pub(super) use key::check_key;
pub use key::{KeyRef, OperationRef};
pub(super) use record::ChildText;
pub use record::Record;
pub use state::{Position, State};
pub use write::{FacetParts, RecordWriter, encode_key};
pub(super) use write::{bytes, encode_parts, number};

pub(super) const FORMAT: u8 = 1;

pub(super) const INT: u8 = 1;
pub(super) const UINT: u8 = 2;
pub(super) const STR: u8 = 3;
pub(super) const COMPOSITE: u8 = 16;
pub(super) const LETTER: u8 = 17;
pub(super) const ROW_OF: u8 = 18;
pub(super) const OPERATION: u8 = 19;

/// Where a piece begins takes 30 bits in memory.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

const HAS_VERSION: u8 = 1;
const HAS_BODY: u8 = 2;
const HAS_TIME: u8 = 4;
const IS_REMEMBERED: u8 = 8;
const HAS_STAGE: u8 = 16;
const FLAGS: u8 = HAS_VERSION | HAS_BODY | HAS_TIME | IS_REMEMBERED | HAS_STAGE;

/// Bytes that are no row. The journal's checksums hold, or they would not have come here: written by another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A format that this version does not know.
    #[error("row of format {0}, and this version of flowstone reads format {FORMAT}; use the version that wrote it")]
    Format(u8),
    /// The bytes end in the middle of it.
    #[error("row that ends too early")]
    Truncated,
    /// Something in it can not be.
    #[error("row with a wrong {0}")]
    Invalid(&'static str),
}
