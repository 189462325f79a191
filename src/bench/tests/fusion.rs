//! `bench::fusion` against looking at every bucket of every annotation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Set, assert_epochs, quiet, running, workload};
use crate::bench::fusion::{Form, FusionSettings, feed, floor, fusion};
use crate::bench::history::{Annotation, History};
use crate::bench::settings::{BenchError, Running, Workload};
use crate::bench::timing::passes;

fn settings(workers: usize) -> FusionSettings {
    FusionSettings { workload: workload(), running: running(workers), ..FusionSettings::default() }
}

/// The documents of a set: asset, bucket, children; with the number of children.
fn documents(set: &Set) -> BTreeMap<(u32, i64, Vec<Annotation>), i64> {
    let mut buckets: BTreeMap<(u32, i64), Vec<Annotation>> = BTreeMap::new();
    for (asset, annotation) in set {
        let (start, end) = (annotation.interval.start_ns(), annotation.interval.end_ns());
        for bucket in start / 1_000_000_000..=(end - 1) / 1_000_000_000 {
            buckets.entry((*asset, bucket)).or_default().push(annotation.clone());
        }
    }
    let several = |children: &[Annotation]| children.iter().map(|child| child.kind).collect::<BTreeSet<_>>().len() > 1;
    let documents = buckets.into_iter().filter(|(_, children)| several(children));
    documents.map(|((asset, bucket), children)| (children.len() as i64, (asset, bucket, children))).map(swap).collect()
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

#[test]
fn every_epoch_puts_out_what_a_brute_force_finds() {
    for (workers, seed) in [(1, 1), (2, 2), (3, 3)] {
        let settings = FusionSettings { workload: Workload { seed, ..workload() }, ..settings(workers) };
        let history = Arc::new(History::new(&settings.workload));
        assert_eq!(history.epochs.len(), 1 + 600 / 50, "the bulk and twelve more");
        let passes = passes(&settings.running, &history.epochs, &quiet(), feed(&settings, &history)).unwrap();
        assert_epochs(&history, &passes[0].samples, documents, &format!("seed {seed}, {workers} workers"));
        let swept = floor::sweep(&history.left, &settings).counts;
        let left = documents(&history.left.iter().map(|(asset, a)| (*asset, (**a).clone())).collect());
        assert_eq!((swept.written, swept.retracted, swept.check), (left.len() as u64, 0, left.values().sum()));
    }
}

#[test]
fn the_sweep_agrees_in_every_form() {
    for emit in [Form::Buckets, Form::Runs, Form::Segments] {
        for (bulk, batch, backfill) in [(0, None, false), (0, None, true), (300, Some(200), true), (900, None, false)] {
            let workload = Workload { bulk, batch, ..workload() };
            let running = Running { backfill, compare: true, ..running(2) };
            let report = fusion(&FusionSettings { emit, workload, running, ..settings(2) }, &quiet()).unwrap();
            let floor = report.floor.unwrap();
            assert_eq!(report.results_left, floor.results, "{emit:?}, {bulk}, {batch:?}");
            assert_eq!(floor.ratio.is_some(), batch.is_none(), "a ratio only if both do the same");
        }
    }
}

#[test]
fn a_report_adds_up() {
    let settings = FusionSettings { running: Running { repetitions: 2, ..running(1) }, ..settings(1) };
    let lines = Arc::new(AtomicU64::new(0));
    let seen = lines.clone();
    let report = fusion(&settings, &(Arc::new(move |n| seen.store(n, Relaxed)) as _)).unwrap();
    assert_eq!(lines.load(Relaxed), 2 * 900, "progress ends with all lines of both repetitions");
    assert_eq!(report.repetitions.len(), 2);
    let [bulk, epochs] = report.phases.as_slice() else { panic!("two phases, not {:?}", report.phases) };
    assert_eq!((bulk.name, bulk.epochs, bulk.annotations, bulk.retracted), ("bulk", 1, 300, 0));
    assert_eq!((epochs.name, epochs.epochs, epochs.annotations), ("epochs", 12, 600));
    assert_eq!(bulk.written + epochs.written - epochs.retracted, report.results_left);
    assert!(epochs.p50_ms <= epochs.p99_ms && epochs.p99_ms <= epochs.max_ms && epochs.p50_ms > 0.0);
    assert_eq!(report.epochs_ms.len(), 12);
    let sum: f64 = report.epochs_ms.iter().sum();
    assert!((sum / 1e3 / epochs.seconds - 1.0).abs() < 1e-6);
}

#[test]
fn more_types_than_there_are_make_no_sense() {
    let refused = FusionSettings { min_modalities: 4, ..settings(1) }.check();
    assert!(matches!(refused, Err(BenchError::Setting { setting: "min-modalities", .. })), "{refused:?}");
    FusionSettings::default().check().unwrap();
}
