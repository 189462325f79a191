//! Compaction under our feet: between a crash and the next run the source loses what later records have overwritten below
//! the sealed offset. The records come from memory, in a process of this program; one that is read again although it was
//! sealed is not the record that it was.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use flowstone::runtime::{Job, Mode};
use flowstone::source::memory::MemoryInput;
use flowstone_journal::Journal;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::failpoints::armed;
use crate::input::{Input, Line};
use crate::oracle::{self, Emit};
use crate::process::Group;
use crate::step::Tally;
use crate::support::{sqlite, tantivy};

const PARTITIONS: usize = 2;

/// What a compacted record is replaced by: a dead letter, if anybody reads it.
const GONE: &str = "compacted away";

/// The command that makes this program a run: `DIR WORKERS run|backfill`.
pub const CHILD: &str = "run-from-memory";

/// Runs the pipeline in a directory over the records of its log, in this process.
pub fn child(mut args: impl Iterator<Item = String>) -> ExitCode {
    flowstone::runtime::abort_on_panic();
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    let (dir, workers, mode) = (args.next().unwrap(), args.next().unwrap(), args.next().unwrap());
    let dir = Path::new(&dir);
    let mode = if mode == "run" { Mode::Run } else { Mode::Backfill };
    let input = MemoryInput::new(PARTITIONS);
    let records = read_log(dir);
    // A run gets the second half while it is under way.
    let at_once = if mode == Mode::Run { records.len() / 2 } else { records.len() };
    records[..at_once].iter().for_each(|record| input.push(record.file, record.text.as_bytes()));
    let loaded = flowstone::pipeline::load(&dir.join("pipeline.yaml")).unwrap();
    let job = Job::new(loaded.pipeline, &loaded.base, mode).with_workers(workers.parse().unwrap());
    let job = job.with_memory("annotations", input.clone());
    std::thread::spawn(move || {
        for (n, record) in records[at_once..].iter().enumerate() {
            input.push(record.file, record.text.as_bytes());
            if n % 7 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        input.close();
    });
    match job.run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}

/// Lines of `PARTITION RECORD`, in the order in which they were written.
fn write_log(dir: &Path, records: &[Line]) {
    let text: String = records.iter().map(|record| format!("{} {}\n", record.file, record.text)).collect();
    fs::write(dir.join("log"), text).unwrap();
}

fn read_log(dir: &Path) -> Vec<Line> {
    let line = |line: &str| {
        let (file, text) = line.split_once(' ').unwrap();
        Line { file: file.parse().unwrap(), text: text.to_owned() }
    };
    fs::read_to_string(dir.join("log")).unwrap().lines().map(line).collect()
}

/// Replaces what is sealed and overwritten by a later record, and sealed deletions, as a compacted topic loses them.
fn compact(records: &mut [Line], sealed: [u64; PARTITIONS]) -> usize {
    let (mut overwritten, mut lost) = (HashSet::new(), 0);
    let mut offsets: Vec<u64> =
        (0..PARTITIONS).map(|n| records.iter().filter(|r| r.file == n).count() as u64).collect();
    for record in records.iter_mut().rev() {
        offsets[record.file] -= 1;
        let is_sealed = offsets[record.file] < sealed[record.file];
        let parsed: Option<Value> = serde_json::from_str(&record.text).ok();
        let Some(key) = parsed.as_ref().and_then(|value| value["annotation_id"].as_str()) else {
            // What has no key is overwritten by nothing, but retention takes it.
            lost += usize::from(is_sealed);
            if is_sealed {
                record.text = GONE.to_owned();
            }
            continue;
        };
        let is_deletion = parsed.as_ref().is_some_and(|value| value["deleted"] == true);
        let has_later = !overwritten.insert((record.file, key.to_owned()));
        if is_sealed && (has_later || is_deletion) {
            record.text = GONE.to_owned();
            lost += 1;
        }
    }
    lost
}

/// How far the journal says that each partition was read.
fn sealed(dir: &Path) -> [u64; PARTITIONS] {
    let mut sealed = [0; PARTITIONS];
    let location = dir.join("state/journal");
    if !location.exists() {
        return sealed;
    }
    let state =
        Journal::open_to_read(location.to_str().unwrap()).and_then(|journal| journal.read()).expect("a journal");
    for source in state.iter().flat_map(|state| &state.sources) {
        for partition in &source.partitions {
            sealed[partition.name.parse::<usize>().expect("a number")] = partition.upper;
        }
    }
    sealed
}

fn pipeline(input: &Input, epoch_ms: u64) -> String {
    let range = "{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }";
    let by = "by: /associated_ids/ASSET_ID, type: /type";
    format!(
        "name: compacted\nstate: state\nepoch: {epoch_ms}ms\nsources:\n  annotations: {{ memory: {{}}, key: /annotation_id, \
         delete: /deleted }}\noperators:\n  moments: {{ fuse: {{ from: annotations, {by}, range: {range}, {} }} }}\nsinks:\n  \
         store: {{ from: moments, sqlite: {{ path: moments.sqlite, table: moments }} }}\n  \
         search: {{ from: moments, after: store, tantivy: {{ path: index, commit: 20ms }} }}\n",
        input.rules.yaml()
    )
}

fn spawn(dir: &Path, workers: usize, mode: &str, failpoint: Option<&str>) -> Group {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(CHILD).arg(dir).args([&workers.to_string(), mode]).env_remove("FAILPOINTS");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("FAILPOINTS", failpoint);
    }
    Group::start(dir, vec![command])
}

/// A case of its own. Panics if anything is not as it must be.
pub fn run(seed: u64, dir: &Path, failpoints: &[String], tally: &mut Tally) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let emit = *[Emit::Buckets, Emit::Runs, Emit::Segments].choose(&mut rng).expect("it is not empty");
    let rules = Input::rules(&mut rng, emit, false);
    let count = *[200, 500, 900].choose(&mut rng).expect("it is not empty");
    let input = Input::new(&mut rng, rules, PARTITIONS, count);
    fs::write(dir.join("pipeline.yaml"), pipeline(&input, rng.random_range(2..30))).expect("a pipeline file");
    let steps = rng.random_range(3..8);
    let (mut log, mut written): (Vec<Line>, usize) = (Vec::new(), 0);
    for _ in 0..steps {
        let more = rng.random_range(1..=2 * count / steps).min(count - written);
        log.extend_from_slice(&input.lines[written..written + more]);
        written += more;
        write_log(dir, &log);
        let mode = *["run", "backfill"].choose(&mut rng).expect("it is not empty");
        let name = failpoints.choose(&mut rng).filter(|_| rng.random_bool(0.6));
        let failpoint = name.map(|name| armed(name, *[1, 1, 3, 8].choose(&mut rng).expect("it is not empty")));
        let mut group = spawn(dir, rng.random_range(1..=3), mode, failpoint.as_deref());
        if !group.wait_for(Duration::from_millis(if name.is_some() { 10_000 } else { rng.random_range(40..500) })) {
            group.kill(0);
        }
        let ended = &group.wait()[0];
        let crashed = ended.killed() || name.is_some_and(|name| ended.failpoint(name));
        assert!(crashed || ended.status.code() == Some(0), "{:?}, {}", ended.status, ended.stderr);
        tally.runs += 1;
        tally.kills += usize::from(ended.killed());
        if let Some(name) = name {
            let counts = tally.failpoints.entry(name.clone()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(crashed);
        }
        tally.compacted += compact(&mut log, sealed(dir));
    }
    log.extend_from_slice(&input.lines[written..]);
    write_log(dir, &log);
    let ended = &spawn(dir, rng.random_range(1..=3), "backfill", None).wait()[0];
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    tally.runs += 1;
    let expected = oracle::documents(input.texts(), &input.rules);
    let store = sqlite(&dir.join("moments.sqlite"), "moments").into_iter().map(|(key, row)| (key, row.0)).collect();
    assert!(expected == store, "SQLite holds {} documents, {} are right", store.len(), expected.len());
    assert!(tantivy(&dir.join("index")) == expected, "Tantivy differs");
    assert_eq!(dead_letters(dir), bad_lines(&input), "dead letters");
}

fn dead_letters(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("state/dead-letters.ndjson")).unwrap_or_default();
    let payload = |line: &str| {
        let letter: Value = serde_json::from_str(line).expect("a letter");
        letter["payload"].as_str().expect("its payload").to_owned()
    };
    let mut letters: Vec<String> = text.lines().map(payload).collect();
    letters.sort();
    letters
}

fn bad_lines(input: &Input) -> Vec<String> {
    let bad = input.texts().filter(|line| !oracle::is_good(line, &input.rules));
    let mut bad: Vec<String> = bad.map(str::to_owned).collect();
    bad.sort();
    bad
}
