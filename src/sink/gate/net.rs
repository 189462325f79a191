//! What the changes of an epoch come to: one change a key.

use std::iter::Peekable;

use super::super::gauge::Held;
use super::super::{Change, Replaced};
use crate::record::{Row, RowDiff};

/// So many changes are given at a time of those that had to be gathered.
const CHUNK: usize = 1 << 10;

/// A buffer of changes as it came, and its share of what waits.
pub(super) struct Buffer {
    pub(super) changes: Vec<RowDiff>,
    pub(super) held: Held,
}

/// Changes on their way out, buffer by buffer, each with what it is counted as until it is gone.
pub(super) type Released = Box<dyn Iterator<Item = (Vec<Change>, Held)>>;

/// The changes that count at one epoch, one a key and in the order of the keys. Of a fill only what is there in the end:
/// what it does not write the sweep deletes.
///
/// New rows in order pass buffer by buffer, without being gathered: a fill may be as large as the sink's whole content.
pub(super) fn consolidate(mut buffers: Vec<Buffer>, is_fill: bool, before: Before) -> Released {
    if is_fresh(&buffers) {
        return fresh(buffers);
    }
    let Some(Buffer { changes: last, mut held }) = buffers.pop() else { return Box::new(std::iter::empty()) };
    // Exactly: a vector that grows would have room for twice as many.
    let mut changes = Vec::with_capacity(last.len() + buffers.iter().map(|buffer| buffer.changes.len()).sum::<usize>());
    changes.extend(last.into_iter().map(|(row, _, diff)| (row, diff)));
    for buffer in buffers {
        changes.extend(buffer.changes.into_iter().map(|(row, _, diff)| (row, diff)));
        held.join(buffer.held);
    }
    let chunk_bytes = held.bytes().div_ceil(changes.len().div_ceil(CHUNK).max(1) as u64);
    let before = if is_fill { Before::Left } else { before };
    let mut changes = net(changes, before).filter(move |change| !is_fill || matches!(change, Change::Upsert(_)));
    Box::new(std::iter::from_fn(move || {
        let chunk: Vec<Change> = changes.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then(|| (chunk, held.split(chunk_bytes)))
    }))
}

/// Changes that are nothing but one new row a key.
///
/// # Panics
/// If a row goes: a broken invariant of the operator that emitted it.
pub(super) fn fresh(buffers: Vec<Buffer>) -> Released {
    let upsert = |(row, epoch, diff)| {
        assert!(diff == 1, "a row is taken back at {epoch}, where everything is new: {row:?}");
        Change::Upsert(row)
    };
    let upserts = move |buffer: Buffer| (buffer.changes.into_iter().map(upsert).collect(), buffer.held);
    Box::new(buffers.into_iter().map(upserts))
}

/// Whether there is nothing but one new row a key, in order.
fn is_fresh(buffers: &[Buffer]) -> bool {
    let mut last: Option<&Row> = None;
    buffers.iter().flat_map(|buffer| &buffer.changes).all(|(row, _, diff)| {
        let follows = last.is_none_or(|last| last < row && !last.same_key(row));
        last = Some(row);
        *diff == 1 && follows
    })
}

/// Whether a new row brings the one that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Left,
    Told,
}

impl Before {
    fn replace(self, before: Row, after: Row) -> Change {
        match self {
            Before::Left => Change::Upsert(after),
            Before::Told => Change::Replace(Box::new(Replaced { before, after })),
        }
    }
}

/// What became of each key: its new row, or that it has none. Changes that cancel out are nothing.
///
/// # Panics
/// If a key has more than one row: a broken invariant of the operator that emitted them.
fn net(mut changes: Vec<(Row, isize)>, before: Before) -> impl Iterator<Item = Change> {
    changes.sort_unstable();
    let mut rows = Rows(changes.into_iter().peekable());
    let mut next = rows.next();
    // Lazily, so that the changes are not there twice.
    std::iter::from_fn(move || {
        let mut change = next.take()?;
        next = rows.next();
        while let Some(other) = next.take_if(|next| next.row().same_key(change.row())) {
            change = match (change, other) {
                (Change::Delete(old), Change::Upsert(new)) | (Change::Upsert(new), Change::Delete(old)) => {
                    before.replace(old, new)
                }
                (_, Change::Upsert(row)) => panic!("two rows of one key: {row:?}"),
                (change, _) => change,
            };
            next = rows.next();
        }
        Some(change)
    })
}

/// Sorted changes, those of equal rows added up.
struct Rows<I: Iterator>(Peekable<I>);

impl<I: Iterator<Item = (Row, isize)>> Iterator for Rows<I> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let (row, mut count) = self.0.next()?;
            while let Some((_, diff)) = self.0.next_if(|(other, _)| *other == row) {
                count += diff;
            }
            match count {
                0 => (),
                1 => return Some(Change::Upsert(row)),
                -1 => return Some(Change::Delete(row)),
                _ => panic!("a row counts {count} times: {row:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::sink::gauge::Gauge;
    use crate::sink::testing::row;

    fn buffers(buffers: Vec<Vec<RowDiff>>) -> Vec<Buffer> {
        let gauge = Arc::new(Gauge::new(1));
        buffers.into_iter().map(|changes| Buffer { changes, held: gauge.hold(0) }).collect()
    }

    fn consolidated(changes: Vec<Vec<RowDiff>>, is_fill: bool) -> Vec<Vec<Change>> {
        consolidate(buffers(changes), is_fill, Before::Left).map(|(changes, _)| changes).collect()
    }

    #[test]
    fn one_change_a_key_is_left() {
        let changes = vec![
            (row("3", "new"), 1),
            (row("1", "old"), -1),
            (row("2", "a"), -1),
            (row("2", "b"), 1),
            (row("4", "same"), 1),
            (row("4", "same"), -1),
            (row("5", "z"), -1),
            (row("5", "a"), 1),
        ];
        let expected = vec![
            Change::Delete(row("1", "old")),
            Change::Upsert(row("2", "b")),
            Change::Upsert(row("3", "new")),
            Change::Upsert(row("5", "a")),
        ];
        assert_eq!(net(changes, Before::Left).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_row_that_replaces_another_brings_it_if_that_is_asked_for() {
        let replaced =
            |before, after| Change::Replace(Box::new(Replaced { before: row("2", before), after: row("2", after) }));
        for (old, new) in [("a", "b"), ("b", "a")] {
            let changes = || {
                let detour = [(row("2", "detour"), 5, 1), (row("2", "detour"), 5, -1)];
                let mut changes = vec![(row("3", "x"), 5, 1), (row("2", new), 5, 1), (row("1", "y"), 5, -1)];
                changes.extend(detour);
                vec![changes, vec![(row("2", old), 5, -1)]]
            };
            let told = consolidate(buffers(changes()), false, Before::Told).flat_map(|(changes, _)| changes);
            let expected = [Change::Delete(row("1", "y")), replaced(old, new), Change::Upsert(row("3", "x"))];
            assert_eq!(told.collect::<Vec<_>>(), expected);
            let fill: Vec<_> =
                consolidate(buffers(changes()), true, Before::Told).flat_map(|(changes, _)| changes).collect();
            assert_eq!(fill, [Change::Upsert(row("2", new)), Change::Upsert(row("3", "x"))], "it replaces nothing");
        }
    }

    #[test]
    fn new_rows_in_order_pass_as_they_are() {
        let chunks = || vec![vec![(row("1", "a"), 5, 1)], vec![(row("2", "b"), 5, 1), (row("3", "c"), 5, 1)]];
        let out = consolidated(chunks(), false);
        assert_eq!(out[0], [Change::Upsert(row("1", "a"))]);
        assert_eq!(out[1], [Change::Upsert(row("2", "b")), Change::Upsert(row("3", "c"))]);
        let out = consolidated(chunks().into_iter().rev().collect(), false);
        assert_eq!(out.len(), 1, "out of order it is gathered and sorted");
        assert_eq!(out[0].len(), 3);
    }

    #[test]
    fn a_fill_deletes_nothing() {
        let changes = || vec![vec![(row("1", "a"), 5, -1), (row("2", "b"), 4, -1), (row("2", "c"), 5, 1)]];
        assert_eq!(consolidated(changes(), true), [[Change::Upsert(row("2", "c"))]]);
        assert_eq!(consolidated(changes(), false)[0].len(), 2);
    }

    #[test]
    #[should_panic(expected = "two rows of one key")]
    fn two_rows_of_a_key_are_a_bug() {
        net(vec![(row("1", "a"), 1), (row("1", "b"), 1)], Before::Left).for_each(drop);
    }

    #[test]
    #[should_panic(expected = "a row counts 2 times")]
    fn a_row_that_is_there_twice_is_a_bug() {
        net(vec![(row("1", "a"), 1), (row("1", "a"), 1)], Before::Left).for_each(drop);
    }

    #[test]
    fn what_is_gathered_comes_in_chunks_that_each_give_their_share_back() {
        let gauge = Arc::new(Gauge::new(1));
        let backwards = (0..3_000).rev().map(|n| (row(&format!("{n:04}"), "1"), 5, 1)).collect();
        let cancelled = vec![(row("x", "1"), 5, 1), (row("x", "1"), 5, -1)];
        let buffers = vec![
            Buffer { changes: backwards, held: gauge.hold(3_000) },
            Buffer { changes: cancelled, held: gauge.hold(2) },
        ];
        let mut released = consolidate(buffers, false, Before::Left);
        let mut left = Vec::new();
        let mut keys = Vec::new();
        for (chunk, held) in released.by_ref() {
            keys.extend(chunk.into_iter().map(|change| change.row().clone()));
            drop(held);
            left.push(gauge.held_bytes());
        }
        assert!(keys.len() == 3_000 && keys.is_sorted());
        assert_eq!(left, [2_001, 1_000, 0]);
        drop(released);
        assert_eq!(gauge.held_bytes(), 0);
    }

    proptest! {
        /// Against adding up in a map, whatever the order and the buffers.
        #[test]
        fn the_net_change_is_that_of_a_map(
            before in proptest::collection::btree_map(0..8u8, 0..3u8, 0..8),
            after in proptest::collection::btree_map(0..8u8, 0..3u8, 0..8),
            detours in proptest::collection::vec((0..8u8, 0..3u8), 0..8),
            order in any::<u64>(),
            buffer_rows in 1..5usize,
            is_fill in any::<bool>(),
        ) {
            let made = |(key, text): (&u8, &u8)| row(&key.to_string(), &text.to_string());
            let mut changes: Vec<RowDiff> = before.iter().map(|entry| (made(entry), 5, -1)).collect();
            changes.extend(after.iter().map(|entry| (made(entry), 5, 1)));
            for (key, text) in &detours {
                changes.extend([1, -1].map(|diff| (made((key, text)), 5, diff)));
            }
            changes.sort_by_cached_key(|(row, _, diff)| RandomOrder(order).of(&(format!("{row:?}"), *diff)));
            let chunks = changes.chunks(buffer_rows).map(<[RowDiff]>::to_vec).collect();
            let keys = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
            let expected: Vec<Change> = keys.into_iter().filter_map(|key| match (before.get(key), after.get(key)) {
                (old, Some(new)) if old != Some(new) => Some(Change::Upsert(made((key, new)))),
                (Some(old), None) if !is_fill => Some(Change::Delete(made((key, old)))),
                _ => None,
            }).collect();
            prop_assert_eq!(consolidated(chunks, is_fill).concat(), expected);
        }
    }

    /// A shuffle that a seed decides.
    struct RandomOrder(u64);

    impl RandomOrder {
        fn of(&self, value: &(String, isize)) -> u64 {
            xxhash_rust::xxh3::xxh3_64_with_seed(format!("{value:?}").as_bytes(), self.0)
        }
    }
}
