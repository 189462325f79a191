//! Sinks that are killed at each failpoint, in a process of their own; the next run goes on from what it finds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Input, Probe};

use super::file::tests::ranges::fold;
use super::finals::FinalSince;
use super::gauge::Gauges;
use super::shell::{Placement, Shell, SinkProgress, write};
use super::tantivy::testing::{labelled, moments, spec, stored, upserts};
use super::{Change, Opened, Start, Sweep};

const LIMIT: Duration = Duration::from_secs(60);

/// An earlier run's fill, part of which the sweep of the next one has to delete.
const EARLIER: u64 = 5;
const FILL: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Tantivy,
    File,
    Letters,
}

const KINDS: [Kind; 4] = [Kind::Sqlite, Kind::Tantivy, Kind::File, Kind::Letters];

impl Kind {
    fn open(self, dir: &Path, mark: Option<&str>) -> Opened {
        let path = self.path(dir);
        let opened = match self {
            Kind::Sqlite => {
                let sqlite = serde_json::from_str(r#"{"path":"unused","table":"moments"}"#).unwrap();
                super::sqlite::open("crashing", &path, &sqlite, None)
            }
            Kind::Tantivy => super::tantivy::open("crashing", &path, &spec("1ns")),
            Kind::File => super::file::open("crashing", &path),
            Kind::Letters => super::file::open_documents(&path, mark),
        };
        opened.unwrap()
    }

    fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{self:?}"))
    }

    /// Keys and documents; of the letters the lines, each with its number.
    fn content(self, dir: &Path) -> BTreeMap<String, String> {
        let path = self.path(dir);
        match self {
            Kind::Sqlite => {
                let reader = rusqlite::Connection::open(path).unwrap();
                let mut rows = reader.prepare("SELECT key, document FROM moments").unwrap();
                let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            Kind::Tantivy => {
                let found: Vec<_> = stored(&path).into_iter().map(|(key, document, _)| (key, document)).collect();
                let count = found.len();
                let content: BTreeMap<_, _> = found.into_iter().collect();
                assert_eq!(content.len(), count, "one document a key");
                content
            }
            Kind::File => fold(&path),
            Kind::Letters => {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().enumerate().map(|(n, line)| (format!("{n:04}"), line.to_owned())).collect()
            }
        }
    }
}

/// The epochs of a run, each in two buffers.
fn epochs() -> BTreeMap<u64, [Vec<Change>; 2]> {
    let rows = |label: &str, from, to| moments(&[labelled("SCENE", label, from, to)], 1);
    let deletions = rows("fill", 10, 12).into_iter().map(Change::Delete).collect();
    BTreeMap::from([
        (FILL, [upserts(rows("fill", 5, 15)), upserts(rows("fill", 15, 25))]),
        (20, [upserts(rows("two", 5, 8)), deletions]),
        (30, [upserts(rows("three", 10, 11)), upserts(rows("three", 24, 26))]),
    ])
}

/// What a run remembers of a sink that does not do so itself.
fn recorded(dir: &Path) -> (u64, Option<String>) {
    let text = std::fs::read_to_string(dir.join("recorded")).unwrap_or_else(|_| "[0,\"0\"]".to_owned());
    serde_json::from_str(&text).unwrap()
}

fn record(dir: &Path, state: &(u64, Option<String>)) {
    let draft = dir.join("recorded.new");
    std::fs::write(&draft, serde_json::to_string(state).unwrap()).unwrap();
    std::fs::rename(draft, dir.join("recorded")).unwrap();
}

/// A whole run, as far as it comes.
fn run(kind: Kind, dir: &Path) {
    let (recorded_upper, mark) = recorded(dir);
    let opened = kind.open(dir, mark.as_deref());
    let upper = opened.store.as_ref().map_or(recorded_upper, |store| store.upper);
    let start = match kind {
        Kind::Letters => Start::Stream { from: upper },
        _ if upper > FILL => Start::Resume { from: upper },
        _ => Start::Fill { at: FILL },
    };
    let (dir, writer) = (dir.to_owned(), Mutex::new(opened.writer));
    timely::execute_directly(move |worker| {
        let progress = Arc::new(SinkProgress::default());
        let shell = Shell {
            name: "crashing".to_owned(),
            start,
            finals: FinalSince::default(),
            patience: None,
            gauges: Gauges::without_limits(),
            progress: progress.clone(),
            metrics: Arc::default(),
            on_error: Box::new(|error| panic!("{error}")),
        };
        let (mut input, done) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, changes) = scope.new_input::<Vec<Change>>();
            let writer = writer.into_inner().unwrap();
            let written = write(changes, empty(scope), None, shell, Placement::Single(Some(writer)));
            (input, written.settled.probe().0)
        });
        // As a gate would: what the store has it does not get again.
        for (epoch, buffers) in epochs().into_iter().filter(|(epoch, _)| *epoch >= upper) {
            input.advance_to(epoch);
            for mut buffer in buffers {
                input.send_batch(&mut buffer);
                input.flush();
            }
        }
        input.close();
        let start = Instant::now();
        while !done.done() {
            assert!(start.elapsed() < LIMIT);
            worker.step_or_park(Some(Duration::from_millis(5)));
            let frontier = done.with_frontier(|frontier| frontier.first().copied());
            record(&dir, &progress.recordable(frontier.unwrap_or(0)));
        }
    });
}

/// The process that is killed at the so-manieth time that it comes to a failpoint.
#[test]
#[ignore = "a part of the test below, which starts it"]
fn child() {
    let var = |name: &str| std::env::var(name).expect("set by the parent");
    let (point, dir) = (var("CRASH_POINT"), PathBuf::from(var("CRASH_DIR")));
    let kind = KINDS[var("CRASH_KIND").parse::<usize>().unwrap()];
    let left = AtomicU64::new(var("CRASH_AT").parse().unwrap());
    let crash = move || {
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    };
    fail::cfg_callback(point, crash).unwrap();
    fail::cfg("sink-jobs", "return").unwrap();
    run(kind, &dir);
}

/// Whether the process was killed.
fn crashes(kind: usize, point: &str, at: u64, dir: &Path) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sink::crashes::child", "--ignored"]);
    child.env("CRASH_POINT", point).env("CRASH_DIR", dir).env("CRASH_AT", at.to_string());
    child.env("CRASH_KIND", kind.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = child.status().unwrap();
    assert!(status.success() || status.code().is_none(), "it ends well or is killed: {status}");
    !status.success()
}

/// The content as an earlier run has left it.
fn prepare(kind: Kind, dir: &Path) {
    if kind != Kind::Letters {
        let mut writer = kind.open(dir, None).writer;
        let earlier = moments(&[labelled("SCENE", "old", 0, 10)], 1);
        super::testing::epoch(&mut *writer, EARLIER, &upserts(earlier), Sweep::Older);
        writer.finish().unwrap();
    }
}

#[test]
fn after_a_crash_at_any_point_the_next_run_makes_what_an_uninterrupted_one_makes() {
    let points = ["sink-before", "sink-mid", "sink-before-commit", "sink-after-commit", "sink-sweep"];
    for (number, kind) in KINDS.into_iter().enumerate() {
        let uninterrupted = tempfile::tempdir().unwrap();
        prepare(kind, uninterrupted.path());
        run(kind, uninterrupted.path());
        let expected = kind.content(uninterrupted.path());
        assert!(expected.len() >= 19, "{kind:?}: {}", expected.len());
        for point in points {
            // Letters are never filled.
            let exists = (kind, point) != (Kind::Letters, "sink-sweep");
            for at in 1..=3 {
                let dir = tempfile::tempdir().unwrap();
                prepare(kind, dir.path());
                let crashed = crashes(number, point, at, dir.path());
                assert!(crashed || at > 1 || !exists, "{kind:?} comes to {point}");
                run(kind, dir.path());
                assert_eq!(kind.content(dir.path()), expected, "{kind:?} after {point} the {at}. time");
            }
        }
    }
}
