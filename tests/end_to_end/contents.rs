//! Any history gives what the oracle gives. `SEED=n` runs the histories with seed n alone.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use flowstone::runtime::metrics::read;
use flowstone::runtime::{Mode, Outcome};
use flowstone::source::memory::MemoryInput;

use super::archive::{FILE, History, SQLITE, from_source, pipeline, text};
use super::oracle;
use super::support::{Place, changes, folded, run, spawn};

/// Runs a test on so many histories.
fn for_seeds(count: u64, test: impl Fn(u64)) {
    let only: Option<u64> = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        catch_unwind(AssertUnwindSafe(|| test(seed))).unwrap_or_else(|panic| {
            eprintln!("to see this again: SEED={seed}");
            resume_unwind(panic);
        });
    }
}

fn expected<L: AsRef<str>>(lines: &[L], history: &History) -> super::support::Documents {
    oracle::documents(lines.iter().map(AsRef::as_ref), &history.rules)
}

fn put(place: &Place, files: &[Vec<String>]) {
    for (n, lines) in files.iter().enumerate() {
        place.write(&format!("in/part-{n}.ndjson"), text(lines));
    }
}

#[test]
fn sqlite_holds_what_the_oracle_gives_for_any_workers_and_any_order_that_keeps_each_key_s_own() {
    for_seeds(48, |seed| {
        let mut history = History::new(seed, false);
        let expected = expected(&history.lines, &history);
        for workers in 1..=3 {
            let place = Place::with(&pipeline(&history.rules.yaml(), SQLITE));
            let files = if workers == 1 { vec![history.lines.clone()] } else { history.shuffled() };
            put(&place, &files);
            assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
            assert_eq!(place.rows(), expected, "{workers} workers, {:?}, {files:#?}", history.rules);
        }
    });
}

#[test]
fn with_versions_the_lines_may_come_in_any_order_at_all() {
    for_seeds(48, |seed| {
        let mut history = History::new(1000 + seed, true);
        let expected = expected(&history.lines, &history);
        for workers in 1..=3 {
            let source = "file: { paths: [\"in/*.ndjson\"] }, key: /annotation_id, delete: /deleted, version: /version";
            let place = Place::with(&from_source(source, &history.rules.yaml(), SQLITE));
            let files = history.scrambled();
            put(&place, &files);
            assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
            assert_eq!(place.rows(), expected, "{workers} workers, {:?}, {files:#?}", history.rules);
        }
    });
}

/// Batches of lines come one after the other, each to partitions of its choice; no two lines of a key to different ones.
#[test]
fn capability_10_any_arrival_order_and_any_cut_into_epochs_give_the_same() {
    for_seeds(36, |seed| {
        let mut history = History::new(2000 + seed, seed % 2 == 0);
        let versioned = history.rules.versioned;
        let version = if versioned { ", version: /version" } else { "" };
        let source = format!("memory: {{}}, key: /annotation_id, delete: /deleted{version}");
        let sinks = format!("{SQLITE}{FILE}");
        let place = Place::with(&from_source(&source, &history.rules.yaml(), &sinks).replace("20ms", "1ms"));
        let batches = if versioned { history.scrambled() } else { history.shuffled() };
        let input = MemoryInput::new(2);
        let job = place.job(Mode::Run, 1 + history.choose(3)).with_memory("annotations", input.clone());
        let metrics = job.metrics();
        let wait = spawn(job);
        let mut pushed = 0;
        for batch in &batches {
            for line in batch {
                // Without versions a key's order is that of its partition.
                let partition = if versioned { history.choose(2) } else { 0 };
                input.push(partition, line.as_bytes());
                pushed += 1;
            }
            // Most batches are epochs of their own, some meet the next one.
            if history.choose(4) > 0 {
                super::support::eventually("all is read", || read(&metrics.tables[0].1.records) == pushed);
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        input.close();
        assert_eq!(wait().unwrap(), Outcome::Complete);
        let in_order: Vec<String> = batches.concat();
        let expected = expected(&in_order, &history);
        assert_eq!(place.rows(), expected, "{:?}, {batches:#?}", history.rules);
        let changes = changes(&place.path("changes"));
        let keys_of_epochs: BTreeSet<(u64, &String)> = changes.iter().map(|c| (c.epoch, &c.key)).collect();
        assert_eq!(keys_of_epochs.len(), changes.len(), "a key changes once an epoch");
        assert!(changes.is_sorted_by_key(|change| change.epoch));
        assert_eq!(folded(changes), expected, "{:?}, {batches:#?}", history.rules);
    });
}
