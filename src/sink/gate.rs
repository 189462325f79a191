//! The gate in front of every sink: whole epochs, in order, one change a key.

use std::collections::{BTreeMap, VecDeque};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::Change;
use crate::record::Row;
use crate::runtime::Never;

/// A change of a collection of rows.
pub type RowDiff = (Row, u64, isize);

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
            let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<(Row, isize)>)> = BTreeMap::new();
            let mut released: VecDeque<(Capability<u64>, std::vec::IntoIter<Change>)> = VecDeque::new();
            move |(rows, complete), (release, sealed), output| {
                rows.for_each_time(|time, data| {
                    for (row, epoch, diff) in data.flat_map(|d| d.drain(..)) {
                        let retained = || (time.delayed(&epoch, output.output_index()), Vec::new());
                        waiting.entry(epoch).or_insert_with(retained).1.push((row, diff));
                    }
                });
                release.for_each(|_, _| ());
                while let Some(entry) =
                    waiting.first_entry().filter(|e| !complete.less_equal(e.key()) && !sealed.less_equal(e.key()))
                {
                    let (capability, changes) = entry.remove();
                    released.push_back((capability, consolidate(changes).into_iter()));
                }
                let mut fuel = FUEL;
                while let Some((capability, changes)) = released.front_mut() {
                    let before = changes.len();
                    output.session(&capability).give_iterator(changes.by_ref().take(fuel));
                    fuel -= before - changes.len();
                    if fuel == 0 {
                        activator.activate();
                        return;
                    }
                    released.pop_front();
                }
            }
        },
    )
}

/// What became of each key: its new row, or that it has none. Changes that cancel out are nothing.
///
/// # Panics
/// If a key has more than one row: a broken invariant of the operator that emitted them.
fn consolidate(mut changes: Vec<(Row, isize)>) -> Vec<Change> {
    let fresh = changes.iter().all(|(_, diff)| *diff == 1)
        && changes.array_windows().all(|[a, b]| a.0 < b.0 && !a.0.same_key(&b.0));
    if fresh {
        return changes.into_iter().map(|(row, _)| Change::Upsert(row)).collect();
    }
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
        assert_eq!(consolidate(changes), expected);
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
        assert_eq!(consolidate(changes), [Change::Upsert(letter(5, "junk")), Change::Upsert(letter(9, "a"))]);
    }

    #[test]
    fn a_fill_in_order_passes_as_it_is() {
        let changes = vec![(row(1, "a"), 1), (row(2, "b"), 1)];
        assert_eq!(consolidate(changes), [Change::Upsert(row(1, "a")), Change::Upsert(row(2, "b"))]);
    }

    #[test]
    #[should_panic(expected = "two rows of one key")]
    fn two_rows_of_a_key_are_a_bug() {
        consolidate(vec![(row(1, "a"), 1), (row(1, "b"), 1)]);
    }
}
