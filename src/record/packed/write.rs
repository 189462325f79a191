//! Writing rows.

use flowstone_operators::generations::Stage;
use flowstone_operators::interval::Interval;
use flowstone_operators::route::Route;
use smallvec::SmallVec;

use super::index::FacetHead;
use super::{
    COMPOSITE, FORMAT, HAS_BODY, HAS_STAGE, HAS_TIME, HAS_VERSION, Head, INT, IS_REMEMBERED, KeyRef, OPERATION,
    OperationRef, Position, ROW_OF, Record, STR, State, UINT,
};
use crate::record::decode::NO_FACETS;
use crate::record::pieces::{BRACES, ChildPiece, Slice};
use crate::record::scalar::{Key, Scalar, ScalarRef};

/// Makes records: the parts of one are given in the order in which they stand in it. One writer makes many.
#[derive(Default)]
pub struct RecordWriter {
    bytes: Vec<u8>,
    route: u64,
    key_end: u32,
    payload_at: u32,
    facets: SmallVec<[FacetHead; 1]>,
}

/// What a `fuse` takes from a payload; slices are of the payload.
#[derive(Clone, Debug)]
pub struct FacetParts<'a> {
    /// The asset.
    pub asset: ScalarRef<'a>,
    /// The type (modality).
    pub kind: &'a str,
    /// The range, half-open.
    pub interval: Interval,
    /// The member that the document takes over, if there is one.
    pub context: Option<Slice>,
    /// The child.
    pub pieces: SmallVec<[ChildPiece; 3]>,
}

impl std::fmt::Debug for RecordWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordWriter").finish_non_exhaustive()
    }
}

impl RecordWriter {
    /// Begins a record with a key of one value, of a row of an operation or of none.
    pub fn key_of(&mut self, operation: Option<OperationRef<'_>>, value: ScalarRef<'_>) {
        self.begin(ROW_OF, operation);
        scalar(value, &mut self.bytes);
        match operation {
            // What the bytes say, without reading them again.
            None => self.end_key(value.route()),
            Some(_) => self.end_key(KeyRef::of(&self.bytes).route()),
        }
    }

    /// Begins a record with any key, of a row of an operation or of none.
    pub fn key(&mut self, operation: Option<OperationRef<'_>>, key: &Key) {
        self.begin(ROW_OF, operation);
        encode_key(key, &mut self.bytes);
        self.end_key(KeyRef::of(&self.bytes).route());
    }

    /// Begins a record about an operation.
    pub fn operation(&mut self, operation: OperationRef<'_>) {
        self.begin(OPERATION, Some(operation));
        self.end_key(KeyRef::of(&self.bytes).route());
    }

    fn begin(&mut self, kind: u8, operation: Option<OperationRef<'_>>) {
        self.bytes.clear();
        if let Some(OperationRef { kind: of, pivot, number }) = operation {
            self.bytes.push(kind);
            scalar(of, &mut self.bytes);
            scalar(pivot, &mut self.bytes);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Begins a record with a key as the journal has it.
    pub(in crate::record) fn key_bytes(&mut self, key: &[u8], route: u64) {
        self.bytes.clear();
        self.bytes.extend_from_slice(key);
        (self.route, self.key_end) = (route, at(&self.bytes));
        (self.payload_at, self.facets) = (0, SmallVec::new());
    }

    fn end_key(&mut self, route: u64) {
        (self.route, self.key_end) = (route, at(&self.bytes));
        (self.payload_at, self.facets) = (0, SmallVec::new());
    }

    /// What the record says besides its row. Without a body it is a deletion, and complete.
    pub fn state(&mut self, state: &State, has_body: bool) {
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        let State { position, version, time_ns, is_remembered, stage } = state;
        let flags = [
            (HAS_VERSION, version.is_some()),
            (HAS_BODY, has_body),
            (HAS_TIME, time_ns.is_some()),
            (IS_REMEMBERED, *is_remembered),
            (HAS_STAGE, stage.is_some()),
        ];
        let out = &mut self.bytes;
        out.push(FORMAT);
        out.push(flags.into_iter().map(|(value, is_set)| flag(value, is_set)).sum());
        number(position.source.into(), out);
        number(position.partition.into(), out);
        number(position.offset, out);
        for value in [version, time_ns].into_iter().flatten() {
            number((value << 1 ^ value >> 63) as u64, out);
        }
        match stage {
            None => {}
            Some(Stage::Started) => out.push(0),
            Some(Stage::Finished { awaits }) => {
                out.push(1);
                number(*awaits, out);
            }
            Some(Stage::Canceled) => out.push(2),
        }
    }

    /// The row: so many facets and a payload of so many bytes follow. `fingerprint` is that of the settings by which the facets
    /// are taken.
    pub fn body(&mut self, fingerprint: u64, payload_bytes: usize, facets: usize) {
        let out = &mut self.bytes;
        out.extend_from_slice(&fingerprint.to_le_bytes());
        number(payload_bytes as u64, out);
        number(facets as u64, out);
    }

    /// The payload, behind the facets: what operators compare stands together at the front.
    pub fn payload(&mut self, payload: &[u8]) {
        self.payload_at = at(&self.bytes);
        self.bytes.extend_from_slice(payload);
    }

    /// The facets for the next operator.
    pub fn facets(&mut self, parts: FacetParts<'_>) {
        let FacetParts { asset, kind, interval, context, pieces } = parts;
        let out = &mut self.bytes;
        out.push(1);
        let asset_at = at(out);
        scalar(asset, out);
        bytes(kind.as_bytes(), out);
        number(interval.start_ns() as u64, out);
        number(interval.length_ns() as u64, out);
        match context {
            None => out.push(0),
            Some(slice) => {
                out.push(1);
                number(slice.start.into(), out);
                number((slice.end - slice.start).into(), out);
            }
        }
        number(pieces.len() as u64, out);
        for piece in &pieces {
            let slice = piece.slice();
            number(u64::from(slice.start) * 4 + u64::from(piece.lead().number()), out);
            number((slice.end - slice.start).into(), out);
        }
        let rendered_bytes = BRACES as u32 + pieces.iter().map(|piece| piece.rendered_bytes()).sum::<u32>();
        self.facets.push(FacetHead { interval, asset_at, rendered_bytes });
    }

    /// The next operator can not use the row, for this reason.
    pub fn unusable(&mut self, reason: &str) {
        self.bytes.push(0);
        self.facets.push(FacetHead::unusable(at(&self.bytes)));
        bytes(reason.as_bytes(), &mut self.bytes);
    }

    /// Ends the record with a row of no use for any operator; without a payload, as a deletion.
    pub(crate) fn row(&mut self, state: &State, payload: Option<&[u8]>) -> Record {
        self.state(state, payload.is_some());
        if let Some(payload) = payload {
            self.body(0, payload.len(), 0);
            self.payload(payload);
        }
        self.finish()
    }

    /// Ends a record that a table makes itself: it comes from nowhere, and has no facets. Without a payload it is a deletion.
    pub(in crate::record) fn of_table(&mut self, payload: Option<&[u8]>) -> Record {
        self.state(&State::at(Position { source: 0, partition: 0, offset: 0 }), payload.is_some());
        if let Some(payload) = payload {
            self.body(*NO_FACETS, payload.len(), 0);
            self.payload(payload);
        }
        self.finish()
    }

    /// The record.
    pub fn finish(&mut self) -> Record {
        let facets = std::mem::take(&mut self.facets);
        let Self { route, key_end, payload_at, .. } = *self;
        Record::new(Head { route, key_end, payload_at, facets }, &self.bytes)
    }
}

/// The end of what is written. Payloads are at most 1 GiB, and nothing else in a record is long.
fn at(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a record is shorter than 4 GiB")
}

/// Appends a record's key.
pub fn encode_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::One(part) => scalar(part.as_ref(), out),
        Key::Composite(parts) => encode_parts(parts.len(), parts.iter().map(Scalar::as_ref), out),
    }
}

/// Appends a composite key of so many values.
pub(in crate::record) fn encode_parts<'a>(count: usize, parts: impl Iterator<Item = ScalarRef<'a>>, out: &mut Vec<u8>) {
    out.push(COMPOSITE);
    number(count as u64, out);
    parts.for_each(|part| scalar(part, out));
}

fn scalar(scalar: ScalarRef<'_>, out: &mut Vec<u8>) {
    match scalar {
        ScalarRef::Int(value) => {
            out.push(INT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        ScalarRef::UInt(value) => {
            out.push(UINT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        ScalarRef::Str(text) => {
            out.push(STR);
            bytes(text.as_bytes(), out);
        }
    }
}

pub(in crate::record) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(in crate::record) fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
impl Record {
    /// A row of no use for any operator, or a deletion.
    pub(crate) fn made(key: &Key, state: State, payload: Option<&[u8]>) -> Self {
        let mut writer = RecordWriter::default();
        writer.key(None, key);
        writer.row(&state, payload)
    }
}
