//! The one dynamic row type of the engine: what flows between sources, tables, operators and sinks.

use std::sync::Arc;

use flowstone_operators::fuse::Moment;
use flowstone_operators::interval::Interval;
use flowstone_operators::route::Route;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::scalar::{Key, Scalar, write_key};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// What fusion reads of an annotation, extracted once, at decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// What `by:` names; annotations of one asset are fused with each other.
    pub asset: Scalar,
    /// The type (modality).
    pub kind: Arc<str>,
    /// The range, half-open.
    pub interval: Interval,
    /// The member of the payload that the document takes over as its context (`"associated_ids":{…}`), if there is one.
    pub context: Option<Slice>,
    /// The child as the document shows it: pieces of the payload, to be joined.
    pub child: ChildPieces,
}

/// How a child's text is made of its payload: `{` + pieces + `}`, with the new name of the type's member between two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildPieces {
    /// Pieces of the payload in payload order; the separators between members that stay neighbours are inside.
    pub pieces: SmallVec<[ChildPiece; 4]>,
    /// The length of the whole child, rendered, in bytes.
    pub rendered_bytes: u32,
}

impl ChildPieces {
    /// A child of these pieces; `None` if it would be 4 GiB or longer, which pieces that do not overlap are not.
    pub(super) fn new(pieces: SmallVec<[ChildPiece; 4]>) -> Option<Self> {
        let length =
            |piece: &ChildPiece| u64::from(piece.slice.end - piece.slice.start) + piece.lead.text().len() as u64;
        let rendered_bytes = 2 + pieces.iter().map(length).sum::<u64>();
        Some(ChildPieces { pieces, rendered_bytes: rendered_bytes.try_into().ok()? })
    }
}

/// One piece of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildPiece {
    /// Bytes taken from the payload as they are.
    pub slice: Slice,
    /// Text that goes before them.
    pub lead: Lead,
}

/// What stands before a [`ChildPiece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A record that passed decode: a row of a table, or a deletion on its way into one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The row's key.
    pub key: Key,
    /// The key's routing hash, computed once.
    pub route: u64,
    /// What `version:` names: an integer, or a time in nanoseconds since 1970.
    pub version: Option<i64>,
    /// The time after which it stays for as long as `retention:` says, in nanoseconds since 1970; deletions have none.
    pub time_ns: Option<i64>,
    /// Where it came from.
    pub position: Position,
    /// The row; `None` deletes.
    pub body: Option<Body>,
}

/// The facets of a row, by operator; or why one can not use the row.
pub type AllFacets = SmallVec<[Result<Facets, Box<str>>; 1]>;

/// The content of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The bytes as they came.
    pub payload: Box<[u8]>,
    /// What each `fuse` that reads the table needs, in the order of those operators in the pipeline file.
    /// A row that was decoded for other operators may be of no use for one: then the reason stands there, for people.
    pub facets: AllFacets,
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
    Record(Arc<Record>),
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
    pub moment: Moment<Scalar, Arc<Record>>,
    /// Index into [`Body::facets`].
    pub facet: u16,
}

/// One child of a fused document, as sinks see it.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// The annotation's own key.
    pub key: &'a Key,
    /// Its type (modality).
    pub kind: &'a str,
    /// Its full original range, half-open.
    pub interval: Interval,
    /// Its payload as it came.
    pub payload: &'a [u8],
}

impl Record {
    /// A row without a time, or a deletion if there is no body.
    pub fn new(key: Key, version: Option<i64>, position: Position, body: Option<Body>) -> Self {
        Record { route: key.route(), key, version, time_ns: None, position, body }
    }

    /// The same with a time, in nanoseconds since 1970.
    pub fn with_time(self, time_ns: Option<i64>) -> Self {
        Record { time_ns, ..self }
    }

    /// The row's bytes; `None` if the record is a deletion.
    pub fn payload(&self) -> Option<&[u8]> {
        self.body.as_ref().map(|body| &*body.payload)
    }

    /// The row's content.
    ///
    /// # Panics
    /// If the record is a deletion; those never leave a table.
    pub fn body(&self) -> &Body {
        self.body.as_ref().expect("a table emits no deletions")
    }
}

impl Body {
    /// What the `fuse` reads for which [`FusePlan::facet`](crate::pipeline::compile::FusePlan::facet) is `at`.
    ///
    /// # Panics
    /// If it can not use the row; the dataflow feeds it only rows that it can use.
    pub fn facets(&self, at: usize) -> &Facets {
        self.facets[at].as_ref().expect("an operator is fed only rows that it can use")
    }

    /// Why that `fuse` can not use the row; `None` if it can.
    pub fn unusable(&self, at: usize) -> Option<&str> {
        self.facets[at].as_ref().err().map(|reason| &**reason)
    }
}

/// By key, then by content; where a record came from does not tell rows apart.
impl Ord for Record {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if std::ptr::eq(self, other) {
            return std::cmp::Ordering::Equal;
        }
        self.key.cmp(&other.key).then_with(|| self.payload().cmp(&other.payload()))
    }
}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Record {}

impl Row {
    /// Appends the row key: a compact JSON array, the same in every sink.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Row::Record(record) => record.key.write_json(out),
            Row::Moment(Fused { moment, .. }) => {
                write_key(&[moment.key.clone(), Scalar::Int(moment.interval.start_ns())], out);
            }
            Row::Rejected(rejected) => rejected.key.write_json(out),
            Row::DeadLetter(letter) => {
                let offset = Scalar::UInt(letter.offset);
                write_key(&[Scalar::Str(letter.node.clone()), Scalar::Str(letter.origin.clone()), offset], out);
            }
        }
    }

    /// The children of a fused document, in their order; none for other rows.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        let (records, facet) = match self {
            Row::Moment(fused) => (&fused.moment.children[..], fused.facet as usize),
            _ => (&[][..], 0),
        };
        records.iter().map(move |record| {
            let body = record.body();
            let facets = body.facets(facet);
            Child { key: &record.key, kind: &facets.kind, interval: facets.interval, payload: &body.payload }
        })
    }

    /// Whether two rows have the same key.
    pub fn same_key(&self, other: &Row) -> bool {
        match (self, other) {
            (Row::Record(a), Row::Record(b)) => a.key == b.key,
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
