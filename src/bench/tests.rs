//! What the benchmark runs is fusion: its counts are those of a brute force, at every epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::floor;
use super::fusion::{Counts, fusion, pass};
use super::history::{Annotation, Change, History};
use super::report::quantile;
use super::settings::{BenchError, Form, FusionSettings};
use crate::pipeline::units::Span;

fn small() -> FusionSettings {
    FusionSettings {
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
        repetitions: 2,
        ..FusionSettings::default()
    }
}

type Documents = BTreeMap<(u32, i64), Vec<Annotation>>;

/// The documents of a set of annotations, by looking at every bucket of each.
fn documents(set: &BTreeSet<(u32, Annotation)>, bucket_ns: i64, min_kinds: usize) -> Documents {
    let mut documents = Documents::new();
    for (asset, annotation) in set {
        let (start, end) = (annotation.interval.start_ns(), annotation.interval.end_ns());
        for bucket in start / bucket_ns..=(end - 1) / bucket_ns {
            documents.entry((*asset, bucket)).or_default().push(annotation.clone());
        }
    }
    documents.retain(|_, children| children.iter().map(|child| child.kind).collect::<BTreeSet<_>>().len() >= min_kinds);
    documents
}

/// What turns the one into the other.
fn difference(before: &Documents, after: &Documents) -> Counts {
    let missing = |of: &Documents, from: &Documents| {
        let gone = of.iter().filter(|(key, children)| from.get(key) != Some(children));
        gone.fold((0, 0), |(n, children), (_, list)| (n + 1, children + list.len() as i64))
    };
    let (written, came) = missing(after, before);
    let (retracted, went) = missing(before, after);
    Counts { written, retracted, children: came - went }
}

fn apply(set: &mut BTreeSet<(u32, Annotation)>, change: &Change) {
    let row = (change.asset, (*change.annotation).clone());
    assert!(if change.diff > 0 { set.insert(row) } else { set.remove(&row) }, "rows come and go once");
}

#[test]
fn every_epoch_puts_out_what_a_brute_force_finds() {
    for (workers, seed) in [(1, 1), (2, 2), (3, 3)] {
        let settings = FusionSettings { workers, seed, ..small() };
        let history = Arc::new(History::new(&settings));
        assert_eq!(history.epochs.len(), 1 + 600 / 50, "the bulk and twelve more");
        let samples = pass(&settings, &history, Arc::new(|_| ())).unwrap().samples;
        let mut set = BTreeSet::new();
        let mut before = Documents::new();
        for (number, (epoch, sample)) in history.epochs.iter().zip(&samples).enumerate() {
            history.changes[epoch.changes.clone()].iter().for_each(|change| apply(&mut set, change));
            let after = documents(&set, settings.bucket.nanos(), settings.min_modalities);
            assert_eq!(sample.counts, difference(&before, &after), "seed {seed}, {workers} workers, epoch {number}");
            before = after;
        }
        assert!(!before.is_empty());
        let left: BTreeSet<_> =
            history.left.iter().map(|(asset, annotation)| (*asset, (**annotation).clone())).collect();
        assert_eq!(left, set, "what is left is what all changes give");
        let swept = floor::sweep(&history.left, &settings);
        let children = before.values().map(|children| children.len() as u64).sum();
        assert_eq!((swept.documents, swept.children), (before.len() as u64, children));
    }
}

#[test]
fn the_floor_agrees_in_every_form() {
    let quiet: super::fusion::Progress = Arc::new(|_| ());
    for emit in [Form::Buckets, Form::Runs, Form::Segments] {
        for (bulk, batch, backfill) in [(0, None, false), (0, None, true), (300, Some(200), true), (900, None, false)] {
            let settings = FusionSettings { emit, bulk, batch, backfill, ..small() };
            let report = fusion(&settings, true, &quiet).unwrap();
            let floor = report.floor.unwrap();
            assert_eq!(report.documents_left, floor.documents, "{emit:?}, {bulk}, {batch:?}");
            let one_epoch = bulk == 900 || batch.is_none();
            assert_eq!(floor.ratio.is_some(), one_epoch, "a ratio only if both do the same");
        }
    }
}

#[test]
fn a_report_adds_up() {
    let settings = small();
    let lines = Arc::new(AtomicU64::new(0));
    let seen = lines.clone();
    let report = fusion(&settings, false, &(Arc::new(move |n| seen.store(n, Relaxed)) as _)).unwrap();
    assert_eq!(lines.load(Relaxed), 2 * 900, "progress ends with all lines of both repetitions");
    assert_eq!(report.repetitions.len(), 2);
    let [bulk, epochs] = report.phases.as_slice() else { panic!("two phases, not {:?}", report.phases) };
    assert_eq!((bulk.name, bulk.epochs, bulk.annotations, bulk.retracted), ("bulk", 1, 300, 0));
    assert_eq!((epochs.name, epochs.epochs, epochs.annotations), ("epochs", 12, 600));
    assert_eq!(bulk.documents + epochs.documents - epochs.retracted, report.documents_left);
    assert!(epochs.p50_ms <= epochs.p99_ms && epochs.p99_ms <= epochs.max_ms && epochs.p50_ms > 0.0);
    assert_eq!(report.epochs_ms.len(), 12);
    let sum: f64 = report.epochs_ms.iter().sum();
    assert!((sum / 1e3 / epochs.seconds - 1.0).abs() < 1e-6);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let changes = |settings: &FusionSettings| {
        let changes = History::new(settings).changes.into_iter();
        changes.map(|change| (change.asset, (*change.annotation).clone(), change.diff)).collect::<Vec<_>>()
    };
    let settings = small();
    assert_eq!(changes(&settings), changes(&settings));
    assert_ne!(changes(&settings), changes(&FusionSettings { seed: 2, ..small() }));
}

#[test]
fn knobs_turn_what_they_name() {
    let starts = |disorder| {
        let settings = FusionSettings { disorder, bulk: 900, batch: None, ..small() };
        History::new(&settings).left.iter().map(|(_, a)| a.interval.start_ns()).collect::<Vec<_>>()
    };
    assert!(starts(0.0).is_sorted());
    let late = |starts: &[i64]| starts.windows(2).map(|pair| (pair[0] - pair[1]).max(0)).max().unwrap();
    let (some, all) = (late(&starts(0.1)), late(&starts(1.0)));
    assert!((1..=9_000_000_000).contains(&some) && all > 45_000_000_000, "{some} and {all} ns late");

    let skewed = History::new(&FusionSettings { skew: 2.0, ..small() });
    let first = skewed.left.iter().filter(|(asset, _)| *asset == 0).count();
    assert!(first * 2 > skewed.left.len(), "1/n^2: the first of five has 68 %, not {first} of {}", skewed.left.len());

    let lines = |corrections, deletions| {
        let history = History::new(&FusionSettings { corrections, deletions, bulk: 0, ..small() });
        let removals = history.changes.iter().filter(|change| change.diff < 0).count();
        (history.changes.len(), removals, history.left.len())
    };
    assert_eq!(lines(0.0, 0.0), (900, 0, 900));
    let (changes, removals, left) = lines(0.5, 0.0);
    assert_eq!((changes - 900, left), (removals, 900 - removals), "a correction is a removal and an addition");
    let (changes, removals, left) = lines(0.0, 0.4);
    assert_eq!((changes, left), (900, 900 - 2 * removals));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let cases = [
        ("annotations", FusionSettings { annotations: 0, ..small() }),
        ("assets", FusionSettings { assets: 0, ..small() }),
        ("modalities", FusionSettings { modalities: 0, ..small() }),
        ("min-modalities", FusionSettings { min_modalities: 4, ..small() }),
        ("workers", FusionSettings { workers: 257, ..small() }),
        ("repetitions", FusionSettings { repetitions: 0, ..small() }),
        ("bulk", FusionSettings { bulk: 901, ..small() }),
        ("batch", FusionSettings { batch: Some(0), ..small() }),
        ("disorder", FusionSettings { disorder: f64::NAN, ..small() }),
        ("corrections", FusionSettings { corrections: 1.1, ..small() }),
        ("deletions", FusionSettings { deletions: 0.8, ..small() }),
        ("skew", FusionSettings { skew: -1.0, ..small() }),
        ("mean-length", FusionSettings { mean_length: Span::from_millis(90_001), ..small() }),
        ("span", FusionSettings { span: Span::from_millis(366 * 86_400_000), ..small() }),
    ];
    for (expected, settings) in cases {
        match settings.check() {
            Err(BenchError::Setting { setting, .. }) => assert_eq!(setting, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    small().check().unwrap();
    FusionSettings::default().check().unwrap();
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
