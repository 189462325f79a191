//! The laws of `join`, against a recomputation of everything, at 1, 2 and 3 workers.

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use flowstone_operators::aggregate::AggregateOptions;
use flowstone_operators::join::{Unmatched, join};
use flowstone_operators::testing::{accumulate, changes, run};
use proptest::prelude::*;
use timely::dataflow::operators::vec::Filter;

/// `(key, value)` of the left side, if `is_left`; rows may be equal.
type Row = (bool, u32, i8);
type Update = (Row, u64, isize);
/// `(key, left, right)`
type Pair = (u32, i8, Option<i8>);

/// One record of a history: what an id stands for from now on. `None` deletes.
type Step = (u16, Option<Row>);

fn oracle(rows: &BTreeMap<u16, Row>, unmatched: Unmatched) -> BTreeMap<Pair, isize> {
    let mut pairs = BTreeMap::new();
    for (_, key, left) in rows.values().filter(|row| row.0) {
        let partners: Vec<i8> = rows.values().filter(|row| !row.0 && row.1 == *key).map(|row| row.2).collect();
        partners.iter().for_each(|right| *pairs.entry((*key, *left, Some(*right))).or_insert(0) += 1);
        if partners.is_empty() && unmatched == Unmatched::Keep {
            *pairs.entry((*key, *left, None)).or_insert(0) += 1;
        }
    }
    pairs
}

fn joined(
    workers: usize,
    updates: Vec<Vec<Update>>,
    unmatched: Unmatched,
    options: AggregateOptions,
) -> BTreeMap<u64, Vec<(Pair, u64, isize)>> {
    run(workers, updates, move |stream| {
        let side = |is_left: bool| {
            let rows = stream.clone().filter(move |(row, ..): &Update| row.0 == is_left);
            rows.as_collection().map(|(_, key, value)| (key, value))
        };
        let result = |key: &u32, left: &i8, right: Option<&i8>| (*key, *left, right.copied());
        join(side(true), side(false), unmatched, options.clone(), result).inner
    })
}

fn epochs() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let row = (any::<bool>(), 0..4u32, -2..3i8);
    let step = (0..24u16, prop_oneof![3 => row.prop_map(Some), 1 => Just(None)]);
    prop::collection::vec(prop::collection::vec(step, 0..16), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_what_the_oracle_gives(epochs in epochs(), keep in any::<bool>(), quiet in prop::option::of(0..3u64)) {
        let unmatched = if keep { Unmatched::Keep } else { Unmatched::Drop };
        let (updates, states) = changes(&epochs);
        let options = quiet.map_or_else(AggregateOptions::default, |quiet| AggregateOptions::default().with_quiet_through(quiet));
        for workers in 1..=3 {
            let out = joined(workers, updates.clone(), unmatched, options.clone());
            let known = |quiet: u64| oracle(&states[(quiet as usize).min(states.len() - 1)], unmatched);
            let mut sum = quiet.map_or_else(BTreeMap::new, known);
            for (epoch, rows) in (0..).zip(&states).filter(|(epoch, _)| quiet.is_none_or(|quiet| *epoch > quiet)) {
                let emitted = out.get(&epoch).cloned().unwrap_or_default();
                let net = accumulate(emitted.iter().cloned());
                let told: isize = emitted.iter().map(|(.., diff)| diff.abs()).sum();
                prop_assert_eq!(net.values().map(|diff| diff.abs()).sum::<isize>(), told, "an epoch says nothing that it takes back");
                for (row, diff) in net {
                    *sum.entry(row).or_insert(0) += diff;
                }
                sum.retain(|_, n| *n != 0);
                prop_assert_eq!(&sum, &oracle(rows, unmatched), "epoch {}, {} workers", epoch, workers);
            }
        }
    }

    #[test]
    fn insert_then_delete_leaves_nothing(steps in prop::collection::vec((0..24u16, (any::<bool>(), 0..4u32, -2..3i8).prop_map(Some)), 0..40)) {
        let gone = (0..24).map(|id| (id, None)).collect();
        let (updates, _) = changes(&[steps, gone]);
        let out = joined(2, updates.clone(), Unmatched::Keep, AggregateOptions::default());
        prop_assert!(accumulate(out.into_values().flatten()).is_empty());
        let at_once = vec![updates.into_iter().flatten().map(|(row, _, diff)| (row, 0, diff)).collect()];
        let out = joined(2, at_once, Unmatched::Keep, AggregateOptions::default());
        prop_assert!(out.into_values().flatten().next().is_none(), "changes that cancel out emit nothing");
    }
}
