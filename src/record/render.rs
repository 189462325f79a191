//! The documents of rows, as JSON text.

use std::sync::Arc;

use super::fused::{Fused, child, moment};
use super::packed::Record;
use super::row::{DeadLetter, Rejected, Row};
use super::scalar::write_string;

/// Renders the documents of rows, one after another.
///
/// Neighbouring documents have most of their children in common: each is rendered once, and then copied. So it is best to
/// render the documents of an asset in the order of their time.
#[derive(Default)]
pub struct Renderer {
    /// The annotations that `spans` are about, and by which facet.
    pool: Option<(Arc<[Record]>, u16)>,
    /// Where the children are in `text`, by their place in the pool.
    spans: Vec<Span>,
    text: Vec<u8>,
    /// Spans of other rounds are not in `text` any more.
    round: u32,
}

#[derive(Clone, Copy, Default)]
struct Span {
    round: u32,
    start: u32,
    end: u32,
}

/// Rendered children are forgotten beyond this: an asset may have millions.
const TEXT_BYTES: usize = 4 << 20;

impl Renderer {
    /// Appends a row's document: JSON text, without a line break.
    pub fn document(&mut self, row: &Row, out: &mut Vec<u8>) {
        match row {
            Row::Moment(fused) => {
                self.attend(fused);
                moment(fused, out, |place, record, out| self.child(place, record, fused.facet, out));
            }
            other => other.write_document(out),
        }
    }

    /// Begins anew if the children are others.
    fn attend(&mut self, fused: &Fused) {
        let pool = fused.moment.children.pool();
        let is_same =
            self.pool.as_ref().is_some_and(|(known, facet)| Arc::ptr_eq(known, pool) && *facet == fused.facet);
        if !is_same {
            self.forget();
            self.pool = Some((pool.clone(), fused.facet));
            if self.spans.len() < pool.len() {
                self.spans.resize(pool.len(), Span::default());
            }
        }
    }

    fn forget(&mut self) {
        self.text.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            // A round of this number was there before.
            self.spans.fill(Span::default());
            self.round = 1;
        }
    }

    fn child(&mut self, place: u32, record: &Record, facet: u16, out: &mut Vec<u8>) {
        let mut span = self.spans[place as usize];
        if span.round != self.round {
            if self.text.len() > TEXT_BYTES {
                self.forget();
            }
            let start = self.text.len() as u32;
            child(record.child(usize::from(facet)), &mut self.text);
            span = Span { round: self.round, start, end: self.text.len() as u32 };
            self.spans[place as usize] = span;
        }
        out.extend_from_slice(&self.text[span.start as usize..span.end as usize]);
    }
}

impl Row {
    /// Appends the row's document: JSON text, without a line break. For many of them a [`Renderer`] is faster.
    pub fn write_document(&self, out: &mut Vec<u8>) {
        match self {
            Row::Record(record) => out.extend_from_slice(record.payload().expect("a table emits no deletions")),
            Row::Moment(fused) => {
                moment(fused, out, |_, record, out| child(record.child(usize::from(fused.facet)), out));
            }
            Row::Group(group) => out.extend_from_slice(group.document.as_bytes()),
            Row::Rejected(rejected) => rejection(rejected, out),
            Row::DeadLetter(letter) => dead_letter(letter, out),
        }
    }
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

#[cfg(test)]
mod tests {
    use flowstone_operators::fuse::{Children, Moment};
    use flowstone_operators::interval::Interval;

    use super::*;
    use crate::record::fused::Fuser;
    use crate::record::packed::{FacetParts, Position, RecordWriter, State};
    use crate::record::pieces::{ChildPiece, Lead, Slice};
    use crate::record::scalar::{Key, ScalarRef};

    fn record(n: u32, bytes: usize) -> Record {
        let payload = format!("{{\"id\":{n},\"text\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
        let slice = Slice { start: 1, end: payload.len() as u32 - 1 };
        let position = Position { source: 0, partition: 0, offset: n.into() };
        let mut writer = RecordWriter::default();
        writer.key(None, &Key::One(i64::from(n).into()));
        writer.state(&State::at(position), true);
        writer.body(0, payload.len(), 1);
        let (asset, interval) = (ScalarRef::Str("a7"), Interval::new(0, 1));
        let pieces = std::iter::once(ChildPiece::new(slice, Lead::None)).collect();
        writer.facets(FacetParts { asset, kind: "SCENE", interval, context: None, pieces });
        writer.payload(&payload);
        writer.finish()
    }

    fn row(start_ns: i64, children: Children<Record>) -> Row {
        let interval = Interval::new(start_ns, start_ns + 1);
        Row::Moment(Fuser::new(0).fused(Moment { key: "a7".into(), interval, children }))
    }

    /// Documents with new children, known ones, and more of them than are kept.
    #[test]
    fn a_renderer_writes_what_the_row_writes() {
        let big = TEXT_BYTES / 3;
        let records: Vec<Record> =
            [5, big, 7, big, 9, big, 11, big].into_iter().zip(0..).map(|(b, n)| record(n, b)).collect();
        let mut renderer = Renderer::default();
        for round in 0..3 {
            let shared = Children::from(records.clone());
            for (start, children) in [shared.clone(), records[2..5].to_vec().into(), shared].into_iter().enumerate() {
                let row = row(start as i64, children);
                let (mut expected, mut found) = (b"before".to_vec(), b"before".to_vec());
                row.write_document(&mut expected);
                renderer.document(&row, &mut found);
                assert!(found == expected, "round {round}, document {start}");
            }
            renderer.round = u32::MAX - 1;
        }
    }
}
