//! The laws of `aggregate`, against a recomputation of everything, at 1, 2 and 3 workers.

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::AsCollection;
use flowstone_operators::aggregate::{AggregateOptions, Bag, Group, Session, Sum, aggregate, roll_up, sessions};
use flowstone_operators::testing::{accumulate, changes, run};
use proptest::prelude::*;
use timely::dataflow::StreamVec;

/// `(group, value)`; rows may be equal.
type Row = (u32, i8);
type Update = (Row, u64, isize);
/// `(group, rows, sum, least, greatest, distinct)`
type Result = (u32, i64, i128, i8, i8, usize);
type State = (Sum, Bag<i8>);

/// One record of a history: what an id stands for from now on. `None` deletes.
type Step = (u16, Option<Row>);

fn result(key: &u32, group: &Group<State>) -> Option<Result> {
    let (sum, bag) = &group.of;
    Some((*key, group.rows, sum.value()?, *bag.min()?, *bag.max()?, bag.distinct()))
}

fn oracle(rows: &BTreeMap<u16, Row>) -> BTreeMap<Result, isize> {
    let groups: BTreeSet<u32> = rows.values().map(|row| row.0).collect();
    let of = |group: u32| {
        let values: Vec<i8> = rows.values().filter(|row| row.0 == group).map(|row| row.1).collect();
        let (least, greatest) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let distinct = values.iter().collect::<BTreeSet<_>>().len();
        (group, values.len() as i64, values.iter().map(|v| i128::from(*v)).sum(), least, greatest, distinct)
    };
    groups.into_iter().map(|group| (of(group), 1)).collect()
}

fn aggregated(
    workers: usize,
    updates: Vec<Vec<Update>>,
    options: AggregateOptions,
) -> BTreeMap<u64, Vec<(Result, u64, isize)>> {
    run(workers, updates, move |stream| {
        let rows = stream.as_collection().map(|(group, value)| (group, (i128::from(value), value)));
        aggregate(rows, options.clone(), result).inner
    })
}

fn epochs() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let row = (0..5u32, -3..4i8);
    let step = (0..24u16, prop_oneof![4 => row.prop_map(Some), 1 => Just(None)]);
    prop::collection::vec(prop::collection::vec(step, 0..16), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_what_the_oracle_gives(epochs in epochs()) {
        let (updates, states) = changes(&epochs);
        for workers in 1..=3 {
            let out = aggregated(workers, updates.clone(), AggregateOptions::default());
            let mut sum = BTreeMap::new();
            for (epoch, rows) in (0..).zip(&states) {
                let emitted = out.get(&epoch).cloned().unwrap_or_default();
                let net = accumulate(emitted.iter().cloned());
                prop_assert_eq!(net.len(), emitted.len(), "an epoch says nothing that it takes back: {:?}", emitted);
                for (row, diff) in net {
                    *sum.entry(row).or_insert(0) += diff;
                }
                sum.retain(|_, n| *n != 0);
                prop_assert_eq!(&sum, &oracle(rows), "epoch {}, {} workers", epoch, workers);
            }
        }
    }

    #[test]
    fn insert_then_delete_leaves_nothing(steps in prop::collection::vec((0..24u16, (0..5u32, -3..4i8).prop_map(Some)), 0..40)) {
        let ids: BTreeSet<u16> = steps.iter().map(|s| s.0).collect();
        let (updates, _) = changes(&[steps, ids.into_iter().map(|id| (id, None)).collect()]);
        let out = aggregated(2, updates.clone(), AggregateOptions::default());
        prop_assert!(accumulate(out.into_values().flatten()).is_empty());
        let at_once = vec![updates.into_iter().flatten().map(|(row, _, diff)| (row, 0, diff)).collect()];
        let out = aggregated(2, at_once, AggregateOptions::default());
        prop_assert!(out.into_values().flatten().next().is_none(), "changes that cancel out emit nothing");
    }

    /// What a restart relies on: epochs that are only taken in leave what emitting them would.
    #[test]
    fn what_is_loaded_is_as_good_as_what_was_emitted(epochs in epochs(), quiet in 0..4u64) {
        let (updates, _) = changes(&epochs);
        for workers in 1..=3 {
            let mut all = aggregated(workers, updates.clone(), AggregateOptions::default());
            all.retain(|epoch, _| *epoch > quiet);
            let options = AggregateOptions::default().with_quiet_through(quiet);
            prop_assert_eq!(aggregated(workers, updates.clone(), options), all);
        }
    }
}

/// Of so many groups each: `(level, group)`, all on one worker of which the route is that of the last level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
struct Nested {
    level: u8,
    group: u32,
}

impl flowstone_operators::route::Route for Nested {
    fn route(&self) -> u64 {
        [self.group / 4, self.group / 2, self.group][usize::from(self.level)].route()
    }
}

fn above(key: &Nested, larger: &mut Vec<Nested>) {
    larger.extend((key.level < 2).then_some(Nested { level: key.level + 1, group: key.group / 2 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    /// Larger groups made of smaller ones are those that all rows would have made.
    #[test]
    fn rolling_up_is_giving_each_row_to_all_levels(epochs in epochs(), quiet in prop::option::of(0..3u64)) {
        let (updates, _) = changes(&epochs);
        let options = quiet.map_or_else(AggregateOptions::default, |quiet| AggregateOptions::default().with_quiet_through(quiet));
        for workers in 1..=3 {
            let result = |key: &Nested, group: &Group<State>| Some((*key, result(&key.group, group)?));
            let with = options.clone();
            let rolled = run(workers, updates.clone(), move |stream| {
                let rows = stream.as_collection();
                let rows = rows.map(|(group, v)| (Nested { level: 0, group }, (i128::from(v), v)));
                roll_up(rows, with.clone(), above, result).inner
            });
            let with = options.clone();
            let given = run(workers, updates.clone(), move |stream| {
                let levels = |(group, v): Row| (0..3u8).map(move |level| (Nested { level, group: group >> level }, (i128::from(v), v)));
                aggregate(stream.as_collection().flat_map(levels), with.clone(), result).inner
            });
            prop_assert_eq!(rolled, given, "{} workers", workers);
        }
    }
}

/// `(key, session, rows, sum)`
type OfSession = (u32, i64, i64, i64, i128);

/// Sorts the times of each key, and cuts them where the gap is.
fn session_oracle(rows: &BTreeMap<u16, Row>, gap: i64) -> BTreeMap<OfSession, isize> {
    let mut found: Vec<OfSession> = Vec::new();
    let mut sorted: Vec<(u32, i64)> = rows.iter().map(|(id, row)| (row.0, i64::from(*id))).collect();
    sorted.sort_unstable();
    for (key, time) in sorted {
        match found.last_mut().filter(|last| last.0 == key && time < last.2) {
            Some((_, _, end, rows, sum)) => (*end, *rows, *sum) = (time + gap, *rows + 1, *sum + i128::from(time)),
            None => found.push((key, time, time + gap, 1, time.into())),
        }
    }
    found.into_iter().map(|session| (session, 1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The id of a row is its time, so that times come and go.
    #[test]
    fn sessions_are_what_sorting_and_cutting_gives(epochs in epochs(), gap in 1..6i64, quiet in prop::option::of(0..3u64)) {
        let (_, states) = changes(&epochs);
        let set = |rows: &BTreeMap<u16, Row>| -> BTreeSet<(u32, i64)> { rows.iter().map(|(id, row)| (row.0, i64::from(*id))).collect() };
        let mut before = BTreeSet::new();
        let mut updates = Vec::new();
        for (epoch, state) in (0..).zip(&states) {
            let now = set(state);
            let gone = before.difference(&now).map(|row| (*row, epoch, -1));
            updates.push(gone.chain(now.difference(&before).map(|row| (*row, epoch, 1))).collect::<Vec<_>>());
            before = now;
        }
        let options = quiet.map_or_else(AggregateOptions::default, |quiet| AggregateOptions::default().with_quiet_through(quiet));
        for workers in 1..=3 {
            let with = options.clone();
            let out = run(workers, updates.clone(), move |stream: StreamVec<'_, u64, ((u32, i64), u64, isize)>| {
                let rows = stream.as_collection().map(|(key, time)| (key, (time, i128::from(time))));
                let result = |key: &u32, of: Session, group: &Group<Sum>| Some((*key, of.start, of.end, group.rows, group.of.value()?));
                sessions(rows, gap, with.clone(), result).inner
            });
            let mut sum = quiet.map_or_else(BTreeMap::new, |quiet| session_oracle(&states[(quiet as usize).min(states.len() - 1)], gap));
            for (epoch, rows) in (0..).zip(&states).filter(|(epoch, _)| quiet.is_none_or(|quiet| *epoch > quiet)) {
                let emitted = out.get(&epoch).cloned().unwrap_or_default();
                let net = accumulate(emitted.iter().cloned());
                prop_assert_eq!(net.len(), emitted.len(), "an epoch says nothing that it takes back: {:?}", emitted);
                for (row, diff) in net {
                    *sum.entry(row).or_insert(0) += diff;
                }
                sum.retain(|_, n| *n != 0);
                prop_assert_eq!(&sum, &session_oracle(rows, gap), "epoch {}, {} workers", epoch, workers);
            }
        }
    }
}

/// More groups than a worker holds back, most with one row, and one with half of all.
#[test]
fn a_group_with_half_of_all_rows_is_one_of_many() {
    let rows: Vec<Update> = (0..200_000).map(|n| ((if n % 2 == 0 { 7 } else { n }, 1), 0, 1)).collect();
    for workers in 1..=3 {
        let out = aggregated(workers, vec![rows.clone()], AggregateOptions::default());
        assert_eq!(out[&0].len(), 100_000);
        let of_7 = out[&0].iter().find(|(row, ..)| row.0 == 7).unwrap();
        assert_eq!(*of_7, ((7, 100_001, 100_001, 1, 1, 1), 0, 1));
    }
}
