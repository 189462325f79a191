//! Pairs of rows that overlap in time: `overlap_join` beside other ways to find them, on the same rows.
//!
//! ```text
//! cargo bench -p flowstone-operators --bench overlap -- [--runs 5] [--keys 1000] [--rows 1000] [--steps 100] [--only NAME] [--json]
//! ```
//!
//! The rows: of each key so many on each side, with uniform starts and exponential lengths, on average 0.5 % of the span; in
//! random order. "At once" is from the rows in memory to the checksum of all pairs, by one thread; "in steps" the same rows cut
//! into epochs, each complete before the next one is sent. Times are the best of all runs, which take turns.
//!
//! coitrees and superintervals use SIMD instructions with `RUSTFLAGS=-Ctarget-cpu=native` only.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)] // a program

#[path = "../common/mod.rs"]
mod common;
mod dataflows;
mod sweeps;

use common::{Args, Kernel, Random, Run, compare, mix};
use dataflows::Join;
use flowstone_operators::interval::Interval;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `(range, id)`
pub type Row = (Interval, u32);
/// `(key, row)`
pub type Keyed = (u32, Row);

const SPAN: u64 = 1_000_000_000;
/// 0.5 % of the span.
const MEAN: i64 = 5_000_000;

/// The checksum of one pair.
pub fn checksum(left: u32, right: u32) -> u64 {
    mix((u64::from(left) << 32) | u64::from(right))
}

/// What is joined.
pub struct Input {
    pub left: Vec<Keyed>,
    pub right: Vec<Keyed>,
}

fn generate(keys: u64, rows: u64, seed: u64) -> Input {
    let mut random = Random::new(seed);
    let mut side = || {
        let row = |(id, key): (u32, u64)| {
            let start = random.below(SPAN) as i64;
            (key as u32, (Interval::new(start, start + random.length(MEAN as f64)), id))
        };
        let mut side: Vec<Keyed> = (0..).zip((0..keys * rows).map(|n| n % keys)).map(row).collect();
        random.shuffle(&mut side);
        side
    };
    Input { left: side(), right: side() }
}

fn main() {
    let args = Args::parse();
    let (keys, rows, seed) = (args.number("--keys", 1000), args.number("--rows", 1000), args.number("--seed", 7));
    let steps = args.number("--steps", 100) as usize;
    let input = generate(keys, rows, seed);
    let title = format!("overlap of {keys} keys × ({rows} + {rows}) rows, seed {seed}");

    let at_once = vec![
        Kernel::new("forward-scan sweep", || Run::of(|| sweeps::forward_scan(&input))),
        Kernel::new("forward-scan sweep by key", || Run::of(|| sweeps::forward_scan_by_key(&input))),
        Kernel::new("superintervals", || Run::of(|| sweeps::superintervals(&input))),
        Kernel::new("coitrees", || Run::of(|| sweeps::coitrees(&input))),
        Kernel::new("overlap_join, 1 worker", || dataflows::run(&input, 1, 1, Join::Overlap)),
        Kernel::new("overlap_join in two epochs, 1 worker", || dataflows::run(&input, 1, 2, Join::Overlap)),
        Kernel::new("differential bucket join, 1 worker", || dataflows::run(&input, 1, 1, Join::Buckets)),
    ];
    let in_steps = vec![
        Kernel::new("overlap_join, 1 worker, steps", || dataflows::run(&input, 1, steps, Join::Overlap)),
        Kernel::new("differential bucket join, 1 worker, steps", || dataflows::run(&input, 1, steps, Join::Buckets)),
        Kernel::new("overlap_join, 2 workers", || dataflows::run(&input, 2, steps, Join::Overlap)),
        Kernel::new("differential bucket join, 2 workers", || dataflows::run(&input, 2, steps, Join::Buckets)),
    ];
    let same = compare(&format!("{title}, at once"), &args, at_once)
        & compare(&format!("{title}, in {steps} steps"), &args, in_steps);
    std::process::exit(i32::from(!same));
}
