//! What benchmarks run is what they name: at every epoch the counts are those of a brute force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::history::{Annotation, Change, History};
use super::report::quantile;
use super::settings::{BenchError, Running, Workload};
use super::timing::{Counts, Progress, Sample};
use crate::pipeline::units::Span;

mod aggregate;
mod fusion;
mod overlap;

/// A bulk, and then all that can happen, over few assets.
fn workload() -> Workload {
    Workload {
        annotations: 900,
        assets: 5,
        modalities: 3,
        mean_length: Span::from_millis(2_000),
        span: Span::from_millis(90_000),
        skew: 0.7,
        corrections: 0.3,
        deletions: 0.2,
        bulk: 300,
        batch: Some(50),
        ..Workload::default()
    }
}

fn running(workers: usize) -> Running {
    Running { workers, repetitions: 1, ..Running::default() }
}

fn quiet() -> Progress {
    Arc::new(|_| ())
}

type Set = BTreeSet<(u32, Annotation)>;

/// Holds what each epoch put out against what a brute force finds: `results` gives all results of a set, each with its
/// summand; what an epoch changes is the difference.
fn assert_epochs<R: Ord>(
    history: &History,
    samples: &[Sample],
    results: impl Fn(&Set) -> BTreeMap<R, i64>,
    case: &str,
) {
    assert_eq!(samples.len(), history.epochs.len(), "{case}");
    let (mut set, mut before) = (Set::new(), results(&Set::new()));
    for (number, (epoch, sample)) in history.epochs.iter().zip(samples).enumerate() {
        history.changes[epoch.changes.clone()].iter().for_each(|change| apply(&mut set, change));
        let after = results(&set);
        let mut expected = Counts::default();
        after.iter().filter(|(result, _)| !before.contains_key(result)).for_each(|(_, check)| expected.add(*check, 1));
        before.iter().filter(|(result, _)| !after.contains_key(result)).for_each(|(_, check)| expected.add(*check, -1));
        assert_eq!(sample.counts, expected, "{case}, epoch {number}");
        before = after;
    }
    assert!(!before.is_empty(), "{case}");
    let left: Set = history.left.iter().map(|(asset, annotation)| (*asset, (**annotation).clone())).collect();
    assert_eq!(left, set, "{case}: what is left is what all changes give");
}

fn apply(set: &mut Set, change: &Change) {
    let row = (change.asset, (*change.annotation).clone());
    assert!(if change.diff > 0 { set.insert(row) } else { set.remove(&row) }, "rows come and go once");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let changes = |workload: &Workload| {
        let changes = History::new(workload).changes.into_iter();
        changes.map(|change| (change.asset, (*change.annotation).clone(), change.diff)).collect::<Vec<_>>()
    };
    assert_eq!(changes(&workload()), changes(&workload()));
    assert_ne!(changes(&workload()), changes(&Workload { seed: 2, ..workload() }));
}

#[test]
fn knobs_turn_what_they_name() {
    let starts = |disorder| {
        let all_new = Workload { disorder, bulk: 900, batch: None, ..workload() };
        History::new(&all_new).left.iter().map(|(_, a)| a.interval.start_ns()).collect::<Vec<_>>()
    };
    assert!(starts(0.0).is_sorted());
    let late = |starts: &[i64]| starts.windows(2).map(|pair| (pair[0] - pair[1]).max(0)).max().unwrap();
    let (some, all) = (late(&starts(0.1)), late(&starts(1.0)));
    assert!((1..=9_000_000_000).contains(&some) && all > 45_000_000_000, "{some} and {all} ns late");

    let skewed = History::new(&Workload { skew: 2.0, ..workload() });
    let first = skewed.left.iter().filter(|(asset, _)| *asset == 0).count();
    assert!(first * 2 > skewed.left.len(), "1/n^2: the first of five has 68 %, not {first} of {}", skewed.left.len());

    let lines = |corrections, deletions| {
        let history = History::new(&Workload { corrections, deletions, bulk: 0, ..workload() });
        let removals = history.changes.iter().filter(|change| change.diff < 0).count();
        (history.changes.len(), removals, history.left.len())
    };
    assert_eq!(lines(0.0, 0.0), (900, 0, 900));
    let (changes, removals, left) = lines(0.5, 0.0);
    assert!((350..550).contains(&removals), "half of 900, not {removals}");
    assert_eq!((changes - 900, left), (removals, 900 - removals), "a correction is a removal and an addition");
    let (changes, removals, left) = lines(0.0, 0.4);
    assert!((270..450).contains(&removals), "40 % of 900, not {removals}");
    assert_eq!((changes, left), (900, 900 - 2 * removals));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let base = workload;
    let cases = [
        ("annotations", Workload { annotations: 0, ..base() }),
        ("assets", Workload { assets: 0, ..base() }),
        ("modalities", Workload { modalities: 0, ..base() }),
        ("bulk", Workload { bulk: 901, ..base() }),
        ("batch", Workload { batch: Some(0), ..base() }),
        ("disorder", Workload { disorder: f64::NAN, ..base() }),
        ("corrections", Workload { corrections: 1.1, ..base() }),
        ("deletions", Workload { deletions: 0.8, ..base() }),
        ("skew", Workload { skew: -1.0, ..base() }),
        ("mean-length", Workload { mean_length: Span::from_millis(90_001), ..base() }),
        ("span", Workload { span: Span::from_millis(366 * 86_400_000), ..base() }),
    ];
    let refused = |result: Result<(), BenchError>| match result {
        Err(BenchError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    for (expected, workload) in cases {
        assert_eq!(refused(workload.check()), expected);
    }
    assert_eq!(refused(running(257).check()), "workers");
    assert_eq!(refused(Running { repetitions: 0, ..running(1) }.check()), "repetitions");
    base().check().unwrap();
    Workload::default().check().unwrap();
    Running::default().check().unwrap();
}

#[test]
fn quantiles_are_values_that_occurred() {
    let of = |count: u64, percent| {
        let values: Vec<Duration> = (1..=count).map(Duration::from_millis).collect();
        quantile(&values, percent).as_millis()
    };
    assert_eq!((of(1, 50), of(1, 99), of(1, 100)), (1, 1, 1));
    assert_eq!((of(100, 50), of(100, 99), of(100, 100)), (50, 99, 100));
    assert_eq!((of(1000, 99), of(1001, 99)), (990, 991));
}
