//! Rows as bytes, as the journal keeps them. Written by hand: it is what recovery spends its time in.
//!
//! Format 1. `n` is a LEB128 integer of at most 64 bits in its shortest form, `z` one in zigzag form, `text` and `bytes`
//! are `n` and so many bytes, `int` is 8 bytes, little-endian.
//!
//! | what | how |
//! |---|---|
//! | scalar | `1` int (signed), or `2` int (above 2^63 - 1), or `3` text |
//! | key of a record | scalar; or `16` n scalars, for a composite key |
//! | key of a dead letter | `17`, node: text, origin: text, offset: int |
//! | record | format: `1`; flags: 1 has a version, 2 has a body, 4 has a time; source: n, partition: n, offset: n; version: z; time: z; body |
//! | body | fingerprint: int; payload: bytes; number of facets: n; facets |
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
use super::row::{Body, ChildPiece, ChildPieces, DeadLetter, Facets, Lead, Position, Record, Slice};
use super::scalar::{Key, Scalar};
use flowstone_operators::interval::Interval;

use self::input::Input;

mod fingerprint;
mod input;
#[cfg(test)]
mod tests;
mod write;

pub use fingerprint::fingerprint;
pub use write::{encode_dead_letter, encode_dead_letter_key, encode_key, encode_record};

const FORMAT: u8 = 1;

const INT: u8 = 1;
const UINT: u8 = 2;
const STR: u8 = 3;
const COMPOSITE: u8 = 16;
const LETTER: u8 = 17;

const HAS_VERSION: u8 = 1;
const HAS_BODY: u8 = 2;
const HAS_TIME: u8 = 4;

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
    strings: Interner,
}

impl Decoder {
    /// A decoder for the rows of a table whose records are decoded like this.
    pub fn new(spec: &DecodeSpec) -> Self {
        Decoder {
            fingerprint: fingerprint(spec),
            facets: spec.facets.len(),
            payloads: decode::Decoder::new(spec),
            strings: Interner::new(),
        }
    }

    /// A record from its key and its value; `route` is the key's routing hash.
    ///
    /// # Errors
    /// [`CodecError`], whatever the bytes are.
    pub fn record(&mut self, key: &[u8], route: u64, value: &[u8]) -> Result<Record, CodecError> {
        let key = decode_key(key)?;
        let mut input = Input::new(value);
        input.format()?;
        let flags = input.byte()?;
        if flags & !(HAS_VERSION | HAS_BODY | HAS_TIME) != 0 {
            return Err(CodecError::Invalid("flag"));
        }
        let position = Position {
            source: input.number()?.try_into().map_err(|_| CodecError::Invalid("source"))?,
            partition: input.number()?.try_into().map_err(|_| CodecError::Invalid("partition"))?,
            offset: input.number()?,
        };
        let version = if flags & HAS_VERSION != 0 { Some(input.signed()?) } else { None };
        let time_ns = if flags & HAS_TIME != 0 { Some(input.signed()?) } else { None };
        let body = if flags & HAS_BODY != 0 { Some(self.body(&mut input)?) } else { None };
        input.end()?;
        Ok(Record { key, route, version, time_ns, position, body })
    }

    fn body(&mut self, input: &mut Input<'_>) -> Result<Body, CodecError> {
        let fingerprint = input.int()?;
        let payload = input.text()?;
        let count = input.count()?;
        if fingerprint == self.fingerprint && count != self.facets {
            return Err(CodecError::Invalid("number of facets"));
        }
        let mut facets = SmallVec::with_capacity(count);
        for _ in 0..count {
            facets.push(self.facets(input, payload)?);
        }
        if fingerprint != self.fingerprint {
            let again = self.payloads.facets_again(payload.as_bytes());
            facets = again.map_err(|_| CodecError::Invalid("payload"))?;
        }
        Ok(Body { payload: payload.as_bytes().into(), facets })
    }

    fn facets(&mut self, input: &mut Input<'_>, payload: &str) -> Result<Result<Facets, Box<str>>, CodecError> {
        match input.byte()? {
            0 => return Ok(Err(input.text()?.into())),
            1 => {}
            _ => return Err(CodecError::Invalid("facet")),
        }
        let asset = match input.scalar()? {
            Text::Str(text) => Scalar::Str(self.strings.share(text)),
            Text::Number(number) => number,
        };
        let kind = self.strings.share(input.text()?);
        let (start_ns, length_ns) = (input.number()?, input.number()?);
        let end_ns = start_ns.checked_add(length_ns).and_then(|end_ns| i64::try_from(end_ns).ok());
        let end_ns = end_ns.filter(|_| length_ns > 0).ok_or(CodecError::Invalid("range"))?;
        let context = match input.byte()? {
            0 => None,
            1 => {
                let start = input.number()?;
                Some(slice(start, input.number()?, payload)?)
            }
            _ => return Err(CodecError::Invalid("context")),
        };
        // Not above the end, which fits.
        let interval = Interval::new(start_ns as i64, end_ns);
        Ok(Ok(Facets { asset, kind, interval, context, child: child(input, payload)? }))
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

/// The key of a record.
///
/// # Errors
/// [`CodecError`], whatever the bytes are.
pub fn decode_key(bytes: &[u8]) -> Result<Key, CodecError> {
    let mut input = Input::new(bytes);
    let key = if bytes.first() == Some(&COMPOSITE) {
        input.byte()?;
        let count = input.count()?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            parts.push(input.scalar()?.into());
        }
        Key::Composite(parts.into())
    } else {
        Key::One(input.scalar()?.into())
    };
    input.end()?;
    Ok(key)
}

/// A scalar whose text is not copied yet.
enum Text<'a> {
    Str(&'a str),
    Number(Scalar),
}

impl From<Text<'_>> for Scalar {
    fn from(text: Text<'_>) -> Self {
        match text {
            Text::Str(text) => Scalar::Str(text.into()),
            Text::Number(number) => number,
        }
    }
}

fn child(input: &mut Input<'_>, payload: &str) -> Result<ChildPieces, CodecError> {
    let count = input.count()?;
    let mut pieces = SmallVec::with_capacity(count);
    for _ in 0..count {
        let start_and_lead = input.number()?;
        let lead = [Lead::None, Lead::Comma, Lead::Type, Lead::CommaType][start_and_lead as usize % 4];
        pieces.push(ChildPiece { slice: slice(start_and_lead / 4, input.number()?, payload)?, lead });
    }
    ChildPieces::new(pieces).ok_or(CodecError::Invalid("length of a child"))
}

/// A piece of the payload, if it lies in it.
fn slice(start: u64, length: u64, payload: &str) -> Result<Slice, CodecError> {
    let end = start.checked_add(length).filter(|end| *end <= payload.len() as u64);
    let end = end.and_then(|end| u32::try_from(end).ok()).ok_or(CodecError::Invalid("piece of the payload"))?;
    Ok(Slice { start: start as u32, end })
}
