//! `bench::aggregate` against adding everything up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Set, assert_epochs, quiet, running, workload};
use crate::bench::aggregate::{AggregateSettings, aggregate, check, feed};
use crate::bench::history::History;
use crate::bench::settings::{Running, Workload};
use crate::bench::timing::passes;

fn groups(set: &Set) -> BTreeMap<(u32, i64, i128), i64> {
    let mut groups: BTreeMap<u32, (i64, i128)> = BTreeMap::new();
    for (asset, annotation) in set {
        let (rows, total_ns) = groups.entry(*asset).or_default();
        *rows += 1;
        *total_ns += i128::from(annotation.interval.length_ns());
    }
    groups.into_iter().map(|(asset, (rows, total_ns))| (asset, rows, total_ns)).map(|row| (row, check(&row))).collect()
}

#[test]
fn every_epoch_puts_out_what_adding_up_finds() {
    for workers in 1..=3 {
        let workload = workload();
        let history = Arc::new(History::new(&workload));
        let passes = passes(&running(workers), &history.epochs, &quiet(), feed(&history)).unwrap();
        assert_epochs(&history, &passes[0].samples, groups, &format!("{workers} workers"));
    }
}

#[test]
fn the_sweep_agrees_with_the_dataflow() {
    for (bulk, batch, backfill) in [(0, None, true), (300, Some(100), false)] {
        let workload = Workload { bulk, batch, assets: 100, ..workload() };
        let running = Running { backfill, compare: true, ..running(2) };
        let report = aggregate(&AggregateSettings { workload, running }, &quiet()).unwrap();
        let floor = report.floor.unwrap();
        assert!(floor.results > 50, "not {}", floor.results);
        assert_eq!(report.results_left, floor.results);
    }
}
