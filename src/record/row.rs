//! The one dynamic row type of the engine: what flows between sources, tables, operators and sinks.

use std::sync::Arc;

use flowstone_operators::fuse::Moment;
use flowstone_operators::interval::Interval;
use serde::{Deserialize, Serialize};

use super::codec::KeyRef;
use super::packed::{Facets, Record};
use super::render::moment_bytes;
use super::scalar::{Key, Scalar, ScalarRef, write_key};

/// Where a record came from, as numbers; a [`Catalog`](crate::source::catalog::Catalog) knows their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition of that source: for files, in the order of their paths.
    pub partition: u32,
    /// The byte offset of a line, or a log's own offset.
    pub offset: u64,
}

/// A piece of a payload, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
}

impl Slice {
    /// The bytes themselves.
    pub fn of<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        &payload[self.start as usize..self.end as usize]
    }
}

/// One piece of a child. Its text is `{` + pieces + `}`: what lies between two members that stay neighbours is in a piece,
/// the new name of the type's member between two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChildPiece {
    /// The lead is in the two highest bits.
    start: u32,
    end: u32,
}

/// What stands before a [`ChildPiece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nothing.
    None,
    /// A comma.
    Comma,
    /// `"annotation_type":`, for a piece that starts with the type's value.
    Type,
    /// The same after a comma.
    CommaType,
}

impl Lead {
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Self {
        [Lead::None, Lead::Comma, Lead::Type, Lead::CommaType][usize::from(number % 4)]
    }
}

impl ChildPiece {
    const START_BITS: u32 = 30;

    /// Bytes taken from the payload as they are, and what goes before them.
    ///
    /// # Panics
    /// If it starts beyond 1 GiB.
    pub fn new(slice: Slice, lead: Lead) -> Self {
        assert!(slice.start >> Self::START_BITS == 0, "payloads are shorter");
        ChildPiece { start: slice.start | u32::from(lead.number()) << Self::START_BITS, end: slice.end }
    }

    /// The bytes of the payload.
    pub fn slice(self) -> Slice {
        Slice { start: self.start & ((1 << Self::START_BITS) - 1), end: self.end }
    }

    /// What goes before them.
    pub fn lead(self) -> Lead {
        Lead::of_number((self.start >> Self::START_BITS) as u8)
    }
}

impl std::fmt::Debug for ChildPiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildPiece").field("slice", &self.slice()).field("lead", &self.lead()).finish()
    }
}

/// The length of a child of these pieces, rendered, in bytes.
pub(super) fn rendered_bytes(pieces: &[ChildPiece]) -> u32 {
    let length = |piece: &ChildPiece| piece.end - piece.slice().start + piece.lead().text().len() as u32;
    2 + pieces.iter().map(length).sum::<u32>()
}

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

/// A document that an operator refused to form: `NODE.rejected`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rejected {
    /// The row key that the document would have had.
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
    /// A document that could not be formed.
    Rejected(Arc<Rejected>),
    /// A record that could not be processed.
    DeadLetter(Arc<DeadLetter>),
}

/// A change of a collection of rows: the row, the epoch, and +1 or -1.
pub type RowDiff = (Row, u64, isize);

/// A moment, and which of its records' facets it was fused by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fused {
    /// The moment.
    pub moment: Moment<Scalar, Record>,
    /// As [`FusePlan::facet`](crate::pipeline::compile::FusePlan::facet).
    pub facet: u16,
    /// The length of the document, rendered.
    pub bytes: u32,
}

impl Fused {
    /// A moment that is fused by this facet.
    pub fn new(moment: Moment<Scalar, Record>, facet: u16) -> Self {
        let bytes = u32::try_from(moment_bytes(&moment, usize::from(facet))).unwrap_or(u32::MAX);
        Fused { moment, facet, bytes }
    }
}

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
                let Facets { kind, interval, .. } = record.facets(usize::from(fused.facet));
                let kind = std::str::from_utf8(kind).expect("decode has checked the encoding");
                let payload = record.payload().expect("a table emits no deletions");
                Child { key: record.key(), kind, interval, payload }
            })
        })
    }

    /// Whether two rows have the same key.
    pub fn same_key(&self, other: &Row) -> bool {
        match (self, other) {
            (Row::Record(a), Row::Record(b)) => a.key() == b.key(),
            (Row::Moment(a), Row::Moment(b)) => {
                a.moment.interval.start_ns() == b.moment.interval.start_ns() && a.moment.key == b.moment.key
            }
            (Row::Rejected(a), Row::Rejected(b)) => a.key == b.key,
            (Row::DeadLetter(a), Row::DeadLetter(b)) => {
                (&a.node, &a.origin, a.offset) == (&b.node, &b.origin, b.offset)
            }
            _ => false,
        }
    }
}
