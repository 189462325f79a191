//! Ways in for fuzzing: bytes as they are, and again with checksums and lengths made right, since what they let through must
//! not cause a panic or a read of anything else either. Only tests and the targets in `fuzz/` call them.

use bytes::Bytes;

use crate::manifest::{self, PartRef, State};
use crate::part::{KEY_GROUPS, PartReader};

const ENTRY_HEADER_BYTES: usize = 32;
const PART_HEADER_BYTES: usize = 8;
const INDEX_ENTRY_BYTES: usize = 36;
const FOOTER_BYTES: usize = 48;

/// Reads an entry of the manifest, and lets it follow nothing. Returns whether it could be read.
pub fn entry(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let Ok((record, digest)) = manifest::decode("manifest/000000000000", bytes) else { return false };
        let mut state = State::default();
        if state.check(&record).is_ok() {
            state.apply(&record, digest);
        }
        true
    };
    let as_it_is = read(bytes);
    read(&mended_entry(bytes)) || as_it_is
}

/// Reads a part to its end. Returns how many of its blocks could be read.
pub fn part(bytes: &[u8]) -> usize {
    read_part(bytes).max(read_part(&mended_part(bytes)))
}

fn read_part(bytes: &[u8]) -> usize {
    let footer = bytes.len().checked_sub(FOOTER_BYTES).map(|start| &bytes[start..]);
    let Some(footer) = footer else { return 0 };
    let part = PartRef {
        object: "parts/fuzzing".to_owned(),
        first: 0,
        last: u64::MAX,
        offset: 0,
        bytes: bytes.len() as u64,
        rows: u64_at(footer, 4),
        removals: 0,
        raw_bytes: 0,
        digest: u32_at(footer, 40),
    };
    let Ok(reader) = PartReader::in_memory(&part, Bytes::copy_from_slice(bytes)) else { return 0 };
    let blocks = reader.blocks(0..KEY_GROUPS).map_while(Result::ok);
    blocks.map(|block| assert_eq!(block.changes().count(), block.rows() as usize)).count()
}

/// The same entry with the length and the checksum that it should have.
fn mended_entry(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    if mended.len() < ENTRY_HEADER_BYTES {
        return mended;
    }
    put(&mut mended, 0, b"FLJM\x01\0\0\0");
    put(&mut mended, 8, &(bytes.len() as u64).to_le_bytes());
    let checksum = crc(&[&mended[..24], &mended[28..]]);
    put(&mut mended, 24, &checksum.to_le_bytes());
    mended
}

/// The same part with the header, the length and the checksums that it should have.
fn mended_part(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    let Some(footer) = mended.len().checked_sub(FOOTER_BYTES).filter(|start| *start >= PART_HEADER_BYTES) else {
        return mended;
    };
    let header = *b"FLJP\x01\0\0\0";
    put(&mut mended, 0, &header);
    put(&mut mended, footer + 28, &(bytes.len() as u64).to_le_bytes());
    put(&mut mended, footer + 36, b"\x01\0\0\0");
    put(&mut mended, footer + 44, b"PJLF");
    let blocks = u32_at(&mended, footer) as usize;
    let index = blocks.checked_mul(INDEX_ENTRY_BYTES).and_then(|length| footer.checked_sub(length));
    let Some(index) = index.filter(|index| *index >= PART_HEADER_BYTES) else { return mended };
    let mut start = PART_HEADER_BYTES;
    for entry in (index..footer).step_by(INDEX_ENTRY_BYTES) {
        let end = start.saturating_add(u32_at(&mended, entry) as usize);
        let Some(block) = mended.get(start..end.min(index)) else { break };
        let checksum = crc(&[block]);
        put(&mut mended, entry + 12, &checksum.to_le_bytes());
        start = end;
    }
    let digest = crc(&[&header, &mended[index..footer + 40]]);
    put(&mut mended, footer + 40, &digest.to_le_bytes());
    mended
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("lengths were checked"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("lengths were checked"))
}

fn crc(pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::PartBuilder;

    fn a_part() -> Vec<u8> {
        let keys: Vec<_> = (0..60u64).map(u64::to_le_bytes).collect();
        let mut builder = PartBuilder::new();
        for (n, key) in (0..).zip(&keys) {
            builder.add(n as u16 % 3, n << 57, 7 + n % 5, key, (n % 7 > 0).then_some(b"value"));
        }
        builder.finish().bytes.to_vec()
    }

    fn an_entry() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1/manifest/000000000000")).unwrap()
    }

    #[test]
    fn what_is_whole_is_read_and_mending_changes_nothing_of_it() {
        assert_eq!(mended_part(&a_part()), a_part());
        assert_eq!(mended_entry(&an_entry()), an_entry());
        assert_eq!((part(&a_part()), entry(&an_entry())), (3, true), "a block a table");
    }

    #[test]
    fn damage_behind_right_checksums_is_reached() {
        let (mut bytes, mut seen) = (a_part(), [0; 4]);
        for at in 0..bytes.len() {
            bytes[at] ^= 0x41;
            seen[part(&bytes)] += 1;
            bytes[at] ^= 0x41;
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
        let (mut bytes, mut read) = (an_entry(), 0);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            read += usize::from(entry(&bytes));
            bytes[at] ^= 1;
        }
        assert!(read > 32 && read < bytes.len(), "{read}");
    }
}
