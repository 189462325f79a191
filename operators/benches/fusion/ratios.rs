//! What is asked of `fuse`, as ratios of one run.

use super::common::ratio::{Asked, Ratio, print, quotient};
use super::common::{Args, Timed, named};

pub const SWEEP: &str = "sort and sweep";
pub const FUSE: &str = "fuse";
pub const CHUNKS: &str = "differential chunked reduce";
pub const BUCKETS: &str = "differential bucket reduce";

/// Prints what is asked for. It is asked for with one worker, at `--full` size, at 3 s and at 30 s.
pub fn report(args: &Args, mean_s: u64, phases: &[Vec<Timed>]) {
    print(args, &format!("mean {mean_s} s"), &ratios(mean_s < 10, phases));
}

fn ratios(is_short: bool, phases: &[Vec<Timed>]) -> Vec<Ratio> {
    let ratio = |of: &str, phase: usize, pair: (&str, &str), asked| {
        quotient(of.to_owned(), phases.get(phase).map_or(&[], Vec::as_slice), pair, asked)
    };
    let asked = |short: f64, long: f64| Asked::AtLeast(if is_short { short } else { long });
    let (one, two, buckets) = (&named(FUSE, 1), &named(FUSE, 2), &named(BUCKETS, 1));
    let by_clock = |ratio: Option<Ratio>| ratio.map(|ratio| Ratio { processor: None, ..ratio });
    let small = phases.get(2).and_then(|timed| timed.iter().find(|timed| timed.name == *one)).map(|timed| Ratio {
        of: "small epochs: p99, ms".to_owned(),
        clock: timed.percentile(99),
        processor: None,
        asked: Asked::AtMost(10.0),
    });
    [
        ratio("bulk: fuse, times sort and sweep", 0, (one, SWEEP), Asked::AtMost(2.0)),
        ratio("bulk: bucket reduce, times fuse", 0, (buckets, one), asked(6.0, 15.0)),
        ratio("updates: bucket reduce, times fuse", 1, (buckets, one), asked(5.0, 10.0)),
        by_clock(ratio("bulk: fuse with one worker, times that with two", 0, (one, two), Asked::AtLeast(1.7))),
        by_clock(ratio("updates: fuse with one worker, times that with two", 1, (one, two), Asked::AtLeast(1.7))),
        small,
    ]
    .into_iter()
    .flatten()
    .collect()
}
