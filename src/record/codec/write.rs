//! Writing rows.

use super::{COMPOSITE, FORMAT, HAS_BODY, HAS_TIME, HAS_VERSION, INT, LETTER, STR, UINT};
use crate::record::row::{Body, DeadLetter, Facets, Lead, Record};
use crate::record::scalar::{Key, Scalar};

/// Appends a record's key.
pub fn encode_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::One(part) => scalar(part, out),
        Key::Composite(parts) => {
            out.push(COMPOSITE);
            number(parts.len() as u64, out);
            parts.iter().for_each(|part| scalar(part, out));
        }
    }
}

/// Appends a record without its key; one without a body is a deletion that is remembered. `fingerprint` is that of the
/// settings by which its facets were taken: [`fingerprint`](super::fingerprint()).
pub fn encode_record(record: &Record, fingerprint: u64, out: &mut Vec<u8>) {
    let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
    out.push(FORMAT);
    let flags = [
        (HAS_VERSION, record.version.is_some()),
        (HAS_BODY, record.body.is_some()),
        (HAS_TIME, record.time_ns.is_some()),
    ];
    out.push(flags.into_iter().map(|(value, is_set)| flag(value, is_set)).sum());
    number(record.position.source.into(), out);
    number(record.position.partition.into(), out);
    number(record.position.offset, out);
    for value in [record.version, record.time_ns].into_iter().flatten() {
        number((value << 1 ^ value >> 63) as u64, out);
    }
    if let Some(body) = &record.body {
        self::body(body, fingerprint, out);
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

fn body(body: &Body, fingerprint: u64, out: &mut Vec<u8>) {
    out.reserve(body.payload.len() + 128);
    out.extend_from_slice(&fingerprint.to_le_bytes());
    bytes(&body.payload, out);
    number(body.facets.len() as u64, out);
    for facets in &body.facets {
        match facets {
            Ok(facets) => self::facets(facets, out),
            Err(reason) => {
                out.push(0);
                bytes(reason.as_bytes(), out);
            }
        }
    }
}

fn facets(facets: &Facets, out: &mut Vec<u8>) {
    let Facets { asset, kind, interval, context, child } = facets;
    out.push(1);
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
    number(child.pieces.len() as u64, out);
    for piece in &child.pieces {
        let lead = match piece.lead {
            Lead::None => 0,
            Lead::Comma => 1,
            Lead::Type => 2,
            Lead::CommaType => 3,
        };
        number(u64::from(piece.slice.start) * 4 + lead, out);
        number((piece.slice.end - piece.slice.start).into(), out);
    }
}

fn scalar(scalar: &Scalar, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Int(value) => {
            out.push(INT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::UInt(value) => {
            out.push(UINT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Str(text) => {
            out.push(STR);
            bytes(text.as_bytes(), out);
        }
    }
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
