//! Fusion of annotations into one document a second: `fuse` beside other ways to do it, on the same input, in one process.
//!
//! ```text
//! cargo bench -p flowstone-operators --bench fusion -- [--full] [--mean 3] [--workers 1] [--runs 5] [--once-over 20]
//!     [--only NAME] [--without NAME] [--json] [--annotations N] [--assets N] [--types N] [--span SECONDS] [--updates N]
//!     [--batch N] [--small-batch N] [--small-epochs N] [--corrections PERCENT] [--deletions PERCENT] [--chunk BUCKETS]
//! ```
//!
//! Without options it is a small input, at mean lengths of 3 s and 30 s, with 1 and with 2 workers: seconds. `--full` is a
//! million annotations and 100,000 updates: minutes, and 3 GB for the bucket reduce at 30 s. A kernel that takes more than
//! `--once-over` seconds is run once.
//!
//! All kernels begin with the rows in memory and end with a checksum of (asset, second, children) over all documents; all must
//! be the same, after each phase. The bulk is one epoch; then come epochs of updates, each complete before the next one is
//! sent. Times are the best of all runs, which take turns.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)] // a program

#[path = "../common/mod.rs"]
mod common;
mod dataflows;
mod input;
mod ratios;
mod reduces;
mod sweep;

use std::sync::Arc;

use common::driver::Plan;
use common::{Args, Kernel, Run, by_phase, mix, named, report, take_turns, workers};
use dataflows::Form;
use input::{Child, History, Settings};
use sweep::Order;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The checksum of one document. Each child counts with its place; cheap, as all kernels pay for it.
pub fn checksum(asset: u32, bucket: u32, children: impl Iterator<Item = Child>) -> u64 {
    let weigh = |sum: u64, (place, child): (u64, Child)| sum.wrapping_add(u64::from(child).wrapping_mul(2 * place + 1));
    let children = (1..).zip(children).fold(0, weigh);
    mix((u64::from(asset) << 32 | u64::from(bucket)) ^ children.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Runs all kernels on one input and reports on each phase. Returns whether all found the same.
fn one_mean(args: &Args, settings: &Settings, mean_s: u64, workers: &[usize]) -> bool {
    let history = Arc::new(History::new(settings, mean_s));
    let living = |phase: usize| &history.phases[phase].living;
    let sweep = |order| {
        let (history, living) = (&history, living(0));
        move || vec![Run::of(|| sweep::sort_and_sweep(history, living, order))]
    };
    let mut kernels = vec![
        Kernel::new(ratios::SWEEP, sweep(Order::Sorted)),
        Kernel::new("sort and sweep, order given", sweep(Order::Given)),
    ];
    let forms = [
        (ratios::FUSE, Form::Fuse, false),
        ("fuse, input ends", Form::Fuse, true),
        (ratios::CHUNKS, Form::Chunks(args.number("--chunk", 64).max(1) as u32), false),
        (ratios::BUCKETS, Form::Buckets, false),
    ];
    for (name, form, ends) in forms {
        for workers in workers.iter().copied() {
            let (plan, history) = (Plan { workers, ends }, &history);
            kernels.push(Kernel::new(named(name, workers), move || dataflows::run(history, form, plan)));
        }
    }
    let taken = take_turns(args, kernels);
    let Settings { annotations, assets, types, span_s, .. } = settings;
    let title =
        format!("fusion of {annotations} annotations of mean {mean_s} s, {assets} assets of {span_s} s, {types} types");
    let mut same = true;
    let mut phases = Vec::new();
    for (number, phase) in history.phases.iter().enumerate() {
        let timed = by_phase(&taken, number);
        let expected = sweep::sort_and_sweep(&history, &phase.living, Order::Given);
        same &= report(&format!("{title}; {}", phase.title), args, &timed, Some(expected));
        phases.push(timed);
    }
    ratios::report(args, mean_s, &phases);
    same
}

fn main() {
    let args = Args::parse();
    let settings = Settings::of(&args);
    let means = if args.flag("--mean") { vec![args.number("--mean", 3).max(1)] } else { vec![3, 30] };
    let workers = workers(&args);
    let same =
        means.into_iter().map(|mean_s| one_mean(&args, &settings, mean_s, &workers)).fold(true, |all, of| all & of);
    std::process::exit(i32::from(!same));
}
