//! A case: one input, and the runs over it that crash, stop and go on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::compare::Contents;
use crate::input::{Feed, Input};
use crate::oracle::{self, Emit};
use crate::process::Start;
use crate::step::{Step, Tally};
use crate::support::{sqlite_upper, tantivy_upper};
use crate::watch::Watch;

/// What a case is like; all of it comes from its seed.
pub struct Case {
    pub input: Input,
    pub follow: bool,
    /// `after:` from each sink to the next one.
    chained: bool,
    /// The records are folded by an `upsert` behind the source.
    upsert: bool,
    letters: bool,
    epoch_ms: u64,
    /// Between runs, sinks are reset or the state is lost.
    accidents: bool,
    /// The file sink is there from this step on.
    files_from: usize,
    pub steps: usize,
    pub rng: ChaCha8Rng,
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let emit = *[Emit::Buckets, Emit::Runs, Emit::Segments].choose(&mut rng).expect("it is not empty");
        let versioned = rng.random_bool(0.4);
        let rules = Input::rules(&mut rng, emit, versioned);
        let files = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..6) };
        let count = *[60, 300, 600, 1200].choose(&mut rng).expect("it is not empty");
        let input = Input::new(&mut rng, rules, files, count);
        let steps = rng.random_range(4..10);
        Case {
            input,
            follow: rng.random_bool(0.65),
            chained: rng.random_bool(0.75),
            upsert: rng.random_bool(0.25),
            letters: rng.random_bool(0.3),
            epoch_ms: rng.random_range(5..50),
            files_from: if rng.random_bool(0.25) { rng.random_range(1..=steps) } else { 0 },
            accidents: rng.random_bool(0.3),
            steps,
            rng,
        }
    }

    /// The pipeline as of a step.
    fn pipeline(&self, step: usize) -> String {
        let follow = if self.follow { ", follow: true" } else { "" };
        let version = if self.input.rules.versioned { ", version: /version" } else { "" };
        let table = format!("key: /annotation_id, delete: /deleted{version}");
        let file = format!("file: {{ paths: [\"in/*.ndjson\"]{follow} }}");
        let (source, upsert, from) = if self.upsert {
            (file, format!("  all: {{ upsert: {{ from: annotations, {table} }} }}\n"), "all")
        } else {
            (format!("{file}, {table}"), String::new(), "annotations")
        };
        let range = "{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }";
        let by = "by: /associated_ids/ASSET_ID, type: /type";
        let after = |sink: &str| if self.chained { format!("after: {sink}, ") } else { String::new() };
        let columns = "columns: { asset: /associated_ids/ASSET_ID, start: /time_bucket_start_ns }";
        let mut sinks = format!(
            "  store: {{ from: moments, sqlite: {{ path: moments.sqlite, table: moments, {columns} }} }}\n  \
             search: {{ from: moments, {}tantivy: {{ path: index, commit: 20ms }} }}\n",
            after("store")
        );
        sinks += "  counts: { from: labels, sqlite: { path: counts.sqlite, table: labels } }\n";
        if step >= self.files_from {
            sinks += &format!("  changes: {{ from: moments, {}file: {{ path: changes }} }}\n", after("search"));
        }
        if self.letters {
            sinks += "  letters: { from: dead_letters, sqlite: { path: letters.sqlite, table: letters } }\n";
        }
        format!(
            "name: crash\nstate: state\nepoch: {}ms\nsources:\n  annotations: {{ {source} }}\noperators:\n{upsert}  \
             moments: {{ fuse: {{ from: {from}, {by}, range: {range}, {} }} }}\n  \
             labels: {{ aggregate: {{ from: moments, by: {{ label: /source_annotations/*/label }}, compute: {{ moments: count }} }} }}\n\
             sinks:\n{sinks}",
            self.epoch_ms,
            self.input.rules.yaml(),
        )
    }

    fn write_pipeline(&self, dir: &Path, step: usize) {
        fs::write(dir.join("pipeline.yaml"), self.pipeline(step)).expect("a pipeline file");
    }
}

/// Runs a case in a new directory. Panics if anything is not as it must be.
pub fn run(seed: u64, dir: &Path, failpoints: &[String], tally: &mut Tally) {
    let mut case = Case::new(seed);
    let fingerprints = (case.input.files == 1).then(|| case.input.fingerprints());
    let mut watch = Watch::new(fingerprints, case.chained && !case.accidents, case.files_from == 0);
    let mut feed = Feed::new(&case.input, &dir.join("in"));
    let mut rng = case.rng.clone();
    for number in 0..case.steps {
        case.write_pipeline(dir, number);
        if case.accidents && number > 0 && rng.random_bool(0.3) {
            accident(dir, &mut rng, tally);
        }
        let step = Step::new(&mut rng, &case, number, failpoints);
        step.run(dir, &mut feed, &mut watch, &mut rng, tally);
        if rng.random_bool(0.2) {
            calm(dir, &["journal", "verify"]);
        }
    }
    tally.looks += watch.looks;
    tally.states += watch.states.len();
    feed.lines(usize::MAX);
    case.write_pipeline(dir, case.steps);
    let workers = rng.random_range(1..=3);
    backfill(dir, workers, tally);
    let contents = Contents::of(dir);
    contents.assert_documents(&oracle::documents(case.input.texts(), &case.input.rules));
    contents.assert_equal(&undisturbed(&mut case, dir, tally));

    // A further run has nothing to do.
    let before = standing(dir);
    backfill(dir, 1 + workers % 3, tally);
    assert_eq!(standing(dir), before, "a run without anything to do changes nothing");
    contents.assert_equal(&Contents::of(dir));
}

/// Something that a user does, or that happens to a user.
fn accident(dir: &Path, rng: &mut ChaCha8Rng, tally: &mut Tally) {
    let mut log = fs::OpenOptions::new().append(true).create(true).open(dir.join("steps.log")).expect("a file");
    tally.accidents += 1;
    if rng.random_bool(0.3) {
        writeln!(log, "the state is lost").expect("a line of the log");
        fs::remove_dir_all(dir.join("state")).ok();
        return;
    }
    let sink = *["store", "search"].choose(rng).expect("it is not empty");
    writeln!(log, "{sink} is reset").expect("a line of the log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowstone"));
    let output = command.args(["sinks", "reset", sink, "pipeline.yaml"]).current_dir(dir).output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    // A run that died early has registered no sink yet, or not even begun a journal.
    let is_unknown = output.status.code() == Some(1) && (said.contains(sink) || said.contains("there is no journal"));
    assert!(output.status.success() || is_unknown, "flowstone sinks reset {sink}: {said}");
}

/// What an uninterrupted run over the same input writes.
fn undisturbed(case: &mut Case, dir: &Path, tally: &mut Tally) -> Contents {
    let fresh = dir.join("undisturbed");
    fs::create_dir_all(fresh.join("in")).expect("a directory");
    for entry in fs::read_dir(dir.join("in")).expect("the input") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, fresh.join("in").join(path.file_name().expect("a file"))).expect("a copy");
    }
    case.write_pipeline(&fresh, case.steps);
    backfill(&fresh, 2, tally);
    Contents::of(&fresh)
}

fn backfill(dir: &Path, workers: usize, tally: &mut Tally) {
    let start = Start { dir, command: "backfill", processes: 1, workers, failpoints: None };
    tally.runs += 1;
    for ended in start.spawn().wait() {
        assert_eq!(ended.status.code(), Some(0), "a run that nobody disturbs: {}", ended.stderr);
    }
}

/// Runs a command that must succeed.
fn calm(dir: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowstone"));
    let output = command.args(args).arg("pipeline.yaml").current_dir(dir).output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "flowstone {}: {said}", args.join(" "));
}

/// The uppers of the stores, and the names of the files.
fn standing(dir: &Path) -> (Option<u64>, Option<u64>, Vec<PathBuf>) {
    let files = fs::read_dir(dir.join("changes")).expect("the file sink");
    let mut names: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    (sqlite_upper(&dir.join("moments.sqlite")), tantivy_upper(&dir.join("index")), names)
}
