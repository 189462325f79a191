//! The bytes of an entry.
//!
//! ```text
//! "FLJM" · version u16 · 0 u16 · bytes u64 · bytes of the record u64 · crc32 of all but itself · 0 u32
//! parts that the entry carries, one after the other
//! record, as JSON
//! ```
//! All integers are little-endian.

use bytes::Bytes;

use super::Record;
use crate::error::JournalError;

const MAGIC: [u8; 4] = *b"FLJM";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 32;
const CRC_AT: usize = 24;

/// An entry's bytes, and their checksum.
pub(crate) struct Framed {
    pub(crate) bytes: Bytes,
    pub(crate) digest: u32,
}

/// Where the first part that an entry carries begins.
pub(crate) const INLINE_START: u64 = HEADER_BYTES as u64;

/// The bytes of an entry that carries `inline`.
pub(crate) fn encode(record: &Record, inline: &[Bytes]) -> Framed {
    let json = serde_json::to_vec(record).expect("a record has only text for keys, and nothing that can fail");
    let inline_bytes: usize = inline.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(HEADER_BYTES + inline_bytes + json.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&((HEADER_BYTES + inline_bytes + json.len()) as u64).to_le_bytes());
    out.extend_from_slice(&(json.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    for part in inline {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&json);
    let digest = checksum(&out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&digest.to_le_bytes());
    Framed { bytes: Bytes::from(out), digest }
}

/// The record in an entry's bytes, checked; and the entry's checksum.
pub(crate) fn decode(object: &str, bytes: &[u8]) -> Result<(Record, u32), JournalError> {
    let damaged = |problem: &str| JournalError::damaged(object, problem);
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("it is too short for an entry"))?;
    if header[..4] != MAGIC {
        return Err(damaged("it does not begin like an entry"));
    }
    let found = u16::from_le_bytes([header[4], header[5]]);
    if found > VERSION {
        return Err(JournalError::Version { object: object.to_owned(), found, known: VERSION });
    }
    if u64_at(header, 8) != bytes.len() as u64 {
        return Err(damaged("its length is not the one written in it"));
    }
    let digest = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    if checksum(bytes) != digest {
        return Err(damaged("its checksum does not match"));
    }
    let json_bytes = usize::try_from(u64_at(header, 16)).unwrap_or(usize::MAX);
    let start = bytes.len().checked_sub(json_bytes).filter(|start| *start >= HEADER_BYTES);
    let json = &bytes[start.ok_or_else(|| damaged("its record is longer than itself"))?..];
    let record =
        serde_json::from_slice(json).map_err(|error| damaged(&format!("its record cannot be read: {error}")))?;
    Ok((record, digest))
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(number)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CRC_AT]);
    hasher.update(&bytes[CRC_AT + 4..]);
    hasher.finalize()
}
