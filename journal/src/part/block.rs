//! One block of rows: coding, checking, iterating.

use std::ops::Range;

use super::key_group;
use crate::Epoch;

/// What became of one key of one table in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The table's number in the manifest.
    pub table: u16,
    /// Hash of the key by which rows are spread over workers; its top byte is the key group.
    pub route: u64,
    /// When it changed.
    pub epoch: Epoch,
    /// The row's key, opaque.
    pub key: &'a [u8],
    /// The row's value, opaque; `None`: the row is gone.
    pub value: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// What parts are sorted by. No two rows of a part have the same.
    pub(crate) fn order(&self) -> (u16, u64, &'a [u8], Epoch) {
        (self.table, self.route, self.key, self.epoch)
    }
}

/// A block begins with the epoch of its first row.
pub(crate) const BASE_BYTES: usize = size_of::<Epoch>();

/// Appends one row to the raw bytes of a block whose first epoch is `base`.
pub(super) fn put_row(raw: &mut Vec<u8>, base: Epoch, change: &Change<'_>) {
    raw.extend_from_slice(&change.route.to_le_bytes());
    let delta = change.epoch.wrapping_sub(base) as i64;
    put_varint(raw, ((delta << 1) ^ (delta >> 63)) as u64);
    put_varint(raw, change.key.len() as u64);
    put_varint(raw, change.value.map_or(0, |value| value.len() as u64 + 1));
    raw.extend_from_slice(change.key);
    raw.extend_from_slice(change.value.unwrap_or_default());
}

fn put_varint(raw: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        raw.push(number as u8 | 0x80);
        number >>= 7;
    }
    raw.push(number as u8);
}

fn take_varint(raw: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = raw.split_first()?;
        *raw = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (shift < 63 || *byte <= 1).then_some(number);
        }
    }
    None
}

fn take<'a>(raw: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, rest) = raw.split_at_checked(usize::try_from(len).ok()?)?;
    *raw = rest;
    Some(taken)
}

fn take_row<'a>(raw: &mut &'a [u8], table: u16, base: Epoch) -> Option<Change<'a>> {
    let (route, rest) = raw.split_first_chunk::<8>()?;
    *raw = rest;
    let zigzag = take_varint(raw)?;
    let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let (key_len, value_len) = (take_varint(raw)?, take_varint(raw)?);
    let key = take(raw, key_len)?;
    let value = value_len.checked_sub(1).map(|len| take(raw, len));
    let value = match value {
        Some(None) => return None,
        Some(some) => some,
        None => None,
    };
    Some(Change { table, route: u64::from_le_bytes(*route), epoch: base.wrapping_add(delta as u64), key, value })
}

/// Where a row is in its block.
#[derive(Debug)]
pub(crate) struct RowAt {
    route: u64,
    epoch: Epoch,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

/// Some rows of a part: of one table, sorted by (route, key, epoch). Checked in full before one of them is seen.
#[derive(Debug)]
pub struct Block {
    raw: Vec<u8>,
    table: u16,
    base: Epoch,
    rows: u32,
    groups: Range<u16>,
    /// Inclusive.
    epochs: (Epoch, Epoch),
    /// Not every row is asked for.
    filtered: bool,
}

impl Block {
    /// Checks rows that were decompressed from a block with the right checksum. Errors say what does not fit.
    pub(super) fn new(
        raw: Vec<u8>,
        entry: &super::frame::BlockEntry,
        groups: Range<u16>,
        epochs: (Epoch, Epoch),
    ) -> Result<Self, &'static str> {
        let (base, mut rest) = raw.split_first_chunk::<BASE_BYTES>().ok_or("it is too short for a block")?;
        let base = Epoch::from_le_bytes(*base);
        let mut last: Option<Change<'_>> = None;
        for _ in 0..entry.rows {
            let row = take_row(&mut rest, entry.table, base).ok_or("a row is cut off")?;
            let group = key_group(row.route);
            if group < entry.first_group.into() || group > entry.last_group.into() {
                return Err("a row lies outside its key groups");
            }
            if row.epoch < entry.first_epoch || row.epoch > entry.last_epoch {
                return Err("a row lies outside its epochs");
            }
            if last.is_some_and(|last| (last.route, last.key, last.epoch) >= (row.route, row.key, row.epoch)) {
                return Err("rows are out of order");
            }
            last = Some(row);
        }
        if !rest.is_empty() {
            return Err("bytes follow the last row");
        }
        let filtered = entry.first_epoch < epochs.0
            || entry.last_epoch > epochs.1
            || u16::from(entry.first_group) < groups.start
            || u16::from(entry.last_group) >= groups.end;
        let (table, rows) = (entry.table, entry.rows);
        Ok(Block { raw, table, base, rows, groups, epochs, filtered })
    }

    /// The table of all rows here.
    pub fn table(&self) -> u16 {
        self.table
    }

    /// The rows that were asked for, sorted by (route, key, epoch).
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut at = BASE_BYTES;
        std::iter::from_fn(move || self.next(&mut at))
    }

    /// The next row that was asked for, from byte `at` on ([`BASE_BYTES`] at first); moves `at` behind it.
    pub(crate) fn next(&self, at: &mut usize) -> Option<Change<'_>> {
        let mut rest = &self.raw[*at..];
        while !rest.is_empty() {
            let row = take_row(&mut rest, self.table, self.base).expect("all rows were decoded once already");
            *at = self.raw.len() - rest.len();
            if !self.filtered || self.asked(&row) {
                return Some(row);
            }
        }
        None
    }

    /// As [`Block::next`], for who cannot hold a borrow.
    pub(crate) fn next_row(&self, at: &mut usize) -> Option<RowAt> {
        let change = self.next(at)?;
        let end = *at;
        let key_end = end - change.value.map_or(0, <[u8]>::len);
        let key = key_end - change.key.len()..key_end;
        Some(RowAt { route: change.route, epoch: change.epoch, key, value: change.value.map(|_| key_end..end) })
    }

    /// The row at a place that [`Block::next_row`] gave.
    pub(crate) fn change(&self, row: &RowAt) -> Change<'_> {
        let value = row.value.clone().map(|value| &self.raw[value]);
        Change { table: self.table, route: row.route, epoch: row.epoch, key: &self.raw[row.key.clone()], value }
    }

    fn asked(&self, row: &Change<'_>) -> bool {
        self.groups.contains(&key_group(row.route)) && self.epochs.0 <= row.epoch && row.epoch <= self.epochs.1
    }

    /// How many rows there are, those that were not asked for included.
    pub fn rows(&self) -> u32 {
        self.rows
    }
}
