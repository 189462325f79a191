//! Rows as the journal reads and writes them; the form is that of [`packed`](super::packed).

use super::decode::{self, DecodeSpec, fingerprint};
use std::sync::Arc;

use super::interner::Interner;
use super::packed::{
    CodecError, FORMAT, Head, Input, KeyRef, LETTER, Position, Record, RecordWriter, State, bytes, check_key, index,
    number,
};
use super::row::DeadLetter;

#[cfg(test)]
mod tests;

/// Reads the rows of one table.
#[derive(Debug)]
pub struct Decoder {
    fingerprint: u64,
    facets: usize,
    payloads: decode::Decoder,
    writer: RecordWriter,
    bytes: Vec<u8>,
    strings: Interner<Arc<str>>,
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
        Ok(self.writer.row(&State::at(position), None))
    }

    /// A record whose facets are taken from its payload, because they were taken for other operators.
    fn taken_again(&mut self, key: &[u8], head: &Head, value: &[u8]) -> Result<Record, CodecError> {
        let payload = &value[(head.payload_at - head.key_end) as usize..];
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

/// Appends a dead letter's key.
pub fn encode_dead_letter_key(letter: &DeadLetter, out: &mut Vec<u8>) {
    out.push(LETTER);
    bytes(letter.node.as_bytes(), out);
    bytes(letter.origin.as_bytes(), out);
    out.extend_from_slice(&letter.offset.to_le_bytes());
}

/// Appends a dead letter without its key.
pub fn encode_dead_letter(letter: &DeadLetter, out: &mut Vec<u8>) {
    out.push(FORMAT);
    bytes(letter.reason.as_bytes(), out);
    number(letter.payload_bytes, out);
    bytes(&letter.payload, out);
}
