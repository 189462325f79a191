//! What is asked for, as ratios of one run.

use super::{Args, Timed};

/// A number that should be at most, or at least, so much. By the clock, and by processor time where that says the same.
pub struct Ratio {
    pub of: String,
    pub clock: Option<f64>,
    pub processor: Option<f64>,
    pub asked: Asked,
}

#[derive(Clone, Copy)]
pub enum Asked {
    AtMost(f64),
    AtLeast(f64),
    /// It is only told.
    Nothing,
}

/// How many times longer the first kernel of a pair takes; nothing if one of them did not run.
pub fn quotient(of: String, timed: &[Timed], (slow, fast): (&str, &str), asked: Asked) -> Option<Ratio> {
    let find = |name: &str| timed.iter().find(|timed| timed.name == name);
    let (slow, fast) = find(slow).zip(find(fast))?;
    let clock = Some(slow.milliseconds() / fast.milliseconds());
    let processor = Some(slow.processor_milliseconds() / fast.processor_milliseconds());
    Some(Ratio { of, clock, processor, asked })
}

/// Prints ratios and whether they hold.
pub fn print(args: &Args, title: &str, ratios: &[Ratio]) {
    if args.flag("--json") {
        let found = |ratio: &Ratio| {
            let (most, least) = match ratio.asked {
                Asked::AtMost(most) => (Some(most), None),
                Asked::AtLeast(least) => (None, Some(least)),
                Asked::Nothing => (None, None),
            };
            serde_json::json!({
                "of": ratio.of, "clock": ratio.clock, "processor": ratio.processor, "at_most": most, "at_least": least,
            })
        };
        let found: Vec<_> = ratios.iter().map(found).collect();
        println!("{}", serde_json::json!({ "title": title, "ratios": found }));
        return;
    }
    println!("{:<66} {:>8} {:>8}   asked for", format!("ratios, {title}"), "clock", "cpu");
    for ratio in ratios {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let (asked, holds) = match ratio.asked {
            Asked::AtMost(most) => (format!("≤ {most}"), ratio.clock.is_some_and(|found| found <= most)),
            Asked::AtLeast(least) => (format!("≥ {least}"), ratio.clock.is_some_and(|found| found >= least)),
            Asked::Nothing => (String::new(), true),
        };
        let (clock, processor) = (number(ratio.clock), number(ratio.processor));
        let missed = if holds { "" } else { "  missed" };
        println!("{:<66} {clock:>8} {processor:>8}   {asked}{missed}", ratio.of);
    }
    println!();
}
