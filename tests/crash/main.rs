//! The crash loop: seeded pipelines over growing input, run again and again by the real binary, each run ended by
//! `kill -9`, a failpoint, a signal or by itself, with changing numbers of workers and processes. In the end the sinks must
//! hold what an uninterrupted run gives, and no reader may have seen anything in between that is not the state at some epoch.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo test --test crash` | the first cases, for at most 90 s |
//! | `cargo test --test crash -- --runs 300` | cases until there were so many runs |
//! | `cargo test --test crash -- --case 17` | one case again |
//! | `cargo test --release --test crash -- --counters 50 --events 1000000` | so many histories of a counter of so many events |
//!
//! | module | what it holds |
//! |---|---|
//! | `case` | what a case is like, and how it is judged in the end |
//! | `step` | one run, and how it is ended |
//! | `input` | lines and growing files |
//! | `process` | the processes of a run |
//! | `watch` | what no reader may see |
//! | `compare` | contents of sinks |
//! | `compaction` | cases whose source loses overwritten records between the runs |
//! | `generations` | cases whose annotations belong to operations, so that many of them are swapped at once |
//! | `counter` | cases whose events have no key, and are counted |
//! | `lookups` | cases whose rows are looked up when they come, and stay with what they found |
//! | `upset` | one run of these kinds, and how it is ended |
//! | `failpoints` | which there are |

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod case;
#[path = "../common/mod.rs"]
mod common;
mod compaction;
mod compare;
mod counter;
mod failpoints;
mod generations;
mod input;
mod lookups;
mod process;
mod step;
mod upset;
mod watch;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{archive, operations, oracle, support};
use step::Tally;

/// What the command line asks for.
struct Options {
    first: u64,
    cases: Option<u64>,
    runs: Option<usize>,
    seconds: Option<u64>,
    dir: Option<PathBuf>,
    keep: bool,
    /// Only histories of counters, so many.
    counters: bool,
    events: u64,
}

const USAGE: &str = "options: [--runs N] [--cases N] [--seconds N] [--seed FIRST] [--case SEED] [--counters N] [--events N] [--dir DIR] [--keep]";

/// So many failed cases say enough.
const MOST_FAILURES: usize = 5;

impl Options {
    /// `None` if other tests were asked for by name.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Options {
            first: 1,
            cases: None,
            runs: None,
            seconds: None,
            dir: None,
            keep: false,
            counters: false,
            events: COUNTED_EVENTS,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value; {USAGE}"));
            let number = |text: String| text.parse::<u64>().map_err(|error| format!("{arg} {text}: {error}"));
            match arg.as_str() {
                "--runs" => options.runs = Some(number(value()?)? as usize),
                "--cases" => options.cases = Some(number(value()?)?),
                "--seconds" => options.seconds = Some(number(value()?)?),
                "--seed" => options.first = number(value()?)?,
                "--case" => (options.first, options.cases) = (number(value()?)?, Some(1)),
                "--counters" => (options.counters, options.cases) = (true, Some(number(value()?)?)),
                "--events" => options.events = number(value()?)?,
                "--dir" => options.dir = Some(value()?.into()),
                "--keep" => options.keep = true,
                "--list" => return Ok(None),
                "--nocapture" | "--exact" | "--quiet" | "-q" => (),
                name if !name.starts_with('-') => return Ok(None),
                other => return Err(format!("{other} is not known; {USAGE}")),
            }
        }
        if options.cases.is_none() && options.runs.is_none() && options.seconds.is_none() {
            options.seconds = Some(75);
            options.cases = Some(16);
        }
        Ok(Some(options))
    }

    fn is_enough(&self, cases: u64, runs: usize, elapsed: Duration) -> bool {
        self.cases.is_some_and(|most| cases >= most)
            || self.runs.is_some_and(|most| runs >= most)
            || self.seconds.is_some_and(|most| elapsed >= Duration::from_secs(most))
    }
}

/// Of so many cases one is about compaction, one about generations, one about a counter, and one about look-ups.
const KINDS: u64 = 6;

/// So many events a counter has, unless the command line says otherwise.
const COUNTED_EVENTS: u64 = 20_000;

/// A case about a counter.
fn count(seed: u64, dir: &Path, events: u64, failpoints: &[String], tally: &mut Tally) {
    let sink = "sqlite: { path: out.sqlite, table: counts }";
    let windows = Some("sqlite: { path: windows.sqlite, table: windows }");
    let done = counter::History { seed, events, dir, sink, windows, failpoints }.run(|| {
        support::sqlite(&dir.join("out.sqlite"), "counts").into_iter().map(|(key, row)| (key, row.0)).collect()
    });
    check_windows(dir, &done);
    tally.runs += done.runs;
    tally.kills += done.kills;
    tally.stops += done.stops;
    tally.clusters += done.clusters;
    done.failpoints.into_iter().for_each(|(name, hit)| tally.failpoint(name, hit));
}

/// Which events are late depends on when they were read; each is in a window of the sink, or a dead letter, and only once. One that is
/// delivered again may be both, if it is late by then.
fn check_windows(dir: &Path, done: &counter::Done) {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let rows = support::sqlite(&dir.join("windows.sqlite"), "windows").into_values().map(|row| parse(&row.0));
    let number = |row: &serde_json::Value, field: &str| row[field].as_i64().expect("a number");
    let counted: BTreeMap<i64, u64> =
        rows.map(|row| (number(&row, "window_start_ns") / 1_000_000_000, number(&row, "n") as u64)).collect();
    let letters = std::fs::read_to_string(dir.join("state/dead-letters.ndjson")).unwrap_or_default();
    let mut late: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for letter in letters.lines().filter(|letter| letter.contains("too late for")) {
        let payload = parse(letter)["payload"].as_str().expect("the event").to_owned();
        late.entry(number(&parse(&payload), "at").div_euclid(1_000)).or_default().push(payload);
    }
    for (second, events) in &done.seconds {
        let counted = counted.get(second).copied().unwrap_or_default();
        let late = late.get_mut(second).map_or(0, |late| {
            late.sort();
            late.dedup_by(|a, b| done.again && a == b);
            late.len() as u64
        });
        let is_right = if done.again { counted <= *events } else { counted + late == *events };
        assert!(
            is_right && counted + late >= *events,
            "{}: second {second}: {counted} counted, {late} late, of {events}",
            dir.display()
        );
    }
    assert!(counted.keys().all(|second| done.seconds.contains_key(second)));
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == compaction::CHILD).is_some() {
        return compaction::child(args);
    }
    let options = match Options::parse(args) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let root = options.dir.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("crash"));
    let failpoints = if cfg!(feature = "failpoints") { failpoints::names() } else { Vec::new() };
    let (mut tally, mut failed, started) = (Tally::default(), Vec::new(), Instant::now());
    let mut cases = 0;
    while !options.is_enough(cases, tally.runs, started.elapsed()) && failed.len() < MOST_FAILURES {
        let seed = options.first + cases;
        cases += 1;
        let dir = root.join(format!("case-{seed}"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let run = || match seed % KINDS {
            _ if options.counters => count(seed, &dir, options.events, &failpoints, &mut tally),
            0 => compaction::run(seed, &dir, &failpoints, &mut tally),
            2 => count(seed, &dir, options.events, &failpoints, &mut tally),
            3 => generations::run(seed, &dir, &failpoints, &mut tally),
            5 => lookups::run(seed, &dir, &failpoints, &mut tally),
            _ => case::run(seed, &dir, &failpoints, &mut tally),
        };
        let passed = catch_unwind(AssertUnwindSafe(run)).is_ok();
        if !passed {
            eprintln!("case {seed} failed; kept in {dir:?}; again: cargo test --test crash -- --case {seed}");
            failed.push(seed);
        } else if !options.keep {
            std::fs::remove_dir_all(&dir).expect("the directory of the case");
        }
    }
    report(&tally, cases, started.elapsed());
    let never: Vec<&String> =
        failpoints.iter().filter(|name| tally.failpoints.get(*name).is_none_or(|n| n.1 == 0)).collect();
    // Short loops can not meet all of them.
    let is_long = tally.runs >= 1000 && !failpoints.is_empty();
    if is_long && !never.is_empty() {
        eprintln!("never hit: {never:?}");
    }
    if !failed.is_empty() {
        eprintln!("failed cases: {failed:?}");
    }
    if failed.is_empty() && (never.is_empty() || !is_long) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(tally: &Tally, cases: u64, elapsed: Duration) {
    let Tally { runs, kills, stops, complete, clusters, failpoints, looks, states, compacted, accidents } = tally;
    let hits: usize = failpoints.values().map(|counts| counts.1).sum();
    println!(
        "{cases} cases from the first seed on, {runs} runs in {} s, {clusters} of two processes",
        elapsed.as_secs()
    );
    println!("{kills} killed, {hits} crashed at failpoints, {stops} stopped, {complete} others complete");
    println!("{accidents} times a sink was reset or the state lost between runs");
    println!("{compacted} records lost to compaction below the sealed offsets");
    println!("readers looked {looks} times and saw {states} states");
    for (name, (asked, hit)) in failpoints {
        println!("  {name:<28} hit {hit:>4} of {asked:>4}");
    }
}
