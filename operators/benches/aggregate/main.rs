//! What it costs to keep counts up to date: `aggregate` beside differential's `count_total`, and three lengths of windows
//! beside one.
//!
//! ```text
//! cargo bench -p flowstone-operators --bench aggregate -- [--updates 10000000] [--keys 100000] [--batch 10000]
//!     [--rows-a-second 10000] [--workers 1] [--runs 3] [--only NAME] [--without NAME] [--json]
//! ```
//!
//! An update is a row of a random key; a tenth of them take back an earlier row. Each batch is an epoch, and is complete before
//! the next one is sent, so that the percentiles are latencies. All kernels begin with the keys in memory and end with a
//! checksum of the results that are there. `--only` and `--without` choose kernels by parts of their names.
//!
//! | question | what differs |
//! |---|---|
//! | count | nothing: uniform keys |
//! | one key with half of all rows | as its name says |
//! | events | nothing is taken back, and counts are a table: with its journal on disk, and without |
//! | windows | rows have a time, `--rows-a-second`, and are counted by key and minute, or by key, minute, hour and day |
//! | the same of a hundredth of the keys | an epoch has a hundred times as many rows of a group |

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)] // a program

#[path = "../common/mod.rs"]
mod common;
mod dataflows;
mod events;
mod input;
mod ratios;

use std::sync::Arc;

use common::{Args, Kernel, Run, Timed, named, report, take_turns, workers};
use input::{Input, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs kernels by turns and reports on them.
fn timed(args: &Args, title: &str, kernels: Vec<Kernel<'_, Run>>, same: &mut bool) -> Vec<Timed> {
    let timed: Vec<_> = take_turns(args, kernels).into_iter().map(|(name, runs)| Timed { name, runs }).collect();
    *same &= report(title, args, &timed, None);
    timed
}

fn counts(args: &Args, input: &Arc<Input>, title: &str, same: &mut bool) -> Vec<Timed> {
    let mut kernels = vec![Kernel::new("hash map", || dataflows::hash_map(input))];
    for workers in workers(args) {
        kernels.push(Kernel::new(named(ratios::AGGREGATE, workers), move || dataflows::aggregate(input, workers)));
        kernels.push(Kernel::new(named(ratios::COUNT_TOTAL, workers), move || dataflows::count_total(input, workers)));
    }
    timed(args, title, kernels, same)
}

fn events(args: &Args, settings: &Settings, title: &str, same: &mut bool) -> Vec<Timed> {
    let input = &Arc::new(Input::new(&Settings { is_corrected: false, ..*settings }, 0));
    let kernels = workers(args).into_iter().flat_map(|workers| {
        let counted = |is_journalled| move || events::counted(input, workers, is_journalled);
        [
            Kernel::new(named(ratios::ACCUMULATE, workers), counted(false)),
            Kernel::new(named(ratios::JOURNALLED, workers), counted(true)),
            Kernel::new(named(ratios::COUNT_TOTAL, workers), move || dataflows::count_total(input, workers)),
        ]
    });
    timed(args, title, kernels.collect(), same)
}

/// The kernels with as many lengths give the same, those with others do not.
fn windows(args: &Args, input: &Arc<Input>, title: &str, same: &mut bool) -> Vec<Timed> {
    let mut all = Vec::new();
    for (lengths, told) in [(&dataflows::LENGTHS[..1], "minutes"), (dataflows::LENGTHS, "minutes, hours and days")] {
        let kernels = workers(args).into_iter().flat_map(|workers| {
            let (ours, theirs) =
                (named(&format!("roll_up, {told}"), workers), named(&format!("count_total, {told}"), workers));
            [
                Kernel::new(ours, move || dataflows::windows(input, workers, lengths)),
                Kernel::new(theirs, move || dataflows::windows_of_count_total(input, workers, lengths)),
            ]
        });
        all.extend(timed(args, &format!("{title}, {told}"), kernels.collect(), same));
    }
    all
}

fn main() {
    let args = Args::parse().or("--runs", "3");
    let settings = Settings::of(&args);
    let Settings { updates, keys, batch, .. } = settings;
    let mut same = true;
    let title = format!("count: {updates} updates of {keys} keys in epochs of {batch}");
    let uniform = Arc::new(Input::new(&settings, 0));
    let counted = counts(&args, &uniform, &title, &mut same);
    let hot = Arc::new(Input::new(&settings, 50));
    let skewed = counts(&args, &hot, &format!("{title}, half of them of one"), &mut same);
    drop(hot);
    let tables = events(&args, &settings, &format!("events: {updates} of {keys} keys in epochs of {batch}"), &mut same);
    let windowed = windows(&args, &uniform, &format!("windows: {updates} updates of {keys} keys"), &mut same);
    drop(uniform);
    let few = Settings { keys: (keys / 100).max(1), ..settings };
    let title = format!("windows: {updates} updates of {} keys", few.keys);
    let few = windows(&args, &Arc::new(Input::new(&few, 0)), &title, &mut same);
    ratios::report(&args, (&counted, &skewed, &tables), (&windowed, &few));
    std::process::exit(i32::from(!same));
}
