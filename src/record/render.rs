//! Documents as JSON text, made by joining pieces of payloads: nothing is parsed or re-serialised.

use super::packed::ChildText;
use super::row::{DeadLetter, Fused, Lead, Rejected, Row};
use super::scalar::{write_integer, write_string};

impl Row {
    /// Appends the row's document: JSON text, without a line break.
    pub fn write_document(&self, out: &mut Vec<u8>) {
        match self {
            Row::Record(record) => out.extend_from_slice(record.payload().expect("a table emits no deletions")),
            Row::Moment(fused) => moment(fused, out),
            Row::Rejected(rejected) => rejection(rejected, out),
            Row::DeadLetter(letter) => dead_letter(letter, out),
        }
    }
}

const BUCKET_START: &[u8] = b"\"time_bucket_start_ns\":";
const BUCKET_END: &[u8] = b",\"time_bucket_end_ns\":";
const CHILDREN: &[u8] = b",\"source_annotations\":[";

fn moment(fused: &Fused, out: &mut Vec<u8>) {
    let moment = &fused.moment;
    out.push(b'{');
    let facet = usize::from(fused.facet);
    let context = moment.children[0].child(facet).context;
    if !context.is_empty() {
        out.extend_from_slice(context);
        out.push(b',');
    }
    out.extend_from_slice(BUCKET_START);
    write_integer(moment.interval.start_ns(), out);
    out.extend_from_slice(BUCKET_END);
    write_integer(moment.interval.end_ns(), out);
    out.extend_from_slice(CHILDREN);
    for (n, record) in moment.children.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        child(&record.child(facet), out);
    }
    out.extend_from_slice(b"]}");
}

fn child(text: &ChildText<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for piece in text.pieces {
        out.extend_from_slice(piece.lead().text());
        out.extend_from_slice(piece.slice().of(text.payload));
    }
    out.push(b'}');
}

impl Lead {
    /// The text itself.
    pub fn text(self) -> &'static [u8] {
        match self {
            Lead::None => b"",
            Lead::Comma => b",",
            Lead::Type => b"\"annotation_type\":",
            Lead::CommaType => b",\"annotation_type\":",
        }
    }
}

/// The length of a fused document, without rendering it.
pub(crate) fn moment_bytes(fused: &Fused) -> u64 {
    let moment = &fused.moment;
    let digits = |n: i64| itoa::Buffer::new().format(n).len();
    let facet = usize::from(fused.facet);
    let context =
        Some(moment.children[0].child(facet).context.len()).filter(|bytes| *bytes > 0).map_or(0, |bytes| bytes + 1);
    let numbers = digits(moment.interval.start_ns()) + digits(moment.interval.end_ns());
    let fixed = 1 + context + BUCKET_START.len() + BUCKET_END.len() + CHILDREN.len() + numbers + 2;
    let commas = moment.children.len() - 1;
    let children: u64 = moment.children.iter().map(|r| u64::from(r.rendered_bytes(facet))).sum();
    (fixed + commas) as u64 + children
}

fn rejection(rejected: &Rejected, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    rejected.key.write_json(out);
    out.extend_from_slice(b",\"reason\":");
    write_string(&rejected.reason, out);
    out.push(b'}');
}

fn dead_letter(letter: &DeadLetter, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"node\":");
    write_string(&letter.node, out);
    out.extend_from_slice(b",\"origin\":");
    write_string(&letter.origin, out);
    out.extend_from_slice(format!(",\"offset\":{},\"reason\":", letter.offset).as_bytes());
    write_string(&letter.reason, out);
    out.extend_from_slice(format!(",\"payload_bytes\":{},", letter.payload_bytes).as_bytes());
    match std::str::from_utf8(&letter.payload) {
        Ok(text) => {
            out.extend_from_slice(b"\"payload\":");
            write_string(text, out);
        }
        Err(_) => {
            out.extend_from_slice(b"\"payload_hex\":\"");
            for byte in &letter.payload {
                out.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
            out.push(b'"');
        }
    }
    out.push(b'}');
}
