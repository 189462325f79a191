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

use smallvec::SmallVec;

use super::decode::{self, DecodeSpec};
use super::interner::Interner;
use super::packed::{FacetHead, Head, Record};
use super::row::{ChildPiece, DeadLetter, Lead, Position, Slice, rendered_bytes};
use flowstone_operators::generations::Stage;
use flowstone_operators::interval::Interval;

mod fingerprint;
mod input;
mod key;
#[cfg(test)]
mod tests;
mod write;

pub use fingerprint::fingerprint;
pub(super) use input::Input;
pub(super) use key::check_key;
pub use key::{KeyRef, OperationRef};
pub use write::{FacetParts, RecordWriter, encode_dead_letter, encode_dead_letter_key, encode_key};

const FORMAT: u8 = 1;

const INT: u8 = 1;
const UINT: u8 = 2;
const STR: u8 = 3;
const COMPOSITE: u8 = 16;
const LETTER: u8 = 17;
const ROW_OF: u8 = 18;
const OPERATION: u8 = 19;

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

/// Reads the rows of one table.
#[derive(Debug)]
pub struct Decoder {
    fingerprint: u64,
    facets: usize,
    payloads: decode::Decoder,
    writer: RecordWriter,
    bytes: Vec<u8>,
    strings: Interner,
}

impl Decoder {
    /// A decoder for the rows of a table whose records are decoded like this.
    pub fn new(spec: &DecodeSpec) -> Self {
        Decoder {
            fingerprint: fingerprint(spec),
            facets: spec.facets.len(),
            payloads: decode::Decoder::new(spec),
            writer: RecordWriter::default(),
            bytes: Vec::new(),
            strings: Interner::new(),
        }
    }

    /// A record from its key and its value; `route` is the key's routing hash.
    ///
    /// # Errors
    /// [`CodecError`], whatever the bytes are.
    pub fn record(&mut self, key: &[u8], route: u64, value: &[u8]) -> Result<Record, CodecError> {
        check_key(key)?;
        let (head, fingerprint) = index(route, key, value)?;
        match fingerprint {
            _ if KeyRef::of(key).is_operation() => match head.facets.is_empty() {
                true => Ok(self.as_it_is(head, key, value)),
                false => Err(CodecError::Invalid("number of facets")),
            },
            Some(written) if written != self.fingerprint => self.taken_again(key, &head, value),
            Some(_) if head.facets.len() != self.facets => Err(CodecError::Invalid("number of facets")),
            _ => Ok(self.as_it_is(head, key, value)),
        }
    }

    fn as_it_is(&mut self, head: Head, key: &[u8], value: &[u8]) -> Record {
        self.bytes.clear();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Record::new(head, &self.bytes)
    }

    /// What stands for a key that has nothing any more.
    ///
    /// # Errors
    /// [`CodecError`], whatever the bytes are.
    pub fn removal(&mut self, key: &[u8], route: u64) -> Result<Record, CodecError> {
        check_key(key)?;
        let position = Position { source: 0, partition: 0, offset: 0 };
        self.writer.key_bytes(key, route);
        self.writer.state(&State::at(position), false);
        Ok(self.writer.finish())
    }

    /// A record whose facets are taken from its payload, because they were taken for other operators.
    fn taken_again(&mut self, key: &[u8], head: &Head, value: &[u8]) -> Result<Record, CodecError> {
        let at_value = |at: u32| (at - head.key_end) as usize;
        let payload = &value[at_value(head.payload.start)..at_value(head.payload.end)];
        let mut input = Input::new(value);
        let state = State::read(&mut input)?;
        self.writer.key_bytes(key, head.route);
        self.writer.state(&state, true);
        let again = self.payloads.facets_again(payload, &mut self.writer);
        again.map_err(|_| CodecError::Invalid("payload"))?;
        Ok(self.writer.finish())
    }

    /// A dead letter from its key and its value.
    ///
    /// # Errors
    /// [`CodecError`], whatever the bytes are.
    pub fn dead_letter(&mut self, key: &[u8], value: &[u8]) -> Result<DeadLetter, CodecError> {
        let mut input = Input::new(key);
        if input.byte()? != LETTER {
            return Err(CodecError::Invalid("key of a dead letter"));
        }
        let (node, origin, offset) =
            (self.strings.share(input.text()?), self.strings.share(input.text()?), input.int()?);
        input.end()?;
        let mut input = Input::new(value);
        input.format()?;
        let reason = input.text()?.to_owned();
        let payload_bytes = input.number()?;
        let payload = input.bytes()?.into();
        input.end()?;
        Ok(DeadLetter { node, origin, offset, reason, payload, payload_bytes })
    }
}

/// What a record says besides its key and its row.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Where it came from.
    pub position: Position,
    /// What `version:` names.
    pub version: Option<i64>,
    /// What `retention:` counts from.
    pub time_ns: Option<i64>,
    /// Of a deletion without a version: whether it is remembered all the same.
    pub is_remembered: bool,
    /// How the operation stands that the record is about.
    pub stage: Option<Stage>,
}

impl State {
    /// Of a record that came from there, and says nothing else.
    pub fn at(position: Position) -> Self {
        State { position, version: None, time_ns: None, is_remembered: false, stage: None }
    }

    pub(super) fn read(input: &mut Input<'_>) -> Result<State, CodecError> {
        Ok(State::read_with_flags(input)?.0)
    }

    fn read_with_flags(input: &mut Input<'_>) -> Result<(State, u8), CodecError> {
        input.format()?;
        let flags = input.byte()?;
        if flags & !FLAGS != 0 {
            return Err(CodecError::Invalid("flag"));
        }
        let position = Position {
            source: input.number()?.try_into().map_err(|_| CodecError::Invalid("source"))?,
            partition: input.number()?.try_into().map_err(|_| CodecError::Invalid("partition"))?,
            offset: input.number()?,
        };
        let version = if flags & HAS_VERSION != 0 { Some(input.signed()?) } else { None };
        let time_ns = if flags & HAS_TIME != 0 { Some(input.signed()?) } else { None };
        let stage = if flags & HAS_STAGE != 0 { Some(stage(input)?) } else { None };
        Ok((State { position, version, time_ns, is_remembered: flags & IS_REMEMBERED != 0, stage }, flags))
    }
}

fn stage(input: &mut Input<'_>) -> Result<Stage, CodecError> {
    match input.byte()? {
        0 => Ok(Stage::Started),
        1 => Ok(Stage::Finished { awaits: input.number()? }),
        2 => Ok(Stage::Canceled),
        _ => Err(CodecError::Invalid("stage")),
    }
}

/// Checks the value of a record behind its key, and finds what is in it; with the fingerprint of its facets, if it has a row.
pub(super) fn index(route: u64, key: &[u8], value: &[u8]) -> Result<(Head, Option<u64>), CodecError> {
    let end = key.len().checked_add(value.len()).filter(|end| u32::try_from(*end).is_ok());
    end.ok_or(CodecError::Invalid("length"))?;
    let key_end = key.len() as u32;
    let mut input = Input::new(value);
    let (state, flags) = State::read_with_flags(&mut input)?;
    if state.stage.is_some() && !KeyRef::of(key).is_operation() {
        return Err(CodecError::Invalid("flag"));
    }
    let mut head = Head { route, key_end, payload: Slice::default(), facets: SmallVec::new() };
    let mut fingerprint = None;
    if flags & HAS_BODY != 0 {
        fingerprint = Some(input.int()?);
        let payload_bytes = input.count()?;
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(CodecError::Invalid("length of a payload"));
        }
        for _ in 0..input.count()? {
            head.facets.push(facet(&mut input, value, key_end, payload_bytes as u32)?);
        }
        let start = key_end + input.position_in(value);
        input.text_of(payload_bytes)?;
        head.payload = Slice { start, end: start + payload_bytes as u32 };
    }
    input.end()?;
    Ok((head, fingerprint))
}

fn facet(input: &mut Input<'_>, value: &[u8], key_end: u32, payload_bytes: u32) -> Result<FacetHead, CodecError> {
    let is_usable = input.byte()?;
    let here = |input: &Input<'_>| key_end + input.position_in(value);
    let asset_at = here(input);
    match is_usable {
        0 => {
            input.text()?;
            return Ok(FacetHead::unusable(asset_at));
        }
        1 => {}
        _ => return Err(CodecError::Invalid("facet")),
    }
    input.scalar()?;
    let kind_at = here(input);
    input.text()?;
    let (start_ns, length_ns) = (input.number()?, input.number()?);
    let end_ns = start_ns.checked_add(length_ns).and_then(|end_ns| i64::try_from(end_ns).ok());
    let end_ns = end_ns.filter(|_| length_ns > 0).ok_or(CodecError::Invalid("range"))?;
    // Not above the end, which fits.
    let interval = Interval::new(start_ns as i64, end_ns);
    let context = match input.byte()? {
        0 => Slice::default(),
        1 => {
            let start = input.number()?;
            slice(start, input.number()?, payload_bytes)?
        }
        _ => return Err(CodecError::Invalid("context")),
    };
    let pieces = pieces(input, payload_bytes)?;
    let rendered_bytes = rendered_bytes(&pieces);
    Ok(FacetHead { interval, asset_at, kind_at, context, rendered_bytes, pieces })
}

impl FacetHead {
    /// Of a row that the operator can not use; the reason is there.
    fn unusable(reason_at: u32) -> Self {
        FacetHead {
            interval: Interval::new(0, 1),
            asset_at: reason_at,
            kind_at: reason_at,
            context: Slice::default(),
            rendered_bytes: 0,
            pieces: SmallVec::new(),
        }
    }
}

/// The pieces of a child. They may not come to more than the payload and what stands between them: no child is longer.
fn pieces(input: &mut Input<'_>, payload_bytes: u32) -> Result<SmallVec<[ChildPiece; 3]>, CodecError> {
    let count = input.count()?;
    let mut pieces = SmallVec::with_capacity(count);
    let mut bytes = 0u64;
    for _ in 0..count {
        let start_and_lead = input.number()?;
        let lead = Lead::of_number((start_and_lead % 4) as u8);
        let slice = slice(start_and_lead / 4, input.number()?, payload_bytes)?;
        bytes += u64::from(slice.end - slice.start);
        pieces.push(ChildPiece::new(slice, lead));
    }
    if bytes > payload_bytes.into() { Err(CodecError::Invalid("length of a child")) } else { Ok(pieces) }
}

/// A piece of the payload, if it lies in it.
fn slice(start: u64, length: u64, payload_bytes: u32) -> Result<Slice, CodecError> {
    let end = start.checked_add(length).filter(|end| *end <= payload_bytes.into());
    let end = end.ok_or(CodecError::Invalid("piece of the payload"))?;
    Ok(Slice { start: start as u32, end: end as u32 })
}
