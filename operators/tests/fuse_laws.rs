//! The laws of `fuse`, against a brute-force oracle, at 1, 2 and 3 workers.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::AsCollection;
use flowstone_operators::fuse::{Emit, FuseOptions, Moment, fuse};
use flowstone_operators::interval::{Boundary, Grid, Interval};
use flowstone_operators::testing::{accumulate, run};
use proptest::prelude::*;

/// `(kind, range, id, payload)`
type Annotation = (u8, Interval, u16, u8);
type Update = ((u32, Annotation), u64, isize);
type Live = BTreeSet<(u32, Annotation)>;
type Document = Moment<u32, Annotation>;

/// One record of a history: what an annotation id stands for from now on. `None` deletes.
type Step = (u16, Option<(u32, u8, Interval, u8)>);

const LAST: i64 = 60;

/// The documents that a set of annotations gives: look at every cell, then join equal neighbours.
fn oracle(live: &Live, emit: Emit, min_kinds: usize, require: &[u8]) -> BTreeMap<Document, isize> {
    let width = match emit {
        Emit::Buckets(grid) | Emit::Runs(grid) => grid.width_ns(),
        Emit::Segments => 1,
    };
    let mut documents: Vec<Document> = Vec::new();
    for key in live.iter().map(|a| a.0).collect::<BTreeSet<_>>() {
        for cell in 0..=LAST / width {
            let interval = Interval::new(cell * width, (cell + 1) * width);
            let mut children: Vec<Annotation> =
                live.iter().filter(|a| a.0 == key && a.1.1.intersection(&interval).is_some()).map(|a| a.1).collect();
            children.sort();
            let kinds: BTreeSet<u8> = children.iter().map(|c| c.0).collect();
            if kinds.len() < min_kinds.max(1) || !require.iter().all(|k| kinds.contains(k)) {
                continue;
            }
            match documents.last_mut() {
                Some(last)
                    if !matches!(emit, Emit::Buckets(_))
                        && last.key == key
                        && last.interval.end_ns() == interval.start_ns()
                        && last.children.iter().eq(&children) =>
                {
                    last.interval = last.interval.hull(&interval);
                }
                _ => documents.push(Moment { key, interval, children: children.into() }),
            }
        }
    }
    documents.into_iter().map(|d| (d, 1)).collect()
}

/// The changes of the annotations, by epoch, and the live annotations after each.
fn changes(epochs: &[Vec<Step>]) -> (Vec<Vec<Update>>, Vec<Live>) {
    let mut rows: BTreeMap<u16, (u32, Annotation)> = BTreeMap::new();
    let (mut updates, mut states) = (Vec::new(), Vec::new());
    for (epoch, steps) in (0..).zip(epochs) {
        let mut changes = Vec::new();
        for (id, row) in steps {
            let new = row.map(|(key, kind, range, payload)| (key, (kind, range, *id, payload)));
            let old = match new {
                Some(new) => rows.insert(*id, new),
                None => rows.remove(id),
            };
            changes.extend(old.map(|old| (old, epoch, -1)));
            changes.extend(new.map(|new| (new, epoch, 1)));
        }
        updates.push(changes);
        states.push(rows.values().copied().collect());
    }
    (updates, states)
}

fn run_fuse(
    workers: usize,
    updates: Vec<Vec<Update>>,
    options: &FuseOptions<u8>,
) -> BTreeMap<u64, Vec<(Document, u64, isize)>> {
    let options = options.clone();
    run(workers, updates, move |stream| fuse(stream.as_collection(), options.clone(), interval, kind).0.inner)
}

fn interval(a: &Annotation) -> Interval {
    a.1
}

fn kind(a: &Annotation) -> &u8 {
    &a.0
}

fn range() -> impl Strategy<Value = Interval> {
    // Short ones, ties, zero lengths (one nanosecond), and some that span everything.
    prop_oneof![
        6 => (0..LAST - 12, 0..12i64).prop_map(|(s, l)| Interval::from_range(s, s + l, Boundary::Exclusive).expect("a valid range")),
        1 => (0..5i64).prop_map(|s| Interval::new(s, LAST)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..3u32, 0..4u8, range(), 0..2u8);
    (0..24u16, prop_oneof![5 => row.prop_map(Some), 1 => Just(None)])
}

fn epochs() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 0..16), 1..6)
}

fn emit() -> impl Strategy<Value = Emit> {
    let grid = || (1..9i64).prop_map(Grid::new);
    prop_oneof![grid().prop_map(Emit::Buckets), grid().prop_map(Emit::Runs), Just(Emit::Segments)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_what_the_oracle_gives(epochs in epochs(), emit in emit(), min_kinds in 1..4usize, require in prop::collection::vec(0..4u8, 0..2)) {
        let options = FuseOptions::new(emit).with_min_kinds(min_kinds).with_required(require.clone());
        let (updates, states) = changes(&epochs);
        for workers in 1..=3 {
            let out = run_fuse(workers, updates.clone(), &options);
            let mut sum = BTreeMap::new();
            for (epoch, live) in (0..).zip(&states) {
                let emitted = out.get(&epoch).cloned().unwrap_or_default();
                let net = accumulate(emitted.iter().cloned());
                prop_assert_eq!(net.len(), emitted.len(), "an epoch says nothing that it takes back: {:?}", emitted);
                for (document, diff) in net {
                    *sum.entry(document).or_insert(0) += diff;
                }
                sum.retain(|_, n| *n != 0);
                prop_assert_eq!(&sum, &oracle(live, emit, min_kinds, &require), "epoch {}, {} workers", epoch, workers);
            }
        }
    }

    #[test]
    fn insert_then_delete_leaves_nothing(steps in prop::collection::vec(step(), 0..40), emit in emit()) {
        let ids: BTreeSet<u16> = steps.iter().map(|s| s.0).collect();
        let (updates, _) = changes(&[steps, ids.into_iter().map(|id| (id, None)).collect()]);
        let options = FuseOptions::new(emit);
        let out = run_fuse(2, updates.clone(), &options);
        prop_assert!(accumulate(out.into_values().flatten()).is_empty());
        let at_once = run_fuse(2, vec![updates.into_iter().flatten().map(|(row, _, diff)| (row, 0, diff)).collect()], &options);
        prop_assert!(at_once.into_values().flatten().next().is_none(), "changes that cancel out emit nothing");
    }
}

#[test]
fn an_update_touches_only_its_own_documents() {
    let second = |n: i64| n * 1_000_000_000;
    let annotation =
        |id: u16, kind: u8, start: i64, end: i64| ((7, (kind, Interval::new(second(start), second(end)), id, 0)), 0, 1);
    // A long and a short one at many places, then one more of three seconds.
    let mut first: Vec<Update> = (0..100).map(|n| annotation(n, 1, i64::from(n) * 10, i64::from(n) * 10 + 5)).collect();
    first.push(annotation(1000, 0, 0, 3600));
    let (row, _, _) = annotation(1001, 2, 2001, 2004);
    for (emit, touched) in [(Emit::Buckets(Grid::new(second(1))), 3), (Emit::Runs(Grid::new(second(1))), 1)] {
        let out = run_fuse(1, vec![first.clone(), vec![(row, 1, 1)]], &FuseOptions::new(emit));
        assert_eq!(out[&1].len(), touched, "{emit:?}");
    }
}

#[test]
fn too_many_children_are_rejected_and_come_back() {
    let all: Vec<Update> = (0..5).map(|id| ((1, ((id % 2) as u8, Interval::new(0, 10), id, 0)), 0, 1)).collect();
    let options = FuseOptions::new(Emit::Buckets(Grid::new(10))).with_max_children(4);
    let updates = vec![all, vec![((1, (0, Interval::new(0, 10), 4, 0)), 1, -1)]];
    let (with, other) = (options.clone(), updates.clone());
    let moments = run(2, updates, move |s| fuse(s.as_collection(), options.clone(), interval, kind).0.inner);
    let rejected = run(2, other, move |s| fuse(s.as_collection(), with.clone(), interval, kind).1.inner);
    assert!(!moments.contains_key(&0));
    assert_eq!(moments[&1].len(), 1);
    assert_eq!(moments[&1][0].0.children.len(), 4);
    let diffs = |t: u64| rejected[&t].iter().map(|(r, _, diff)| (r.children, *diff)).collect::<Vec<_>>();
    assert_eq!((diffs(0), diffs(1)), (vec![(5, 1)], vec![(5, -1)]));
}
