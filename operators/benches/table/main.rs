//! What a table costs: `upsert` beside a bare hash map, and beside differential's own arrangement from upserts.
//!
//! ```text
//! cargo bench -p flowstone-operators --bench table -- [--keys 1000000] [--updates 100000] [--batch 1000] [--deletions 10]
//!     [--workers 1] [--runs 5] [--only NAME] [--without NAME] [--json]
//! ```
//!
//! First each key comes once, in one epoch; then come epochs of updates: deletions, keys that are there, and a third of new
//! ones. All kernels begin with the records in memory and end with a checksum of the rows that are there.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)] // a program

#[path = "../common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Instant;

use common::driver::{Found, Plan, drive};
use common::{Args, Kernel, Random, Run, Stopwatch, by_phase, mix, named, report, take_turns, workers};
use differential_dataflow::operators::arrange::upsert::arrange_from_upsert;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use flowstone_operators::route::Route;
use flowstone_operators::table::{TableInput, TableOptions, Versioned, upsert};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::ToStream;
use timely::dataflow::operators::vec::Map;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A record; none is newer than one of a later epoch, and an epoch has one of a key at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Record {
    key: u64,
    epoch: u64,
    value: Option<u64>,
}

impl Versioned for Record {
    fn route(&self) -> u64 {
        Route::route(&self.key)
    }
    fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
    fn is_after(&self, other: &Self) -> bool {
        self.epoch > other.epoch
    }
    fn is_deletion(&self) -> bool {
        self.value.is_none()
    }
    fn is_remembered(&self) -> bool {
        false
    }
    fn same_row(&self, other: &Self) -> bool {
        self.value == other.value
    }
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
}

fn checksum(key: u64, value: u64) -> u64 {
    mix(key ^ value.rotate_left(32))
}

/// Keys and values in the order in which they come, and up to which one each epoch goes.
struct Input {
    records: Vec<(u64, Option<u64>)>,
    phases: Vec<Vec<usize>>,
}

fn generate(args: &Args) -> Input {
    let (keys, updates) = (args.number("--keys", 1_000_000).max(1), args.number("--updates", 100_000));
    let (batch, deletions) = (args.number("--batch", 1_000).max(1), args.number("--deletions", 10));
    let mut random = Random::new(args.number("--seed", 3));
    let mut records: Vec<(u64, Option<u64>)> = (0..keys).map(|n| (mix(n), Some(random.next()))).collect();
    let (mut phases, mut known) = (vec![vec![records.len()]], keys);
    let mut epochs = Vec::new();
    for first in (0..updates).step_by(batch as usize) {
        let mut touched: HashMap<u64, Option<u64>> = HashMap::new();
        for _ in first..(first + batch).min(updates) {
            let is_new = random.below(3) == 0;
            let n = if is_new { known } else { random.below(known) };
            known += u64::from(is_new);
            touched.insert(mix(n), (random.below(100) >= deletions).then(|| random.next()));
        }
        let mut touched: Vec<_> = touched.into_iter().collect();
        touched.sort_unstable();
        random.shuffle(&mut touched);
        records.extend(touched);
        epochs.push(records.len());
    }
    if !epochs.is_empty() {
        phases.push(epochs);
    }
    Input { records, phases }
}

/// A hash map that is told everything, on this thread.
fn hash_map(input: &Input) -> Vec<Run> {
    let (mut map, mut sum, mut first) = (HashMap::new(), 0_u64, 0);
    let mut phase = |epochs: &Vec<usize>| {
        let clock = Stopwatch::start();
        let mut steps = Vec::new();
        for end in epochs {
            let started = Instant::now();
            for (key, value) in &input.records[first..*end] {
                let before = match value {
                    Some(value) => map.insert(*key, *value),
                    None => map.remove(key),
                };
                let of = |value: Option<u64>| value.map_or(0, |value| checksum(*key, value));
                sum = sum.wrapping_add(of(*value)).wrapping_sub(of(before));
            }
            first = *end;
            steps.push(started.elapsed());
        }
        clock.stop(steps, map.len() as i64, sum)
    };
    input.phases.iter().map(&mut phase).collect()
}

/// What makes a table.
#[derive(Clone, Copy)]
enum Table {
    Upsert,
    Arrange,
}

fn build<'scope>(live: StreamVec<'scope, u64, Record>, table: Table, found: &Found) -> StreamVec<'scope, u64, ()> {
    match table {
        Table::Upsert => {
            let sealed = None::<(u64, Record)>.to_stream(live.scope()).container::<Vec<_>>();
            let reveals = None::<()>.to_stream(live.scope()).container::<Vec<_>>();
            let input = TableInput { live, sealed, reveals, ticks: None };
            let (rows, _changes) = upsert(input, TableOptions::default());
            found.of(rows, |row| row.value.map_or(0, |value| checksum(row.key, value)))
        }
        Table::Arrange => {
            let upserts = live.map(|record| (record.key, record.value, record.epoch));
            let rows =
                arrange_from_upsert::<ValBuilder<_, _, _, _>, ValSpine<u64, u64, _, _>, u64, u64>(upserts, "Table");
            found.of(rows.as_collection(|key, value| (*key, *value)), |(key, value)| checksum(*key, *value))
        }
    }
}

fn main() {
    let args = Args::parse();
    let input = Arc::new(generate(&args));
    let mut kernels = vec![Kernel::new("hash map", || hash_map(&input))];
    for (name, table) in [("upsert", Table::Upsert), ("differential arrange_from_upsert", Table::Arrange)] {
        for workers in workers(&args) {
            let (plan, input) = (Plan { workers, ends: false }, &input);
            kernels.push(Kernel::new(named(name, workers), move || {
                let records = input.clone();
                let change = move |n: usize, epoch| {
                    let (key, value) = records.records[n];
                    Record { key, epoch, value }
                };
                drive(&input.phases, plan, move |live, found| build(live, table, found), change)
            }));
        }
    }
    let taken = take_turns(&args, kernels);
    let mut same = true;
    for (number, epochs) in input.phases.iter().enumerate() {
        let first = number.checked_sub(1).and_then(|before| input.phases[before].last().copied()).unwrap_or(0);
        let records = epochs.last().map_or(0, |end| end - first);
        let title = format!("table: {records} records in {} epochs", epochs.len());
        same &= report(&title, &args, &by_phase(&taken, number), None);
    }
    std::process::exit(i32::from(!same));
}
