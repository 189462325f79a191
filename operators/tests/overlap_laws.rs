//! The laws of the overlap joins, against a brute-force oracle, at 1, 2 and 3 workers.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use flowstone_operators::interval::{Boundary, Interval};
use flowstone_operators::overlap::{OverlapOptions, overlap_join, overlap_join_anti, overlap_join_left};
use flowstone_operators::testing::{accumulate, run};
use proptest::prelude::*;
use timely::dataflow::operators::vec::Map;

/// `(range, colour)`
type Row = (Interval, u8);
/// `(is it on the right, key, row)`
type Tagged = (bool, u32, Row);
type Update = (Tagged, u64, isize);
/// `(key, left, right)`
type Found = (u32, Row, Option<Row>);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Inner,
    Left,
    Anti,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    kind: Kind,
    touching: bool,
    predicate: bool,
}

const LAST: i64 = 60;

fn alike(a: &Row, b: &Row) -> bool {
    a.1 % 3 == b.1 % 3
}

/// What the join must hold: look at every pair.
fn oracle(rows: &BTreeMap<Tagged, isize>, asked: Asked) -> BTreeMap<Found, isize> {
    let mut found = BTreeMap::new();
    for ((_, key, a), count) in rows.iter().filter(|((right, _, _), _)| !right) {
        let matches = rows.iter().filter(|((right, k, b), _)| {
            let gap = a.0.start_ns().max(b.0.start_ns()) - a.0.end_ns().min(b.0.end_ns());
            *right && k == key && (gap < 0 || asked.touching && gap == 0) && (!asked.predicate || alike(a, b))
        });
        let mut alone = true;
        for ((_, _, b), times) in matches {
            alone = false;
            if !matches!(asked.kind, Kind::Anti) {
                found.insert((*key, *a, Some(*b)), count * times);
            }
        }
        if alone && !matches!(asked.kind, Kind::Inner) {
            found.insert((*key, *a, None), *count);
        }
    }
    found
}

fn join(workers: usize, epochs: Vec<Vec<Update>>, asked: Asked) -> BTreeMap<u64, Vec<(Found, u64, isize)>> {
    run(workers, epochs, move |changes| {
        let side = |right: bool| {
            let of_side = changes
                .clone()
                .flat_map(move |((is, key, row), epoch, diff)| (is == right).then_some(((key, row), epoch, diff)));
            of_side.as_collection()
        };
        let mut options = OverlapOptions::new(|a: &Row| a.0, |b: &Row| b.0);
        if asked.touching {
            options = options.with_touching();
        }
        if asked.predicate {
            options = options.with_predicate(alike);
        }
        let (left, right) = (side(false), side(true));
        match asked.kind {
            Kind::Inner => overlap_join(left, right, options, |key, a, b| (*key, *a, Some(*b))).inner,
            Kind::Left => overlap_join_left(left, right, options, |key, a, b| (*key, *a, b.copied())).inner,
            Kind::Anti => overlap_join_anti(left, right, options).map(|(key, a)| (key, a, None)).inner,
        }
    })
}

/// Checks each epoch of a history at 1, 2 and 3 workers.
fn check(epochs: &[Vec<(Tagged, isize)>], asked: Asked) -> Result<(), TestCaseError> {
    let updates: Vec<Vec<Update>> = (0..)
        .zip(epochs)
        .map(|(epoch, changes)| changes.iter().map(|(row, diff)| (*row, epoch, *diff)).collect())
        .collect();
    for workers in 1..=3 {
        let out = join(workers, updates.clone(), asked);
        let (mut rows, mut sum) = (BTreeMap::new(), BTreeMap::new());
        for (epoch, changes) in (0..).zip(epochs) {
            add(&mut rows, changes.iter().copied());
            let emitted = out.get(&epoch).cloned().unwrap_or_default();
            let net = accumulate(emitted.iter().cloned());
            prop_assert_eq!(net.len(), emitted.len(), "an epoch says nothing that it takes back: {:?}", emitted);
            add(&mut sum, net);
            prop_assert_eq!(&sum, &oracle(&rows, asked), "epoch {}, {} workers", epoch, workers);
        }
    }
    Ok(())
}

fn add<R: Ord>(rows: &mut BTreeMap<R, isize>, changes: impl IntoIterator<Item = (R, isize)>) {
    for (row, diff) in changes {
        *rows.entry(row).or_insert(0) += diff;
    }
    rows.retain(|_, count| *count != 0);
}

fn range() -> impl Strategy<Value = Interval> {
    // Short ones, ties, neighbours, zero lengths (one nanosecond), and some that span everything.
    prop_oneof![
        6 => (0..LAST - 12, 0..12i64).prop_map(|(s, l)| Interval::from_range(s, s + l, Boundary::Exclusive).expect("a valid range")),
        1 => (0..5i64).prop_map(|s| Interval::new(s, LAST)),
        1 => (0..3i64).prop_map(|s| Interval::new(i64::MAX - 1 - s, i64::MAX)),
    ]
}

/// Rows come and go any number of times, also more often than they were there; few, so that they meet.
fn change() -> impl Strategy<Value = (Tagged, isize)> {
    let row = (any::<bool>(), 0..2u32, (range(), 0..4u8));
    (row, prop_oneof![6 => Just(1), 2 => Just(-1), 1 => Just(2), 1 => Just(0)])
}

/// Epochs of a few changes after epochs of many; what came may go again, or be corrected to something else.
fn epochs() -> impl Strategy<Value = Vec<Vec<(Tagged, isize)>>> {
    let epoch = prop_oneof![
        prop::collection::vec((change(), any::<prop::sample::Index>(), 0..3u8), 0..6),
        prop::collection::vec((change(), any::<prop::sample::Index>(), 0..3u8), 0..60),
    ];
    prop::collection::vec(epoch, 1..6).prop_map(|epochs| {
        let mut so_far: Vec<(Tagged, isize)> = Vec::new();
        let mut history = Vec::new();
        for steps in epochs {
            let mut changes = Vec::new();
            for (fresh, which, what) in steps {
                if what > 0 && !so_far.is_empty() {
                    let (row, diff) = *which.get(&so_far);
                    changes.push((row, -diff));
                }
                if what < 2 {
                    changes.push(fresh);
                }
            }
            so_far.extend(changes.iter().copied());
            history.push(changes);
        }
        history
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let kind = prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Anti)];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, touching, predicate)| Asked { kind, touching, predicate })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_what_the_oracle_gives(epochs in epochs(), asked in asked()) {
        check(&epochs, asked)?;
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing(epochs in epochs(), asked in asked()) {
        let mut epochs = epochs;
        let back: Vec<(Tagged, isize)> = epochs.iter().flatten().map(|(row, diff)| (*row, -diff)).collect();
        epochs.push(back);
        check(&epochs, asked)?;
        let at_once: Vec<Update> = epochs.into_iter().flatten().map(|(row, diff)| (row, 0, diff)).collect();
        let out = join(2, vec![at_once], asked);
        prop_assert!(out.into_values().flatten().next().is_none(), "changes that cancel out emit nothing");
    }
}
