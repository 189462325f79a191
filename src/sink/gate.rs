//! The gate in front of every sink: whole epochs, in order, one change a key.

use std::collections::{BTreeMap, VecDeque};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::{Change, Never};
use crate::record::{Row, RowDiff};

/// So many changes are released before other operators get their turn.
const FUEL: usize = 1 << 16;

/// Holds the changes of `rows` back until `release` has passed their epoch; then puts the epoch out, consolidated.
///
/// Only the frontier of `release` counts: "all input complete", or another sink's acknowledgements (`after:`). All changes
/// of a key must be on one worker, which tables and operators see to.
pub fn gate<'scope>(
    rows: StreamVec<'scope, u64, RowDiff>,
    release: StreamVec<'scope, u64, Never>,
    name: &str,
) -> StreamVec<'scope, u64, Change> {
    let scope = rows.scope();
    rows.binary_frontier::<_, CapacityContainerBuilder<Vec<Change>>, _, _, _, _>(
        release,
        Pipeline,
        Pipeline,
        &format!("Gate {name}"),
        |_, info| {
            let activator = scope.activator_for(info.address);
            let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<Vec<RowDiff>>)> = BTreeMap::new();
            let mut released: VecDeque<(Capability<u64>, Released)> = VecDeque::new();
            move |(rows, complete), (release, sealed), output| {
                rows.for_each_time(|time, data| {
                    for chunk in data.map(std::mem::take) {
                        for (epoch, chunk) in by_epoch(chunk) {
                            let retained = || (time.delayed(&epoch, output.output_index()), Vec::new());
                            waiting.entry(epoch).or_insert_with(retained).1.push(chunk);
                        }
                    }
                });
                release.for_each(|_, _| ());
                while let Some(entry) =
                    waiting.first_entry().filter(|e| !complete.less_equal(e.key()) && !sealed.less_equal(e.key()))
                {
                    let (capability, changes) = entry.remove();
                    released.push_back((capability, consolidate(changes)));
                }
                let mut fuel = FUEL;
                while let Some((capability, changes)) = released.front_mut() {
                    for mut chunk in changes {
                        fuel = fuel.saturating_sub(chunk.len());
                        output.session(&capability).give_container(&mut chunk);
                        if fuel == 0 {
                            activator.activate();
                            return;
                        }
                    }
                    released.pop_front();
                }
            }
        },
    )
}

/// Changes on their way out, buffer by buffer.
type Released = Box<dyn Iterator<Item = Vec<Change>>>;

/// A buffer, cut by epochs; nearly always it has only one and stays as it is.
fn by_epoch(chunk: Vec<RowDiff>) -> Vec<(u64, Vec<RowDiff>)> {
    let Some(first) = chunk.first().map(|(_, epoch, _)| *epoch) else { return Vec::new() };
    if chunk.iter().all(|(_, epoch, _)| *epoch == first) {
        return vec![(first, chunk)];
    }
    let mut parts: BTreeMap<u64, Vec<RowDiff>> = BTreeMap::new();
    chunk.into_iter().for_each(|change| parts.entry(change.1).or_default().push(change));
    parts.into_iter().collect()
}

/// The changes of an epoch, one a key and in the order of the keys.
///
/// A fill in order passes buffer by buffer, without being gathered: it may be as large as the sink's whole content.
fn consolidate(changes: Vec<Vec<RowDiff>>) -> Released {
    if is_fresh(&changes) {
        let upserts = |chunk: Vec<RowDiff>| chunk.into_iter().map(|(row, _, _)| Change::Upsert(row)).collect();
        return Box::new(changes.into_iter().map(upserts));
    }
    let changes = changes.into_iter().flatten().map(|(row, _, diff)| (row, diff)).collect();
    Box::new(std::iter::once(net(changes)))
}

/// Whether there is nothing but one new row a key, in order.
fn is_fresh(changes: &[Vec<RowDiff>]) -> bool {
    let mut last: Option<&Row> = None;
    changes.iter().flatten().all(|(row, _, diff)| {
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
        // Each of the tables that read a record may have refused it; the first of their reasons stands.
        let is_letter = matches!(row, Row::DeadLetter(_));
        match (diff, last) {
            (1.., Some(_)) if is_letter => (),
            (1.., None) if is_letter => out.push(Change::Upsert(row)),
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
    use crate::record::{DeadLetter, Key, Rejected};

    fn row(key: i64, text: &str) -> Row {
        Row::Rejected(Arc::new(Rejected { key: Key::One(key.into()), reason: text.to_owned() }))
    }

    #[test]
    fn one_change_a_key_is_left() {
        let changes = vec![
            (row(3, "new"), 1),
            (row(1, "old"), -1),
            (row(2, "a"), -1),
            (row(2, "b"), 1),
            (row(4, "same"), 1),
            (row(4, "same"), -1),
            (row(5, "z"), -1),
            (row(5, "a"), 1),
        ];
        let expected = vec![
            Change::Delete(row(1, "old")),
            Change::Upsert(row(2, "b")),
            Change::Upsert(row(3, "new")),
            Change::Upsert(row(5, "a")),
        ];
        assert_eq!(net(changes), expected);
    }

    #[test]
    fn a_record_that_several_tables_refuse_is_one_dead_letter() {
        let letter = |offset, reason: &str| {
            let (node, origin) = ("lines".into(), "a.ndjson".into());
            let reason = reason.to_owned();
            let letter = DeadLetter { node, origin, offset, reason, payload: Box::default(), payload_bytes: 0 };
            Row::DeadLetter(Arc::new(letter))
        };
        let changes = vec![(letter(9, "b"), 1), (letter(5, "junk"), 1), (letter(9, "a"), 1), (letter(5, "junk"), 1)];
        assert_eq!(net(changes), [Change::Upsert(letter(5, "junk")), Change::Upsert(letter(9, "a"))]);
    }

    #[test]
    fn a_fill_in_order_passes_as_it_is() {
        let chunks = || vec![vec![(row(1, "a"), 5, 1)], vec![(row(2, "b"), 5, 1), (row(3, "c"), 5, 1)]];
        let out: Vec<Vec<Change>> = consolidate(chunks()).collect();
        assert_eq!(out[0], [Change::Upsert(row(1, "a"))]);
        assert_eq!(out[1], [Change::Upsert(row(2, "b")), Change::Upsert(row(3, "c"))]);
        let out: Vec<Vec<Change>> = consolidate(chunks().into_iter().rev().collect()).collect();
        assert_eq!(out.len(), 1, "out of order it is gathered and sorted");
        assert_eq!(out[0].len(), 3);
    }

    #[test]
    fn a_buffer_is_cut_by_the_epochs_of_its_changes() {
        let chunk = vec![(row(1, "a"), 6, 1), (row(2, "b"), 5, 1), (row(3, "c"), 6, -1)];
        let parts = by_epoch(chunk);
        assert_eq!(parts.iter().map(|(epoch, part)| (*epoch, part.len())).collect::<Vec<_>>(), [(5, 1), (6, 2)]);
    }

    #[test]
    #[should_panic(expected = "two rows of one key")]
    fn two_rows_of_a_key_are_a_bug() {
        net(vec![(row(1, "a"), 1), (row(1, "b"), 1)]);
    }
}
