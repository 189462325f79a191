//! From changes to the bytes of a part.

use bytes::Bytes;

use super::block::{Change, put_row};
use super::frame::{self, BlockEntry, Totals};
use super::key_group;
use crate::Epoch;
use crate::manifest::NewPart;

/// Raw bytes at which a block ends.
const BLOCK_BYTES: usize = 128 << 10;

/// Collects changes in any order, and makes a part of them. Nothing is copied before the part is coded: to touch fresh memory
/// was measured to take as long as all the rest.
///
/// ```
/// let mut builder = flowstone_journal::PartBuilder::new();
/// builder.add(0, 7, 1, b"key", Some(b"value"));
/// let part = builder.finish();
/// assert_eq!(part.rows, 1);
/// ```
#[derive(Default)]
pub struct PartBuilder<'a> {
    changes: Vec<Change<'a>>,
}

impl<'a> PartBuilder<'a> {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one, with memory for so many changes.
    pub fn with_capacity(changes: usize) -> Self {
        PartBuilder { changes: Vec::with_capacity(changes) }
    }

    /// Adds a change; key and value must each be shorter than 1 GiB. A second change of the same key in the same epoch replaces
    /// the first.
    ///
    /// # Panics
    /// If key or value are 1 GiB or longer; limits on records keep that from happening.
    pub fn add(&mut self, table: u16, route: u64, epoch: Epoch, key: &'a [u8], value: Option<&'a [u8]>) {
        let is_short = |bytes: &[u8]| bytes.len() < 1 << 30;
        assert!(is_short(key) && value.is_none_or(is_short), "keys and values are shorter than 1 GiB");
        self.changes.push(Change { table, route, epoch, key, value });
    }

    /// Changes added.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The part.
    pub fn finish(self) -> BuiltPart {
        let mut encoder = PartEncoder::default();
        self.sorted().for_each(|change| encoder.push(&change));
        encoder.finish()
    }

    /// The changes, in the order of a part; the last one of a key in an epoch.
    pub(crate) fn sorted(mut self) -> impl Iterator<Item = Change<'a>> {
        // Stable: the last change of a key in an epoch comes last. Keys lie elsewhere, and of those with one route hardly ever two
        // differ: they are looked at once, when routes are in order.
        self.changes.sort_by_key(|change| (change.table, change.route, change.epoch));
        let same_route = |a: &Change<'_>, b: &Change<'_>| (a.table, a.route) == (b.table, b.route);
        for changes in self.changes.chunk_by_mut(same_route) {
            if !changes.is_sorted_by(|a, b| a.order() <= b.order()) {
                changes.sort_by(|a, b| a.order().cmp(&b.order()));
            }
        }
        let mut changes = self.changes.into_iter().peekable();
        std::iter::from_fn(move || {
            let mut change = changes.next()?;
            while let Some(next) = changes.next_if(|next| next.order() == change.order()) {
                change = next;
            }
            Some(change)
        })
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
    /// The raw bytes of a block, compressed.
    compressed: Vec<u8>,
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
        let most = lz4_flex::block::get_maximum_output_size(self.raw.len());
        if self.compressed.len() < most {
            self.compressed.resize(most, 0);
        }
        let stored = lz4_flex::block::compress_into(&self.raw, &mut self.compressed)
            .expect("the buffer has the size that compression needs at most");
        let is_smaller = stored < self.raw.len();
        self.out.extend_from_slice(if is_smaller { &self.compressed[..stored] } else { &self.raw });
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
        // The rest may be as long: not to grow to it step by step.
        let rest = Vec::with_capacity(self.out.len());
        Bytes::from(std::mem::replace(&mut self.out, rest))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With few routes, so that many keys have the same one.
        #[test]
        fn changes_are_in_the_order_of_a_part_and_the_last_of_a_key_in_an_epoch_stays(
            added in prop::collection::vec((0..2u16, 0..3u64, 0..4u64, 0..5u8, any::<u8>()), 0..60),
        ) {
            let bytes: Vec<_> = added.iter().map(|(.., key, value)| ([*key], [*value])).collect();
            let (mut builder, mut expected) = (PartBuilder::new(), BTreeMap::new());
            for ((table, route, epoch, ..), (key, value)) in added.iter().zip(&bytes) {
                builder.add(*table, *route, *epoch, key, Some(value));
                expected.insert((*table, *route, &key[..], *epoch), &value[..]);
            }
            let sorted: Vec<_> = builder.sorted().map(|change| (change.order(), change.value.unwrap())).collect();
            prop_assert_eq!(sorted, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
