//! From changes to the bytes of a part.

use bytes::Bytes;

use super::block::{Change, put_row};
use super::frame::{self, BlockEntry, Totals};
use super::key_group;
use crate::Epoch;
use crate::manifest::NewPart;

/// Raw bytes at which a block ends.
const BLOCK_BYTES: usize = 128 << 10;

/// Where a change is in the builder's bytes.
struct Slot {
    route: u64,
    epoch: Epoch,
    start: usize,
    key_len: u32,
    /// `u32::MAX`: the row is gone.
    value_len: u32,
    table: u16,
}

/// A builder keeps at most so much memory for parts that are much smaller.
const KEPT_BYTES: usize = 4 << 20;

/// Collects changes in any order, and makes a part of them.
///
/// ```
/// let mut builder = flowstone_journal::PartBuilder::new();
/// builder.add(0, 7, 1, b"key", Some(b"value"));
/// let part = builder.finish();
/// assert_eq!(part.rows, 1);
/// ```
#[derive(Default)]
pub struct PartBuilder {
    slots: Vec<Slot>,
    data: Vec<u8>,
}

impl PartBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a change; key and value are copied, each must be shorter than 1 GiB. A second change of the same key in the
    /// same epoch replaces the first.
    ///
    /// # Panics
    /// If key or value are 1 GiB or longer; limits on records keep that from happening.
    pub fn add(&mut self, table: u16, route: u64, epoch: Epoch, key: &[u8], value: Option<&[u8]>) {
        let value_bytes = value.unwrap_or_default();
        assert!(key.len() < 1 << 30 && value_bytes.len() < 1 << 30, "keys and values are shorter than 1 GiB");
        let start = self.data.len();
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value_bytes);
        let value_len = value.map_or(u32::MAX, |value| value.len() as u32);
        self.slots.push(Slot { route, epoch, start, key_len: key.len() as u32, value_len, table });
    }

    /// Changes added.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes held: keys, values, and what the builder needs for each.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.slots.len() * size_of::<Slot>()
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The part.
    pub fn finish(mut self) -> BuiltPart {
        self.build()
    }

    /// The part of what was added since the last one. Keeps its memory for the next: to touch fresh memory was measured to
    /// take as long as everything else.
    pub fn build(&mut self) -> BuiltPart {
        let part = self.encode();
        if self.data.capacity() > KEPT_BYTES.max(4 * self.data.len()) {
            self.data.shrink_to(self.data.len());
            self.slots.shrink_to(self.slots.len());
        }
        self.data.clear();
        self.slots.clear();
        part
    }

    fn encode(&mut self) -> BuiltPart {
        let PartBuilder { slots, data } = self;
        let key = |slot: &Slot| &data[slot.start..][..slot.key_len as usize];
        // Stable: the last change of a key in an epoch comes last.
        slots.sort_by(|a, b| {
            (a.table, a.route)
                .cmp(&(b.table, b.route))
                .then_with(|| key(a).cmp(key(b)))
                .then_with(|| a.epoch.cmp(&b.epoch))
        });
        let mut encoder = PartEncoder::default();
        encoder.out.reserve(data.len() / 2);
        for (i, slot) in slots.iter().enumerate() {
            let same = |next: &Slot| {
                (next.table, next.route, next.epoch) == (slot.table, slot.route, slot.epoch) && key(next) == key(slot)
            };
            if slots.get(i + 1).is_some_and(same) {
                continue;
            }
            let value_start = slot.start + slot.key_len as usize;
            let value = (slot.value_len != u32::MAX).then(|| &data[value_start..][..slot.value_len as usize]);
            let Slot { table, route, epoch, .. } = *slot;
            encoder.push(&Change { table, route, epoch, key: key(slot), value });
        }
        encoder.finish()
    }
}

/// The bytes of a part, and what the manifest remembers of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BuiltPart {
    /// What is to be stored.
    pub bytes: Bytes,
    /// Changes in it.
    pub rows: u64,
    /// Those of them that say that a row is gone.
    pub removals: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Checksum over everything.
    pub digest: u32,
}

impl BuiltPart {
    /// What an entry says of this part once it is stored under `name` by [`crate::Journal::put_part`].
    pub fn stored(&self, name: &str) -> NewPart {
        let BuiltPart { rows, removals, raw_bytes, digest, .. } = *self;
        let bytes = self.bytes.len() as u64;
        NewPart::Stored { name: name.to_owned(), bytes, rows, removals, raw_bytes, digest }
    }

    /// What an entry says of this part if the entry is to carry it.
    pub fn inline(self) -> NewPart {
        NewPart::Inline(self)
    }
}

/// Codes sorted changes, and hands out the bytes as they come.
#[derive(Default)]
pub(crate) struct PartEncoder {
    out: Vec<u8>,
    /// Bytes handed out already.
    taken: u64,
    raw: Vec<u8>,
    /// Epoch of the block's first row.
    base: Epoch,
    block: Option<BlockEntry>,
    index: Vec<BlockEntry>,
    totals: Totals,
}

impl PartEncoder {
    /// Adds a change, which must come after the last one in [`Change::order`].
    pub(crate) fn push(&mut self, change: &Change<'_>) {
        if self.out.is_empty() && self.taken == 0 {
            self.out.extend_from_slice(&frame::header());
        }
        if self.raw.len() >= BLOCK_BYTES || self.block.as_ref().is_some_and(|block| block.table != change.table) {
            self.close_block();
        }
        let group = key_group(change.route) as u8;
        if self.block.is_none() {
            self.base = change.epoch;
            self.raw.extend_from_slice(&self.base.to_le_bytes());
        }
        let block = self.block.get_or_insert(BlockEntry {
            offset: 0,
            stored_bytes: 0,
            raw_bytes: 0,
            rows: 0,
            crc: 0,
            table: change.table,
            first_group: group,
            last_group: group,
            first_epoch: change.epoch,
            last_epoch: change.epoch,
        });
        block.rows += 1;
        block.last_group = group;
        block.first_epoch = block.first_epoch.min(change.epoch);
        block.last_epoch = block.last_epoch.max(change.epoch);
        put_row(&mut self.raw, self.base, change);
        self.totals.rows += 1;
        self.totals.removals += u64::from(change.value.is_none());
    }

    fn close_block(&mut self) {
        let Some(mut block) = self.block.take() else { return };
        let start = self.out.len();
        block.offset = self.taken + start as u64;
        self.out.resize(start + lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let stored = lz4_flex::block::compress_into(&self.raw, &mut self.out[start..])
            .expect("the buffer has the size that compression needs at most");
        self.out.truncate(start + stored);
        if stored >= self.raw.len() {
            self.out.truncate(start);
            self.out.extend_from_slice(&self.raw);
        }
        block.stored_bytes = (self.out.len() - start) as u32;
        block.raw_bytes = self.raw.len() as u32;
        block.crc = crc32fast::hash(&self.out[start..]);
        self.totals.raw_bytes += self.raw.len() as u64;
        self.raw.clear();
        self.index.push(block);
    }

    /// Bytes that [`PartEncoder::take`] would give.
    pub(crate) fn ready(&self) -> usize {
        self.out.len()
    }

    /// Hands out what is complete; the rest of the part follows it.
    pub(crate) fn take(&mut self) -> Bytes {
        self.taken += self.out.len() as u64;
        Bytes::from(std::mem::take(&mut self.out))
    }

    /// The rest: `bytes` is what was not taken.
    pub(crate) fn finish(mut self) -> BuiltPart {
        if self.out.is_empty() && self.taken == 0 {
            self.out.extend_from_slice(&frame::header());
        }
        self.close_block();
        let (tail, digest) = frame::tail(&self.index, self.totals, self.taken + self.out.len() as u64);
        self.out.extend_from_slice(&tail);
        let Totals { rows, removals, raw_bytes } = self.totals;
        BuiltPart { bytes: Bytes::from(self.out), rows, removals, raw_bytes, digest }
    }
}
