//! Cases with operations: annotations and what is said of their operations come from two growing files, and a crash may come
//! at any point of a swap. A reader must only ever see what some beginning of the one file and some of the other show.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::input::fingerprint;
use crate::operations::{History, Line, Parsed, moments, pipeline};
use crate::oracle::{Emit, Rules};
use crate::step::{AtEnd, Tally};
use crate::support::{changes, folded, sqlite, tantivy};
use crate::upset::{Upset, undisturbed};

const OPERATIONS: usize = 18;

/// A case of its own. Panics if anything is not as it must be.
pub fn run(seed: u64, dir: &Path, failpoints: &[String], tally: &mut Tally) {
    let history = History::new(seed, OPERATIONS);
    let mut rng = history.rng.clone();
    let emit = *[Emit::Buckets, Emit::Runs, Emit::Segments].choose(&mut rng).expect("it is not empty");
    let rules = Rules { emit, min_modalities: rng.random_range(1..=2), ..Rules::default() };
    let (annotations, operations) = history.inputs(history.lines.len());
    let parsed = Parsed::new(&annotations, &operations);
    let mut watch = Watch::new(&parsed, annotations.len(), operations.len());
    let mut feed = Feed { lines: &history.lines, written: 0, dir };
    let epoch_ms = rng.random_range(2..40);
    feed.write(0);
    let steps = rng.random_range(4..9);
    for number in 0..steps {
        let follow = rng.random_bool(0.7);
        write_pipeline(dir, follow, &rules, epoch_ms);
        let share = 2 * history.lines.len() / steps;
        feed.write(rng.random_range(0..=share / 4));
        let later = if follow { rng.random_range(0..=share) } else { 0 };
        let name = failpoints.choose(&mut rng).filter(|_| rng.random_bool(0.5));
        step(number, follow, later, name, &mut feed, &mut watch, &mut rng, tally);
    }
    tally.looks += watch.looks;
    tally.states += watch.states.len();
    feed.write(usize::MAX);
    write_pipeline(dir, false, &rules, epoch_ms);
    tally.runs += 1;
    undisturbed(dir, rng.random_range(1..=3));
    let expected = moments(&annotations, &operations, &rules);
    let store = sqlite(&dir.join("moments.sqlite"), "moments").into_iter().map(|(key, row)| (key, row.0)).collect();
    assert!(expected == store, "SQLite holds {} documents, {} are right", store.len(), expected.len());
    assert!(expected == tantivy(&dir.join("index")), "Tantivy differs");
    assert!(expected == folded(changes(&dir.join("changes"))), "the file sink differs");
    let rows: BTreeSet<_> = sqlite(&dir.join("rows.sqlite"), "rows").into_values().map(|row| row.0).collect();
    let shown = parsed.shown(annotations.len(), operations.len()).into_iter().map(str::to_owned).collect();
    assert_eq!(rows, shown, "the table itself");
    assert_eq!(dead_letters(dir), sorted(parsed.refused().into_iter().map(str::to_owned)), "dead letters");
}

/// Lines of both files, in the order of the history.
struct Feed<'h> {
    lines: &'h [Line],
    written: usize,
    dir: &'h Path,
}

impl Feed<'_> {
    fn write(&mut self, count: usize) {
        let until = self.written.saturating_add(count).min(self.lines.len());
        let texts = |folder: &str| -> String {
            let of = |line: &Line| match line {
                Line::Annotation(text) => (folder == "in").then(|| format!("{text}\n")),
                Line::Operation(text) => (folder == "runs").then(|| format!("{text}\n")),
            };
            self.lines[self.written..until].iter().filter_map(of).collect()
        };
        for folder in ["in", "runs"] {
            fs::create_dir_all(self.dir.join(folder)).expect("a directory");
            let path = self.dir.join(folder).join("a.ndjson");
            let mut file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
            file.write_all(texts(folder).as_bytes()).expect("an append");
        }
        self.written = until;
    }
}

fn write_pipeline(dir: &Path, follow: bool, rules: &Rules, epoch_ms: u64) {
    let sinks = "  store: { from: moments, sqlite: { path: moments.sqlite, table: moments } }\n  \
                 search: { from: moments, after: store, tantivy: { path: index, commit: 20ms } }\n  \
                 changes: { from: moments, file: { path: changes } }\n  \
                 rows: { from: annotations, sqlite: { path: rows.sqlite, table: rows } }\n";
    let text = pipeline(follow, &rules.yaml(), sinks).replace("epoch: 20ms", &format!("epoch: {epoch_ms}ms"));
    fs::write(dir.join("pipeline.yaml"), text).expect("a pipeline file");
}

/// One run, which is killed, crashes at a failpoint, is stopped, or ends by itself.
#[allow(clippy::too_many_arguments, reason = "what a case has at hand")]
fn step(
    number: usize,
    follow: bool,
    mut later: usize,
    name: Option<&String>,
    feed: &mut Feed<'_>,
    watch: &mut Watch,
    rng: &mut ChaCha8Rng,
    tally: &mut Tally,
) {
    let dir = feed.dir;
    let upset = Upset::draw(number, follow, 1200, rng, |_| name);
    let end = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch.look_until(dir, &end));
        let at_end = AtEnd(&end);
        let ended = upset.run(dir, || {
            let burst = rng.random_range(0..=later.min(6));
            feed.write(burst);
            later -= burst;
            std::thread::sleep(Duration::from_millis(rng.random_range(1..15)));
        });
        drop(at_end);
        watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended
    });
    tally.upset(upset.judge(&ended));
}

fn dead_letters(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("state/dead-letters.ndjson")).unwrap_or_default();
    let payload = |line: &str| {
        let letter: Value = serde_json::from_str(line).expect("a letter");
        letter["payload"].as_str().expect("its payload").to_owned()
    };
    sorted(text.lines().map(payload))
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts
}

/// Looks at the table while runs write it, crash and start again.
struct Watch {
    /// How many annotations and how many lines about operations give a content, by its fingerprint.
    states: BTreeSet<u64>,
    known: HashMap<u64, Vec<(usize, usize)>>,
    /// How far the content may be by what was seen so far.
    reached: Vec<(usize, usize)>,
    looks: usize,
}

impl Watch {
    fn new(parsed: &Parsed<'_>, annotations: usize, operations: usize) -> Self {
        let mut known: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
        for rows in 0..=annotations {
            for said in 0..=operations {
                let content = fingerprint(parsed.shown(rows, said).into_iter().map(|line| ("", line)));
                known.entry(content).or_default().push((rows, said));
            }
        }
        Watch { states: BTreeSet::new(), known, reached: vec![(0, 0)], looks: 0 }
    }

    /// Looks again and again until told to end. Panics when it sees what may not be.
    fn look_until(&mut self, dir: &Path, end: &AtomicBool) {
        while !end.load(Ordering::Acquire) {
            self.look(dir);
            std::thread::sleep(Duration::from_millis(3));
        }
        self.look(dir);
    }

    fn look(&mut self, dir: &Path) {
        let Some(content) = content(&dir.join("rows.sqlite")) else { return };
        self.looks += 1;
        let known = self.known.get(&content).unwrap_or_else(|| panic!("a reader sees a state that never was"));
        let follows = |(rows, said): &&(usize, usize)| self.reached.iter().any(|(r, s)| r <= rows && s <= said);
        let reached: Vec<(usize, usize)> = known.iter().filter(follows).copied().collect();
        assert!(!reached.is_empty(), "a reader sees a state that is over");
        self.reached = reached;
        self.states.insert(content);
    }
}

/// The fingerprint of what a reader sees; `None` while there is nothing to be seen, or it is locked.
fn content(path: &Path) -> Option<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.busy_timeout(Duration::from_millis(200)).ok()?;
    let mut statement = connection.prepare("SELECT document FROM rows").ok()?;
    let rows = statement.query_map((), |row| row.get::<_, String>(0)).ok()?;
    let rows = rows.collect::<Result<Vec<_>, _>>().ok()?;
    Some(fingerprint(rows.iter().map(|document| ("", document.as_str()))))
}
