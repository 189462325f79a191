//! What is asked of `aggregate`, as ratios of one run.

use super::common::ratio::{Asked, Ratio, print, quotient};
use super::common::{Args, Timed, named};

pub const AGGREGATE: &str = "aggregate";
pub const ACCUMULATE: &str = "accumulate";
pub const JOURNALLED: &str = "with its journal, accumulate";
pub const COUNT_TOTAL: &str = "differential count_total";

/// Prints what is asked for, with each number of workers. It is asked for at default size.
pub fn report(
    args: &Args,
    (counted, skewed, tables): (&[Timed], &[Timed], &[Timed]),
    (windowed, few): (&[Timed], &[Timed]),
) {
    let mut ratios = Vec::new();
    for workers in super::workers(args) {
        let name = |what: &str| named(what, workers);
        let pair = (&*name(COUNT_TOTAL), &*name(AGGREGATE));
        let with = |what: &str| name(what);
        ratios.push(quotient(with("count_total, times aggregate"), counted, pair, Asked::AtLeast(1.0)));
        ratios.push(quotient(with("one hot key: count_total, times aggregate"), skewed, pair, Asked::AtLeast(1.0)));
        for (what, least) in [(ACCUMULATE, 1.0), (JOURNALLED, 0.5)] {
            let (of, pair) = (with(&format!("events: count_total, times {what}")), (pair.0, &*name(what)));
            ratios.push(quotient(of, tables, pair, Asked::AtLeast(least)));
        }
        let lengths = (&*name("roll_up, minutes, hours and days"), &*name("roll_up, minutes"));
        ratios.push(quotient(with("three lengths of windows, times one"), windowed, lengths, Asked::AtMost(1.5)));
        ratios.push(quotient(with("few keys: three lengths of windows, times one"), few, lengths, Asked::AtMost(1.5)));
        let theirs = (&*name("count_total, minutes, hours and days"), lengths.0);
        ratios.push(quotient(with("three lengths: count_total, times roll_up"), windowed, theirs, Asked::AtLeast(1.0)));
        for (what, of, timed) in [
            ("count", pair.1, counted),
            ("events, journal", &*name(JOURNALLED), tables),
            ("three lengths", lengths.0, windowed),
        ] {
            ratios.push(latency(with(&format!("{what}: p99 of an epoch, ms")), timed, of));
        }
    }
    let both = (&*named(AGGREGATE, 1), &*named(AGGREGATE, 2));
    ratios.push(quotient("one hot key: one worker, times two".to_owned(), skewed, both, Asked::Nothing));
    print(args, "aggregation", &ratios.into_iter().flatten().collect::<Vec<_>>());
}

fn latency(of: String, timed: &[Timed], name: &str) -> Option<Ratio> {
    let clock = timed.iter().find(|timed| timed.name == name)?.percentile(99);
    Some(Ratio { of, clock, processor: None, asked: Asked::AtMost(10.0) })
}
