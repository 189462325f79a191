//! What is asked of `fuse`, as ratios of one run.

use super::common::{Args, Timed, named};

pub const SWEEP: &str = "sort and sweep";
pub const FUSE: &str = "fuse";
pub const CHUNKS: &str = "differential chunked reduce";
pub const BUCKETS: &str = "differential bucket reduce";

/// A number that should be at most, or at least, so much. By the clock, and by processor time where that says the same.
struct Ratio {
    of: &'static str,
    clock: Option<f64>,
    processor: Option<f64>,
    asked: Asked,
}

enum Asked {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints what is asked for. It is asked for with one worker, at `--full` size, at 3 s and at 30 s.
pub fn report(args: &Args, mean_s: u64, phases: &[Vec<Timed>]) {
    let ratios = ratios(mean_s < 10, phases);
    if args.flag("--json") {
        let found = |ratio: &Ratio| {
            let (most, least) = match ratio.asked {
                Asked::AtMost(most) => (Some(most), None),
                Asked::AtLeast(least) => (None, Some(least)),
            };
            serde_json::json!({
                "of": ratio.of, "clock": ratio.clock, "processor": ratio.processor, "at_most": most, "at_least": least,
            })
        };
        let found: Vec<_> = ratios.iter().map(found).collect();
        println!("{}", serde_json::json!({ "mean_s": mean_s, "ratios": found }));
        return;
    }
    println!("{:<66} {:>8} {:>8}   asked for", format!("ratios, mean {mean_s} s"), "clock", "cpu");
    for ratio in ratios {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let (asked, holds) = match ratio.asked {
            Asked::AtMost(most) => (format!("≤ {most}"), ratio.clock.is_some_and(|found| found <= most)),
            Asked::AtLeast(least) => (format!("≥ {least}"), ratio.clock.is_some_and(|found| found >= least)),
        };
        let (clock, processor) = (number(ratio.clock), number(ratio.processor));
        let missed = if holds { "" } else { "  missed" };
        println!("{:<66} {clock:>8} {processor:>8}   {asked}{missed}", ratio.of);
    }
    println!();
}

fn ratios(is_short: bool, phases: &[Vec<Timed>]) -> Vec<Ratio> {
    let find = |phase: usize, name: &str| phases.get(phase)?.iter().find(|timed| timed.name == name);
    // How many times longer the first one takes.
    let ratio = |of, phase: usize, (slow, fast): (&str, &str), asked| {
        let both = find(phase, slow).zip(find(phase, fast))?;
        let clock = Some(both.0.milliseconds() / both.1.milliseconds());
        let processor = Some(both.0.processor_milliseconds() / both.1.processor_milliseconds());
        Some(Ratio { of, clock, processor, asked })
    };
    let asked = |short: f64, long: f64| Asked::AtLeast(if is_short { short } else { long });
    let (one, two, buckets) = (&named(FUSE, 1), &named(FUSE, 2), &named(BUCKETS, 1));
    let by_clock = |ratio: Option<Ratio>| ratio.map(|ratio| Ratio { processor: None, ..ratio });
    let small = find(2, one).map(|timed| Ratio {
        of: "small epochs: p99, ms",
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
