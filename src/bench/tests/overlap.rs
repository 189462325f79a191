//! `bench::overlap` against looking at every pair.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Set, assert_epochs, quiet, running, workload};
use crate::bench::history::History;
use crate::bench::overlap::{OverlapSettings, check, feed, floor, overlap};
use crate::bench::settings::{BenchError, Running, Workload};
use crate::bench::timing::passes;
use crate::pipeline::units::Span;

fn settings(workers: usize, touching: bool) -> OverlapSettings {
    // So coarse that many touch.
    let mean_length = Span::from_millis(2_000);
    let workload = Workload { modalities: 2, mean_length, ..workload() };
    OverlapSettings { workload, running: running(workers), touching }
}

fn pairs(set: &Set, touching: bool) -> BTreeMap<(u32, u64, u64), i64> {
    let mut pairs = BTreeMap::new();
    let longer = i64::from(touching);
    for (asset, a) in set.iter().filter(|(_, a)| a.kind == 0) {
        for (_, b) in set.iter().filter(|(other, b)| b.kind == 1 && other == asset) {
            let ((a_start, a_end), (b_start, b_end)) =
                ((a.interval.start_ns(), a.interval.end_ns()), (b.interval.start_ns(), b.interval.end_ns()));
            if a_start < b_end + longer && b_start < a_end + longer {
                pairs.insert((*asset, a.id, b.id), check(a.id, b.id));
            }
        }
    }
    pairs
}

#[test]
fn every_epoch_puts_out_what_a_brute_force_finds() {
    for (workers, touching) in [(1, false), (2, true), (3, false)] {
        let settings = settings(workers, touching);
        let history = Arc::new(History::new(&settings.workload));
        let passes = passes(&settings.running, &history.epochs, &quiet(), feed(&settings, &history)).unwrap();
        let results = |set: &Set| pairs(set, touching);
        assert_epochs(&history, &passes[0].samples, results, &format!("{workers} workers"));
        let swept = floor::sweep(&history.left, &settings).counts;
        let left = results(&history.left.iter().map(|(asset, a)| (*asset, (**a).clone())).collect());
        let sum = left.values().fold(0_i64, |sum, check| sum.wrapping_add(*check));
        assert_eq!((swept.written, swept.retracted, swept.check), (left.len() as u64, 0, sum));
    }
}

#[test]
fn the_scan_agrees_with_the_join() {
    for (bulk, batch, backfill) in [(0, None, true), (300, Some(100), false)] {
        let workload = Workload { bulk, batch, ..settings(1, false).workload };
        let running = Running { backfill, compare: true, ..running(2) };
        let report = overlap(&OverlapSettings { workload, running, touching: false }, &quiet()).unwrap();
        let floor = report.floor.unwrap();
        assert!(floor.results > 100, "not {}", floor.results);
        assert_eq!(report.results_left, floor.results);
        assert_eq!(floor.ratio.is_some(), batch.is_none(), "a ratio only if both do the same");
    }
}

#[test]
fn a_join_has_two_sides() {
    let mut settings = OverlapSettings::default();
    settings.check().unwrap();
    settings.workload.modalities = 3;
    assert!(matches!(settings.check(), Err(BenchError::Setting { setting: "modalities", .. })));
}
