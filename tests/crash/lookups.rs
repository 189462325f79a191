//! Cases with rows that are looked up when they come: both sides grow in files of their own, and runs crash, stop and go on. What a row
//! finds depends on the epochs in which records were read, and these are known in the end: the files of both sides' sinks have them. So
//! what the pairs were after each epoch is compared with what was there to be found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::step::Tally;
use crate::support::{Change, changes, folded};
use crate::upset::{Upset, undisturbed};

/// What a case is like.
struct Case {
    /// Whether plays without a partner are kept.
    keeps: bool,
    /// The joins are there from this step on.
    from: usize,
    epoch_ms: u64,
    rng: ChaCha8Rng,
}

/// A case of its own. Panics if anything is not as it must be.
pub fn run(seed: u64, dir: &Path, failpoints: &[String], tally: &mut Tally) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let steps = rng.random_range(4..9);
    let from = if rng.random_bool(0.4) { rng.random_range(1..steps) } else { 0 };
    let keeps = from > 0 || rng.random_bool(0.5);
    let mut case = Case { keeps, from, epoch_ms: rng.random_range(2..40), rng };
    for file in ["plays", "users"] {
        fs::write(dir.join(format!("{file}.ndjson")), "").expect("a file");
    }
    for step in 0..steps {
        case.step(step, dir, failpoints, tally);
    }
    case.write_pipeline(dir, steps, false, true);
    tally.runs += 1;
    let workers = case.rng.random_range(1..=3);
    undisturbed(dir, workers);
    let read = |sink: &str| changes(&dir.join(sink));
    let (long, users, then, again) = (read("long"), read("users"), read("then"), read("again"));
    case.check(&long, &users, &then, ("/user", "of"));
    case.check(&then, &users, &again, ("/film", "film_of"));
    assert_eq!(folded(read("late")), folded(again), "a sink that is filled in the end");
}

impl Case {
    fn write_pipeline(&self, dir: &Path, step: usize, follow: bool, is_last: bool) {
        let source = |name: &str| {
            format!(
                "  {name}: {{ file: {{ paths: [{name}.ndjson], follow: {follow} }}, key: /id, delete: /deleted }}\n"
            )
        };
        let (mut joins, mut sinks) = (String::new(), String::new());
        if step >= self.from {
            let rest = if self.keeps { "unmatched: keep, as_of: arrival" } else { "as_of: arrival" };
            joins = format!(
                "  then: {{ join: {{ from: long, on: /user, with: {{ from: users, as: of }}, {rest} }} }}\n  \
                 again: {{ join: {{ from: then, on: /film, with: {{ from: users, as: film_of }}, {rest} }} }}\n"
            );
            sinks = "  then-out: { from: then, file: { path: then } }\n  \
                     again-out: { from: again, file: { path: again } }\n"
                .to_owned();
        }
        if is_last {
            sinks += "  late: { from: again, file: { path: late } }\n";
        }
        let text = format!(
            "name: lookups\nstate: state\nepoch: {}ms\nsources:\n{}{}operators:\n  \
             long: {{ filter: {{ from: plays, where: seconds > 3 }} }}\n{joins}sinks:\n  \
             long-out: {{ from: long, file: {{ path: long }} }}\n  users-out: {{ from: users, file: {{ path: users }} }}\n{sinks}",
            self.epoch_ms,
            source("plays"),
            source("users"),
        );
        fs::write(dir.join("pipeline.yaml"), text).expect("a pipeline file");
    }

    /// Writes so many lines, some to each file.
    fn feed(&mut self, dir: &Path, lines: usize) {
        let mut texts = [String::new(), String::new()];
        for _ in 0..lines {
            let rng = &mut self.rng;
            let (is_play, is_gone) = (rng.random_bool(0.6), rng.random_bool(0.2));
            let id = rng.random_range(0..if is_play { 60 } else { 9 });
            let (user, film, seconds) = (rng.random_range(0..9), rng.random_range(0..9), rng.random_range(0..10));
            texts[usize::from(is_play)] += &match (is_gone, is_play) {
                (true, _) => format!("{{\"id\":{id},\"deleted\":true}}\n"),
                (_, true) => format!("{{\"id\":{id},\"user\":{user},\"film\":{film},\"seconds\":{seconds}}}\n"),
                (_, false) => format!("{{\"id\":{id},\"name\":\"n{}\"}}\n", rng.random_range(0..1000)),
            };
        }
        for (file, text) in ["users", "plays"].into_iter().zip(&texts) {
            let path = dir.join(format!("{file}.ndjson"));
            let mut file = OpenOptions::new().append(true).open(path).expect("a file");
            file.write_all(text.as_bytes()).expect("an append");
        }
    }

    /// One run, which is killed, crashes at a failpoint, is stopped, or ends by itself, while lines come.
    fn step(&mut self, step: usize, dir: &Path, failpoints: &[String], tally: &mut Tally) {
        let follow = self.rng.random_bool(0.7);
        self.write_pipeline(dir, step, follow, false);
        let lines = self.rng.random_range(0..150);
        self.feed(dir, lines);
        let name = |rng: &mut ChaCha8Rng| failpoints.choose(rng).filter(|_| rng.random_bool(0.5));
        let upset = Upset::draw(step, follow, 1200, &mut self.rng, name);
        let ended = upset.run(dir, || {
            if follow {
                let burst = self.rng.random_range(0..8);
                self.feed(dir, burst);
            }
            std::thread::sleep(Duration::from_millis(self.rng.random_range(1..25)));
        });
        tally.upset(upset.judge(&ended));
    }

    /// Compares what the pairs were after each epoch with what the rows that came in it found. `by` is what is looked up, and the
    /// field that has it.
    fn check(&self, left: &[Change], right: &[Change], pairs: &[Change], by: (&str, &str)) {
        // Those that were added look up all that is there at their first epoch.
        let first =
            pairs.first().map_or(u64::MAX, |change| change.epoch).min(if self.from == 0 { 0 } else { u64::MAX });
        let (mut rows, mut partners) = (BTreeMap::new(), BTreeMap::new());
        let (mut found, mut expected) = (BTreeMap::new(), BTreeMap::new());
        let epochs: BTreeSet<u64> = [left, right, pairs].into_iter().flatten().map(|change| change.epoch).collect();
        for epoch in epochs {
            apply(right, epoch, &mut partners);
            let mut changed = apply(left, epoch, &mut rows);
            apply(pairs, epoch, &mut found);
            if epoch == first {
                changed = rows.keys().copied().collect();
            }
            for key in changed.into_iter().filter(|_| epoch >= first) {
                let pair = rows.get(key).and_then(|row| self.pair(row, &partners, by));
                match pair {
                    Some(pair) => expected.insert(key, pair),
                    None => expected.remove(key),
                };
            }
            assert_eq!(found, expected, "after epoch {epoch}: {} of {by:?}", found.len());
        }
    }

    fn pair(&self, row: &Value, partners: &BTreeMap<&str, Value>, (on, name): (&str, &str)) -> Option<Value> {
        let partner = row.pointer(on).and_then(|value| partners.get(format!("[{value}]").as_str()));
        let mut pair = row.clone();
        pair[name] = partner.cloned().unwrap_or_default();
        (partner.is_some() || self.keeps).then_some(pair)
    }
}

/// Applies the changes of an epoch; the keys that change.
fn apply<'c>(changes: &'c [Change], epoch: u64, rows: &mut BTreeMap<&'c str, Value>) -> BTreeSet<&'c str> {
    let of_epoch = changes.iter().filter(|change| change.epoch == epoch);
    let apply = |change: &'c Change| {
        match &change.document {
            Some(document) => rows.insert(&change.key, serde_json::from_str(document).expect("a document")),
            None => rows.remove(change.key.as_str()),
        };
        change.key.as_str()
    };
    of_epoch.map(apply).collect()
}
