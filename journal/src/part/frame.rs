//! Header, index and footer of a part.

use crate::Epoch;

pub(super) const MAGIC: [u8; 4] = *b"FLJP";
const END: [u8; 4] = *b"PJLF";
pub(crate) const VERSION: u16 = 1;
pub(super) const HEADER_BYTES: usize = 8;
pub(super) const ENTRY_BYTES: usize = 36;
pub(super) const FOOTER_BYTES: usize = 48;
/// lz4 makes at most 255 bytes of one, and a few more at the ends.
const MAX_RATIO: u64 = 256;

/// Where a block is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// Within the part; not written, but the sum of the blocks before.
    pub(super) offset: u64,
    pub(super) stored_bytes: u32,
    pub(super) raw_bytes: u32,
    pub(super) rows: u32,
    pub(super) crc: u32,
    pub(super) table: u16,
    pub(super) first_group: u8,
    pub(super) last_group: u8,
    pub(super) first_epoch: Epoch,
    pub(super) last_epoch: Epoch,
}

/// Sums over a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) removals: u64,
    pub(crate) raw_bytes: u64,
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let [v0, v1] = VERSION.to_le_bytes();
    let [m0, m1, m2, m3] = MAGIC;
    [m0, m1, m2, m3, v0, v1, 0, 0]
}

/// Index and footer of a part whose blocks end at `offset`; and the part's digest.
pub(super) fn tail(index: &[BlockEntry], totals: Totals, offset: u64) -> (Vec<u8>, u32) {
    let mut out = Vec::with_capacity(index.len() * ENTRY_BYTES + FOOTER_BYTES);
    for block in index {
        for number in [block.stored_bytes, block.raw_bytes, block.rows, block.crc] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&block.table.to_le_bytes());
        out.extend_from_slice(&[block.first_group, block.last_group]);
        out.extend_from_slice(&block.first_epoch.to_le_bytes());
        out.extend_from_slice(&block.last_epoch.to_le_bytes());
    }
    let bytes = offset + (out.len() + FOOTER_BYTES) as u64;
    out.extend_from_slice(&(index.len() as u32).to_le_bytes());
    for number in [totals.rows, totals.removals, totals.raw_bytes, bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let digest = checksum(&out);
    out.extend_from_slice(&digest.to_le_bytes());
    out.extend_from_slice(&END);
    (out, digest)
}

fn checksum(tail: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header());
    hasher.update(tail);
    hasher.finalize()
}

/// A part's footer.
pub(super) struct Footer {
    pub(super) blocks: usize,
    pub(super) totals: Totals,
    pub(super) digest: u32,
}

/// A problem, or the format version that is not known.
#[derive(Debug)]
pub(super) enum Unreadable {
    Problem(&'static str),
    Version(u16),
}

impl From<&'static str> for Unreadable {
    fn from(problem: &'static str) -> Self {
        Unreadable::Problem(problem)
    }
}

/// Reads the footer at the end of `tail`, the last bytes of a part of `part_bytes`.
pub(super) fn footer(tail: &[u8], part_bytes: u64) -> Result<Footer, Unreadable> {
    let mut rest: &[u8] = tail.last_chunk::<FOOTER_BYTES>().ok_or("it is too short for a part")?;
    if rest[FOOTER_BYTES - 4..] != END {
        return Err("its end is not that of a part".into());
    }
    let blocks = take_u32(&mut rest);
    let totals = Totals { rows: take_u64(&mut rest), removals: take_u64(&mut rest), raw_bytes: take_u64(&mut rest) };
    let bytes = take_u64(&mut rest);
    let version = (take_u32(&mut rest) & 0xffff) as u16;
    if version > VERSION {
        return Err(Unreadable::Version(version));
    }
    let digest = take_u32(&mut rest);
    if bytes != part_bytes {
        return Err("its length is not the one written in it".into());
    }
    let blocks = usize::try_from(blocks).map_err(|_| "it has too many blocks")?;
    if (blocks as u64).saturating_mul(ENTRY_BYTES as u64) > part_bytes {
        return Err("its index is longer than itself".into());
    }
    Ok(Footer { blocks, totals, digest })
}

/// Bytes of index and footer together.
pub(super) fn tail_bytes(footer: &Footer) -> u64 {
    (footer.blocks * ENTRY_BYTES + FOOTER_BYTES) as u64
}

/// Reads the index from exactly index and footer of a part of `part_bytes`.
pub(super) fn index(tail: &[u8], footer: &Footer, part_bytes: u64) -> Result<Vec<BlockEntry>, Unreadable> {
    let body = tail.len().checked_sub(8).ok_or("it is too short for a part")?;
    if checksum(&tail[..body]) != footer.digest {
        return Err("the checksum of its index does not match".into());
    }
    let mut rest = tail;
    let mut offset = HEADER_BYTES as u64;
    let mut blocks = Vec::with_capacity(footer.blocks);
    for _ in 0..footer.blocks {
        if rest.len() < ENTRY_BYTES {
            return Err("its index is cut off".into());
        }
        let (stored_bytes, raw_bytes) = (take_u32(&mut rest), take_u32(&mut rest));
        let (rows, crc) = (take_u32(&mut rest), take_u32(&mut rest));
        let word = take_u32(&mut rest);
        let (table, first_group, last_group) = (word as u16, (word >> 16) as u8, (word >> 24) as u8);
        let (first_epoch, last_epoch) = (take_u64(&mut rest), take_u64(&mut rest));
        if u64::from(raw_bytes) > u64::from(stored_bytes) * MAX_RATIO + MAX_RATIO {
            return Err("a block claims to be larger than it can be".into());
        }
        blocks.push(BlockEntry {
            offset,
            stored_bytes,
            raw_bytes,
            rows,
            crc,
            table,
            first_group,
            last_group,
            first_epoch,
            last_epoch,
        });
        offset += u64::from(stored_bytes);
    }
    if offset + tail.len() as u64 != part_bytes {
        return Err("its blocks do not fill it".into());
    }
    Ok(blocks)
}

fn take_u32(rest: &mut &[u8]) -> u32 {
    let (number, tail) = rest.split_first_chunk().expect("lengths were checked");
    *rest = tail;
    u32::from_le_bytes(*number)
}

fn take_u64(rest: &mut &[u8]) -> u64 {
    let (number, tail) = rest.split_first_chunk().expect("lengths were checked");
    *rest = tail;
    u64::from_le_bytes(*number)
}
