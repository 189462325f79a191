//! A record in memory: one allocation, which holds its journal form and an index of what is read of it again and again.

use std::cmp::Ordering;
use std::fmt;

use flowstone_operators::generations::Stage;
use flowstone_operators::interval::Interval;
use flowstone_operators::route::Route;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};
use triomphe::ThinArc;

use super::index::{self, FacetHead, Head};
use super::{CodecError, Input, KeyRef, Position, State, check_key};
use crate::record::pieces::ChildPiece;
use crate::record::scalar::ScalarRef;

/// A record that passed decode: a row of a table, or a deletion on its way into one.
///
/// Its bytes are those that the journal keeps ([`packed`](super)), so that neither writing nor reading the journal makes another form
/// of it. Cheap to clone: the content is shared.
#[derive(Clone)]
pub struct Record(ThinArc<Head, u8>);

/// The child of an annotation, as pieces of its payload.
pub(in crate::record) struct ChildText<'a> {
    /// The bytes of the payload.
    pub payload: &'a [u8],
    /// The member of the payload that the document takes over (`"associated_ids":{…}`); empty if there is none.
    pub context: &'a [u8],
    /// In payload order.
    pub pieces: Pieces<'a>,
}

/// Reads the pieces of a child.
pub(in crate::record) struct Pieces<'a> {
    input: Input<'a>,
    left: usize,
    payload_bytes: u32,
}

impl Iterator for Pieces<'_> {
    type Item = ChildPiece;

    fn next(&mut self) -> Option<ChildPiece> {
        self.left = self.left.checked_sub(1)?;
        Some(index::piece(&mut self.input, self.payload_bytes).expect(CHECKED))
    }
}

const CHECKED: &str = "a record's bytes were checked when it was made";

impl Record {
    pub(in crate::record) fn new(head: Head, bytes: &[u8]) -> Self {
        Record(ThinArc::from_header_and_slice(head, bytes))
    }

    fn is_shared_with(&self, other: &Self) -> bool {
        std::ptr::eq(self.head(), other.head())
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// The row's key.
    pub fn key(&self) -> KeyRef<'_> {
        KeyRef::of(self.key_bytes())
    }

    /// The key's routing hash.
    pub fn route(&self) -> u64 {
        self.head().route
    }

    /// The key as the journal has it.
    pub fn key_bytes(&self) -> &[u8] {
        &self.bytes()[..self.head().key_end as usize]
    }

    /// The record without its key, as the journal has it.
    pub fn value_bytes(&self) -> &[u8] {
        &self.bytes()[self.head().key_end as usize..]
    }

    /// Whether it deletes its key's row.
    pub fn is_deletion(&self) -> bool {
        self.head().payload_at == 0
    }

    /// The row's bytes as they came; `None` if the record is a deletion.
    pub fn payload(&self) -> Option<&[u8]> {
        (!self.is_deletion()).then(|| &self.bytes()[self.head().payload_at as usize..])
    }

    /// What it says besides its key and its row.
    pub(in crate::record) fn state(&self) -> State {
        State::read(&mut Input::new(self.value_bytes())).expect(CHECKED)
    }

    /// Where it came from.
    pub fn position(&self) -> Position {
        self.state().position
    }

    /// What `version:` names: an integer, or a time in nanoseconds since 1970.
    pub fn version(&self) -> Option<i64> {
        self.state().version
    }

    /// Whether an older record of its key may still come after it, though it has no version.
    pub(in crate::record) fn is_remembered(&self) -> bool {
        self.state().is_remembered
    }

    /// How the operation stands that it is about.
    pub(in crate::record) fn stage(&self) -> Option<Stage> {
        self.state().stage
    }

    /// What decides which of two records of one key is newer.
    pub(in crate::record) fn order(&self) -> (Option<i64>, Position) {
        let state = self.state();
        (state.version, state.position)
    }

    /// The time after which it stays for as long as `retention:` says, in nanoseconds since 1970; deletions have none.
    pub fn time_ns(&self) -> Option<i64> {
        self.state().time_ns
    }

    /// The asset, for the `fuse` for which [`FusePlan::facet`](crate::pipeline::compile::FusePlan::facet) is `at`: annotations of
    /// one asset are fused with each other.
    ///
    /// # Errors
    /// Why that `fuse` can not use the row.
    pub fn asset(&self, at: usize) -> Result<ScalarRef<'_>, &str> {
        let facet = &self.head().facets[at];
        if facet.rendered_bytes == 0 {
            return Err(self.input_of(facet).text().expect(CHECKED));
        }
        Ok(self.input_of(facet).scalar().expect(CHECKED))
    }

    /// The type (modality) that this `fuse` reads, in UTF-8.
    ///
    /// # Panics
    /// If it can not use the row; the dataflow feeds it only rows that it can use.
    pub fn kind(&self, at: usize) -> &[u8] {
        let mut input = self.input_of(self.usable(at));
        input.skip_scalar().expect(CHECKED);
        input.bytes().expect(CHECKED)
    }

    /// The range that this `fuse` reads, half-open.
    ///
    /// # Panics
    /// As [`Record::kind`].
    pub fn interval(&self, at: usize) -> Interval {
        self.usable(at).interval
    }

    /// How long the child is, rendered.
    ///
    /// # Panics
    /// As [`Record::kind`].
    pub(in crate::record) fn rendered_bytes(&self, at: usize) -> u32 {
        self.usable(at).rendered_bytes
    }

    /// # Panics
    /// As [`Record::kind`].
    pub(in crate::record) fn child(&self, at: usize) -> ChildText<'_> {
        let mut input = self.input_of(self.usable(at));
        let payload = &self.bytes()[self.head().payload_at as usize..];
        let payload_bytes = payload.len() as u32;
        input.skip_scalar().expect(CHECKED);
        input.bytes().expect(CHECKED);
        // The range, which the index has.
        input.number().and_then(|_| input.number()).expect(CHECKED);
        let context = index::context(&mut input, payload_bytes).expect(CHECKED).of(payload);
        let left = input.count().expect(CHECKED);
        ChildText { payload, context, pieces: Pieces { input, left, payload_bytes } }
    }

    fn input_of(&self, facet: &FacetHead) -> Input<'_> {
        Input::new(&self.bytes()[facet.asset_at as usize..])
    }

    fn usable(&self, at: usize) -> &FacetHead {
        let facet = &self.head().facets[at];
        assert!(facet.rendered_bytes > 0, "an operator is fed only rows that it can use");
        facet
    }
}

/// By key, then by content; where a record came from does not tell rows apart.
impl Ord for Record {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_shared_with(other) {
            return Ordering::Equal;
        }
        self.key().cmp(&other.key()).then_with(|| self.payload().cmp(&other.payload()))
    }
}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || (self.key_bytes() == other.key_bytes() && self.payload() == other.payload())
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.payload().map(String::from_utf8_lossy);
        let (version, position) = self.order();
        let mut record = f.debug_struct("Record");
        record.field("key", &self.key()).field("version", &version).field("position", &position);
        record.field("payload", &payload).finish()
    }
}

/// For the way to another process: where the key ends, and the bytes.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.head().key_end, Bytes::new(self.bytes())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (key_end, bytes) = <(u32, ByteBuf)>::deserialize(deserializer)?;
        let read = || {
            let (key, value) = bytes.split_at_checked(key_end as usize).ok_or(CodecError::Truncated)?;
            check_key(key)?;
            let (head, _) = index::index(KeyRef::of(key).route(), key, value)?;
            Ok(Record::new(head, &bytes))
        };
        read().map_err(|error: CodecError| serde::de::Error::custom(error))
    }
}

#[cfg(test)]
impl Record {
    pub(in crate::record) fn facets_len(&self) -> usize {
        self.head().facets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the counter and the length before it, it is what one line of a cache holds. What a row takes is this and its
    /// journal form.
    #[test]
    fn the_index_of_a_record_is_small() {
        assert!(size_of::<Head>() + 16 <= 64, "{}", size_of::<Head>());
    }
}
