//! Fused documents, made by joining pieces of payloads: nothing is parsed or re-serialised.

use flowstone_operators::fuse::Moment;
use serde::{Deserialize, Serialize};

use super::packed::{ChildText, Record};
use super::scalar::{Scalar, write_integer};

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

const BUCKET_START: &[u8] = b"\"time_bucket_start_ns\":";
const BUCKET_END: &[u8] = b",\"time_bucket_end_ns\":";
const CHILDREN: &[u8] = b",\"source_annotations\":[";

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
    out.extend_from_slice(CHILDREN);
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

/// The length of a fused document, without rendering it.
fn moment_bytes(moment: &Moment<Scalar, Record>, facet: usize) -> u64 {
    let digits = |n: i64| itoa::Buffer::new().format(n).len();
    let context = match moment.children[0].child(facet).context.len() {
        0 => 0,
        bytes => bytes + 1,
    };
    let numbers = digits(moment.interval.start_ns()) + digits(moment.interval.end_ns());
    let fixed = 1 + context + BUCKET_START.len() + BUCKET_END.len() + CHILDREN.len() + numbers + 2;
    let commas = moment.children.len() - 1;
    let children: u64 = moment.children.iter().map(|record| u64::from(record.rendered_bytes(facet))).sum();
    (fixed + commas) as u64 + children
}
