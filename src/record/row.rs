//! The one dynamic row type of the engine: what flows between sources, tables, operators and sinks.

use std::sync::Arc;

use flowstone_operators::interval::Interval;
use serde::{Deserialize, Serialize};

use super::aggregate::Grouped;
use super::fused::Fused;
use super::packed::{KeyRef, Record};
use super::scalar::{Key, Scalar, ScalarRef, write_key};

/// A record that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The source's or operator's name.
    pub node: Arc<str>,
    /// The file, or the partition's name; for operators the row key.
    pub origin: Arc<str>,
    /// Byte offset in the file, or the offset in the partition; for operators the epoch.
    pub offset: u64,
    /// Why, for people.
    pub reason: String,
    /// The record's bytes, or the first of them.
    pub payload: Box<[u8]>,
    /// How long the record is; more than the payload if that was cut.
    pub payload_bytes: u64,
}

/// A document that an operator refused to form, or a row that it can not use: `NODE.rejected`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rejected {
    /// The row key that the document would have had, or the row has.
    pub key: Key,
    /// Why, for people.
    pub reason: String,
}

/// One row of any collection of a pipeline. Cheap to clone: contents are shared.
///
/// Rows are ordered by key first; rows of one collection with the same key and the same content are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Row {
    /// A table's row; its document is the payload.
    Record(Record),
    /// A fused document: the asset, the range, and the children in their order.
    Moment(Fused),
    /// A group of an `aggregate`, or a row that a `map` or a `join` made: a key and a document.
    Group(Arc<Grouped>),
    /// A document that could not be formed, or a row that could not be used.
    Rejected(Arc<Rejected>),
    /// A record that could not be processed.
    DeadLetter(Arc<DeadLetter>),
}

/// A change of a collection of rows: the row, the epoch, and +1 or -1.
pub type RowDiff = (Row, u64, isize);

/// One child of a fused document, as sinks see it.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// The annotation's own key.
    pub key: KeyRef<'a>,
    /// Its type (modality).
    pub kind: &'a str,
    /// Its full original range, half-open.
    pub interval: Interval,
    /// Its payload as it came.
    pub payload: &'a [u8],
}

impl Row {
    /// Appends the row key: a compact JSON array, the same in every sink.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Row::Record(record) => record.key().write_json(out),
            Row::Moment(Fused { moment, .. }) => {
                let parts = [moment.key.as_ref(), ScalarRef::Int(moment.interval.start_ns())];
                write_key(parts.into_iter(), out);
            }
            Row::Group(group) => group.key.write_json(out),
            Row::Rejected(rejected) => rejected.key.write_json(out),
            Row::DeadLetter(letter) => {
                let parts =
                    [ScalarRef::Str(&letter.node), ScalarRef::Str(&letter.origin), ScalarRef::UInt(letter.offset)];
                write_key(parts.into_iter(), out);
            }
        }
    }

    /// The children of a fused document, in their order; none for other rows.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        let fused = match self {
            Row::Moment(fused) => Some(fused),
            _ => None,
        };
        fused.into_iter().flat_map(|fused| {
            fused.moment.children.iter().map(|record| {
                let at = usize::from(fused.facet);
                let kind = std::str::from_utf8(record.kind(at)).expect("decode has checked the encoding");
                let payload = record.payload().expect("a table emits no deletions");
                Child { key: record.key(), kind, interval: record.interval(at), payload }
            })
        })
    }

    /// The row key.
    pub(crate) fn key(&self) -> Key {
        match self {
            Row::Record(record) => record.key().to_key(),
            Row::Moment(Fused { moment, .. }) => {
                Key::Composite([moment.key.clone(), Scalar::Int(moment.interval.start_ns())].into())
            }
            Row::Group(group) => group.key.to_key(),
            Row::Rejected(rejected) => rejected.key.clone(),
            Row::DeadLetter(letter) => {
                let parts = [Scalar::from(&*letter.node), Scalar::from(&*letter.origin)];
                Key::Composite(parts.into_iter().chain([Scalar::unsigned(letter.offset)]).collect())
            }
        }
    }

    /// Whether two rows have the same key.
    pub fn same_key(&self, other: &Row) -> bool {
        match (self, other) {
            (Row::Record(a), Row::Record(b)) => a.key() == b.key(),
            (Row::Moment(a), Row::Moment(b)) => {
                a.moment.interval.start_ns() == b.moment.interval.start_ns() && a.moment.key == b.moment.key
            }
            (Row::Group(a), Row::Group(b)) => a.key == b.key,
            (Row::Rejected(a), Row::Rejected(b)) => a.key == b.key,
            (Row::DeadLetter(a), Row::DeadLetter(b)) => {
                (&a.node, &a.origin, a.offset) == (&b.node, &b.origin, b.offset)
            }
            _ => false,
        }
    }
}
