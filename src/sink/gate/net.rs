//! What the changes of an epoch come to: one change a key.

use super::super::Change;
use super::super::gauge::Held;
use crate::record::{Row, RowDiff};

/// A buffer of changes as it came, and its share of what waits.
pub(super) struct Buffer {
    pub(super) changes: Vec<RowDiff>,
    pub(super) held: Held,
}

/// Changes on their way out, buffer by buffer, each with what it is counted as until it is gone.
pub(super) type Released = Box<dyn Iterator<Item = (Vec<Change>, Vec<Held>)>>;

/// The changes that count at one epoch, one a key and in the order of the keys. Of a fill only what is there in the end:
/// what it does not write the sweep deletes.
///
/// New rows in order pass buffer by buffer, without being gathered: a fill may be as large as the sink's whole content.
pub(super) fn consolidate(buffers: Vec<Buffer>, is_fill: bool) -> Released {
    if is_fresh(&buffers) {
        let upserts = |buffer: Buffer| {
            let changes = buffer.changes.into_iter().map(|(row, _, _)| Change::Upsert(row)).collect();
            (changes, vec![buffer.held])
        };
        return Box::new(buffers.into_iter().map(upserts));
    }
    let (mut changes, mut held) = (Vec::new(), Vec::new());
    for buffer in buffers {
        changes.extend(buffer.changes.into_iter().map(|(row, _, diff)| (row, diff)));
        held.push(buffer.held);
    }
    let mut changes = net(changes);
    if is_fill {
        changes.retain(|change| matches!(change, Change::Upsert(_)));
    }
    Box::new(std::iter::once((changes, held)))
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

/// What became of each key: its new row, or that it has none. Changes that cancel out are nothing.
///
/// # Panics
/// If a key has more than one row: a broken invariant of the operator that emitted them.
fn net(mut changes: Vec<(Row, isize)>) -> Vec<Change> {
    changes.sort_unstable();
    changes.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    let mut out: Vec<Change> = Vec::with_capacity(changes.len());
    for (row, diff) in changes {
        let last = out.last_mut().filter(|last| last.row().same_key(&row));
        match (diff, last) {
            (0, _) => (),
            (1, Some(Change::Upsert(_))) => panic!("two rows of one key: {row:?}"),
            (1, Some(last)) => *last = Change::Upsert(row),
            (1, None) => out.push(Change::Upsert(row)),
            (-1, Some(_)) => (),
            (-1, None) => out.push(Change::Delete(row)),
            _ => panic!("a row counts {diff} times: {row:?}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sink::gauge::Gauge;
    use crate::sink::testing::row;

    fn buffers(buffers: Vec<Vec<RowDiff>>) -> Vec<Buffer> {
        let gauge = Arc::new(Gauge::new(1));
        buffers.into_iter().map(|changes| Buffer { changes, held: gauge.hold(0) }).collect()
    }

    fn consolidated(changes: Vec<Vec<RowDiff>>, is_fill: bool) -> Vec<Vec<Change>> {
        consolidate(buffers(changes), is_fill).map(|(changes, _)| changes).collect()
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
        assert_eq!(net(changes), expected);
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
        net(vec![(row("1", "a"), 1), (row("1", "b"), 1)]);
    }
}
