//! Ways to count.

use std::sync::Arc;
use std::time::Instant;

use differential_dataflow::AsCollection;
use differential_dataflow::operators::CountTotal;
use flowstone_operators::aggregate::{AggregateOptions, Group, aggregate as aggregated, roll_up};
use flowstone_operators::route::Route;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

use super::common::driver::{Found, Plan, drive};
use super::common::{Run, Stopwatch, mix};
use super::input::Input;

/// The lengths of windows, in seconds: each is made of the one before.
pub const LENGTHS: &[u32] = &[60, 3_600, 86_400];

/// A key and a window: its start and its length, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Window {
    key: u32,
    start_s: u32,
    length_s: u32,
}

impl Window {
    fn of(key: u32, at_s: u32, length_s: u32) -> Self {
        Window { key, start_s: at_s - at_s % length_s, length_s }
    }

    fn checksum(&self, rows: i64) -> u64 {
        mix(mix(u64::from(self.start_s) << 32 | u64::from(self.length_s)) ^ checksum(self.key, rows))
    }
}

impl Route for Window {
    fn route(&self) -> u64 {
        self.key.route()
    }
}

pub fn checksum(key: u32, rows: i64) -> u64 {
    mix(u64::from(key) ^ rows.cast_unsigned().rotate_left(32))
}

/// A hash map that is told everything, on this thread, and tells what changes with each update.
pub fn hash_map(input: &Input) -> Run {
    let (mut counts, mut sum, mut first) = (HashMap::<u32, i64>::new(), 0_u64, 0);
    let clock = Stopwatch::start();
    let mut steps = Vec::with_capacity(input.epochs.len());
    for end in &input.epochs {
        let started = Instant::now();
        for change in &input.changes[first..*end] {
            let count = counts.entry(change.key).or_default();
            let before = *count;
            *count += i64::from(change.diff);
            let of = |rows: i64| if rows == 0 { 0 } else { checksum(change.key, rows) };
            sum = sum.wrapping_add(of(*count)).wrapping_sub(of(before));
        }
        first = *end;
        steps.push(started.elapsed());
    }
    let rows = counts.values().filter(|rows| **rows != 0).count();
    clock.stop(steps, rows as i64, sum)
}

fn plan(workers: usize) -> Plan {
    Plan { workers, ends: false }
}

fn one(mut runs: Vec<Run>) -> Run {
    runs.pop().expect("there is one phase")
}

/// The operator.
pub fn aggregate(input: &Arc<Input>, workers: usize) -> Run {
    type Row = ((u32, ()), u64, isize);
    fn build<'scope>(rows: StreamVec<'scope, u64, Row>, found: &Found) -> StreamVec<'scope, u64, ()> {
        let count = |key: &u32, group: &Group<()>| Some((*key, group.rows));
        let counts = aggregated(rows.as_collection(), AggregateOptions::default(), count);
        found.of(counts, |(key, rows)| checksum(*key, *rows))
    }
    let changes = input.clone();
    let change = move |n: usize, epoch| {
        let change = changes.changes[n];
        ((change.key, ()), epoch, change.diff.into())
    };
    one(drive(std::slice::from_ref(&input.epochs), plan(workers), build, change))
}

/// differential's own.
pub fn count_total(input: &Arc<Input>, workers: usize) -> Run {
    type Row = (u32, u64, isize);
    fn build<'scope>(rows: StreamVec<'scope, u64, Row>, found: &Found) -> StreamVec<'scope, u64, ()> {
        found.of(rows.as_collection().count_total(), |(key, rows)| checksum(*key, *rows as i64))
    }
    let changes = input.clone();
    let change = move |n: usize, epoch| {
        let change = changes.changes[n];
        (change.key, epoch, change.diff.into())
    };
    one(drive(std::slice::from_ref(&input.epochs), plan(workers), build, change))
}

type Changes<'scope, D> = StreamVec<'scope, u64, (D, u64, isize)>;
type Lengths = &'static [u32];

/// The operator, by windows of these lengths.
pub fn windows(input: &Arc<Input>, workers: usize, lengths: Lengths) -> Run {
    fn build<'scope>(
        rows: Changes<'scope, (Window, ())>,
        lengths: Lengths,
        found: &Found,
    ) -> StreamVec<'scope, u64, ()> {
        let count = |window: &Window, group: &Group<()>| Some((*window, group.rows));
        let above = move |window: &Window, larger: &mut Vec<Window>| {
            let next = lengths.iter().find(|length_s| **length_s > window.length_s);
            larger.extend(next.map(|length_s| Window::of(window.key, window.start_s, *length_s)));
        };
        let counts = roll_up(rows.as_collection(), AggregateOptions::default(), above, count);
        found.of(counts, |(window, rows)| window.checksum(*rows))
    }
    let changes = input.clone();
    let change = move |n: usize, epoch| {
        let change = changes.changes[n];
        ((Window::of(change.key, change.at_s, lengths[0]), ()), epoch, change.diff.into())
    };
    one(drive(
        std::slice::from_ref(&input.epochs),
        plan(workers),
        move |rows, found| build(rows, lengths, found),
        change,
    ))
}

/// differential's own, of a copy of each row for each length.
pub fn windows_of_count_total(input: &Arc<Input>, workers: usize, lengths: Lengths) -> Run {
    fn build<'scope>(rows: Changes<'scope, (u32, u32)>, lengths: Lengths, found: &Found) -> StreamVec<'scope, u64, ()> {
        let copies = move |(key, at_s)| lengths.iter().map(move |length_s| Window::of(key, at_s, *length_s));
        let counts = rows.as_collection().flat_map(copies).count_total();
        found.of(counts, |(window, rows)| window.checksum(*rows as i64))
    }
    let changes = input.clone();
    let change = move |n: usize, epoch| {
        let change = changes.changes[n];
        ((change.key, change.at_s), epoch, change.diff.into())
    };
    one(drive(
        std::slice::from_ref(&input.epochs),
        plan(workers),
        move |rows, found| build(rows, lengths, found),
        change,
    ))
}
