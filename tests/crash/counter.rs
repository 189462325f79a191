//! Histories of a counter: events without a key come from growing files and are counted by an `aggregate`, and the runs that count
//! them are killed, crash at failpoints, are stopped, and go on with other numbers of workers and processes. In the end each
//! value is exact: nothing was counted twice, and nothing was left out. In every other history events have ids, and some are delivered again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::upset::{Happened, Upset, undisturbed};

/// Files that events come from.
const PARTITIONS: usize = 4;

const KEYS: u64 = 997;

/// Events are so late at most; windows do not wait for so long.
const LATE_MS: i64 = 3_000;

/// Between one event and the next.
const STEP_MS: i64 = 5;

/// One history.
pub struct History<'a> {
    pub seed: u64,
    pub events: u64,
    pub dir: &'a Path,
    /// The settings of the sink, after `from:`.
    pub sink: &'a str,
    /// The same of a sink of windows, which events may miss.
    pub windows: Option<&'a str>,
    pub failpoints: &'a [String],
}

/// Events have ids, and so many of a thousand are followed by a delivery of one that was there before.
const AGAIN: u32 = 150;

/// Only of the last ones.
const RECENT: usize = 20_000;

/// What was done to the runs.
#[derive(Default)]
pub struct Done {
    pub runs: usize,
    pub kills: usize,
    pub stops: usize,
    pub clusters: usize,
    /// Whether some events were delivered again.
    pub again: bool,
    /// How many events there were of each second.
    pub seconds: BTreeMap<i64, u64>,
    /// The failpoints that were asked for, and whether they were hit.
    pub failpoints: Vec<(String, bool)>,
}

impl History<'_> {
    /// Runs it, and compares what `contents` gives in the end. Panics if anything is not as it must be.
    pub fn run(&self, contents: impl Fn() -> BTreeMap<String, String>) -> Done {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut feed = Feed::new(self.dir, self.events, self.seed);
        feed.again = self.has_ids().then_some(AGAIN);
        let (mut done, steps, epoch_ms) = (Done::default(), rng.random_range(5..10), rng.random_range(5..60));
        feed.write(rng.random_range(0..=feed.left / 4));
        for step in 0..steps {
            let follow = rng.random_bool(0.6);
            self.write_pipeline(follow, epoch_ms);
            let share = feed.left / (steps - step);
            feed.write(rng.random_range(0..=share));
            self.step((step, follow), share, &mut feed, &mut rng, &mut done);
        }
        feed.write(u64::MAX);
        self.write_pipeline(false, epoch_ms);
        done.runs += 1;
        undisturbed(self.dir, rng.random_range(1..=3));
        let (found, expected) = (contents(), feed.expected());
        let wrong = expected.iter().filter(|(key, value)| found.get(*key) != Some(value)).collect::<Vec<_>>();
        let first = wrong.first().map(|(key, value)| format!("{key} is {:?} instead of {value}", found.get(*key)));
        assert!(wrong.is_empty(), "seed {}: {} of {} are wrong: {first:?}", self.seed, wrong.len(), expected.len());
        assert_eq!(found.len(), expected.len(), "seed {}", self.seed);
        (done.again, done.seconds) = (self.has_ids(), feed.seconds);
        done
    }

    fn has_ids(&self) -> bool {
        (self.seed / 2).is_multiple_of(2)
    }

    fn write_pipeline(&self, follow: bool, epoch_ms: u64) {
        let (mut windows, mut more) = (String::new(), String::new());
        let (id, kept) =
            if self.has_ids() { ("id: { path: /id }, ", "id: { path: /id, keep: 1d }, ") } else { ("", "") };
        if let Some(sink) = self.windows {
            let late = format!("late: {{ until: {}ms }}", LATE_MS / 3);
            windows = format!(
                "  windows: {{ aggregate: {{ from: events, {id}window: {{ time: /at, unit: ms, every: 1s, {late} }}, compute: {{ n: count }} }} }}\n"
            );
            more = format!("  seconds: {{ from: windows, {sink} }}\n");
        }
        let text = format!(
            "name: counter\nstate: state\nepoch: {epoch_ms}ms\nsources:\n  events: {{ file: {{ paths: [\"in/*.ndjson\"], follow: {follow} }} }}\n\
             operators:\n  counts: {{ aggregate: {{ from: events, {kept}by: {{ k: /k }}, compute: {{ n: count, total: {{ sum: /v }} }} }} }}\n\
             {windows}sinks:\n  out: {{ from: counts, {} }}\n{more}",
            self.sink
        );
        fs::write(self.dir.join("pipeline.yaml"), text).expect("a pipeline file");
    }

    /// One run, which is killed, crashes at a failpoint, is stopped, or ends by itself, while events come.
    fn step(
        &self,
        (step, follow): (u64, bool),
        share: u64,
        feed: &mut Feed<'_>,
        rng: &mut ChaCha8Rng,
        done: &mut Done,
    ) {
        let name = |rng: &mut ChaCha8Rng| self.failpoints.choose(rng).filter(|_| rng.random_bool(0.4));
        let upset = Upset::draw(step as usize, follow, 1500, rng, name);
        let ended = upset.run(self.dir, || {
            if follow {
                feed.write(rng.random_range(0..=share / 20 + 1));
            }
            std::thread::sleep(Duration::from_millis(rng.random_range(1..30)));
        });
        let Happened { is_cluster, was_killed, failpoint } = upset.judge(&ended);
        done.runs += 1;
        done.clusters += usize::from(is_cluster);
        done.kills += usize::from(was_killed);
        done.stops += usize::from(!was_killed && !failpoint.as_ref().is_some_and(|(_, hit)| *hit));
        done.failpoints.extend(failpoint);
    }
}

/// Events on their way into the files, and what they come to.
struct Feed<'a> {
    dir: &'a Path,
    rng: ChaCha8Rng,
    left: u64,
    now_ms: i64,
    /// How many of a thousand are followed by one that is delivered again, and those that may be.
    again: Option<u32>,
    recent: Vec<String>,
    seconds: BTreeMap<i64, u64>,
    sums: BTreeMap<u64, (u64, i64)>,
}

impl<'a> Feed<'a> {
    fn new(dir: &'a Path, events: u64, seed: u64) -> Self {
        fs::create_dir_all(dir.join("in")).expect("a directory");
        Feed {
            dir,
            rng: ChaCha8Rng::seed_from_u64(!seed),
            left: events,
            now_ms: 0,
            again: None,
            recent: Vec::new(),
            seconds: BTreeMap::new(),
            sums: BTreeMap::new(),
        }
    }

    /// Writes so many more, at most. Few keys have many of them.
    fn write(&mut self, count: u64) {
        let count = count.min(self.left);
        self.left -= count;
        let mut texts = vec![String::new(); PARTITIONS];
        for _ in 0..count {
            let key = self.rng.random_range(0..KEYS) * self.rng.random_range(0..KEYS) / KEYS;
            let value = self.rng.random_range(-9..100_i64);
            let (n, total) = self.sums.entry(key).or_default();
            (*n, *total) = (*n + 1, *total + value);
            self.now_ms += STEP_MS;
            let at = self.now_ms - self.rng.random_range(0..LATE_MS);
            *self.seconds.entry(at.div_euclid(1_000)).or_default() += 1;
            let mut line = format!(r#"{{"k":"k{key}","v":{value},"at":{at}}}"#);
            if let Some(again) = self.again {
                line = format!(r#"{{"id":{},{}"#, self.now_ms, &line[1..]);
                if self.recent.len() < RECENT {
                    self.recent.push(line.clone());
                } else {
                    self.recent[self.rng.random_range(0..RECENT)].clone_from(&line);
                }
                if self.rng.random_ratio(again, 1_000) {
                    let text = &mut texts[self.rng.random_range(0..PARTITIONS)];
                    writeln!(text, "{}", self.recent.choose(&mut self.rng).expect("it is not empty")).expect("text");
                }
            }
            writeln!(texts[self.rng.random_range(0..PARTITIONS)], "{line}").expect("text");
        }
        for (partition, text) in texts.iter().enumerate() {
            let path = self.dir.join(format!("in/{partition}.ndjson"));
            let mut file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
            file.write_all(text.as_bytes()).expect("an append");
        }
    }

    fn expected(&self) -> BTreeMap<String, String> {
        let row = |(key, (n, total)): (&u64, &(u64, i64))| {
            (format!(r#"["k{key}"]"#), format!(r#"{{"k":"k{key}","n":{n},"total":{total}}}"#))
        };
        self.sums.iter().map(row).collect()
    }
}
