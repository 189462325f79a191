//! Fused documents, made by joining pieces of payloads: nothing is parsed or re-serialised.

use std::sync::Arc;

use flowstone_operators::fuse::Moment;
use serde::{Deserialize, Serialize};

use super::packed::{ChildText, Record};
use super::scalar::{Scalar, write_integer};

/// The member of a fused document that holds its children.
pub(crate) const CHILDREN: &str = "source_annotations";

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

/// Makes fused documents of moments, for one `fuse`. The lengths of a pool's children are read once, not for each document.
pub struct Fuser {
    facet: u16,
    pool: Option<Arc<[Record]>>,
    lengths: Vec<Lengths>,
}

/// Of a child.
struct Lengths {
    rendered_bytes: u32,
    /// What its context adds to a document; read if it is the first child of one.
    context_bytes: Option<u32>,
}

impl Fuser {
    /// For the `fuse` of this facet.
    pub fn new(facet: u16) -> Self {
        Fuser { facet, pool: None, lengths: Vec::new() }
    }

    /// The document of a moment.
    pub fn fused(&mut self, moment: Moment<Scalar, Record>) -> Fused {
        let pool = moment.children.pool();
        if !self.pool.as_ref().is_some_and(|known| Arc::ptr_eq(known, pool)) {
            let at = usize::from(self.facet);
            let lengths = |record: &Record| Lengths { rendered_bytes: record.rendered_bytes(at), context_bytes: None };
            self.lengths.clear();
            self.lengths.extend(pool.iter().map(lengths));
            self.pool = Some(pool.clone());
        }
        let places = moment.children.places();
        let children = places.iter().map(|place| u64::from(self.lengths[*place as usize].rendered_bytes)).sum::<u64>();
        let context_of = |place: u32| pool[place as usize].child(usize::from(self.facet)).context.len() as u32;
        let context = self.lengths[places[0] as usize].context_bytes.get_or_insert_with(|| context_of(places[0]));
        let bytes = frame_bytes(&moment, u64::from(*context)) + children;
        Fused { moment, facet: self.facet, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) }
    }
}

const BUCKET_START: &[u8] = b"\"time_bucket_start_ns\":";
const BUCKET_END: &[u8] = b",\"time_bucket_end_ns\":";
const CHILDREN_START: &[u8] = b",\"source_annotations\":[";

/// A document; `child` appends the child at a place of the pool.
pub(super) fn moment(fused: &Fused, out: &mut Vec<u8>, mut child: impl FnMut(u32, &Record, &mut Vec<u8>)) {
    let moment = &fused.moment;
    out.reserve(fused.bytes as usize);
    out.push(b'{');
    let context = moment.children[0].child(usize::from(fused.facet)).context;
    if !context.is_empty() {
        out.extend_from_slice(context);
        out.push(b',');
    }
    out.extend_from_slice(BUCKET_START);
    write_integer(moment.interval.start_ns(), out);
    out.extend_from_slice(BUCKET_END);
    write_integer(moment.interval.end_ns(), out);
    out.extend_from_slice(CHILDREN_START);
    for (n, (place, record)) in moment.children.places().iter().zip(moment.children.iter()).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        child(*place, record, out);
    }
    out.extend_from_slice(b"]}");
}

pub(super) fn child(text: ChildText<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for piece in text.pieces {
        out.extend_from_slice(piece.lead().text());
        out.extend_from_slice(piece.slice().of(text.payload));
    }
    out.push(b'}');
}

/// The length of a fused document, without its children.
fn frame_bytes(moment: &Moment<Scalar, Record>, context_bytes: u64) -> u64 {
    let digits = |n: i64| itoa::Buffer::new().format(n).len();
    let numbers = digits(moment.interval.start_ns()) + digits(moment.interval.end_ns());
    let texts = 1 + BUCKET_START.len() + BUCKET_END.len() + CHILDREN_START.len() + 2;
    let commas = moment.children.len() - 1 + usize::from(context_bytes > 0);
    (texts + numbers + commas) as u64 + context_bytes
}
