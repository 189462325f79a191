//! Law L10: a store that stands still holds the others until the run gives it up, and the next run fills it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use flowstone::runtime::{Mode, Outcome};
use rusqlite::Connection;

use crate::archive::{SQLITE, annotation, following, pipeline, text};
use crate::oracle::{Rules, documents};
use crate::stopping::cluster;
use crate::support::{Documents, Place, Running, SECOND, eventually, spawn, sqlite, tantivy};
use crate::world::{assert_sinks, chain, entries, expected, filled, follow, lines, says, stop, until_begun};

/// The least that there is: a store has two seconds to commit.
const DETACH: &str = "on_lag: { detach: 2s }, ";

/// An ordinary stop that waits for a store takes twenty seconds.
const SOON: Duration = Duration::from_secs(10);

/// The sinks with this setting for the store.
fn with_on_lag(sinks: &str, on_lag: &str) -> String {
    let with = sinks.replace("store: { from: moments, ", &format!("store: {{ from: moments, {on_lag}"));
    assert_ne!(with, sinks);
    with
}

/// Nobody else writes to the store as long as this lives.
fn lock(place: &Place) -> Connection {
    let connection = Connection::open(place.path("moments.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn second(place: &Place) -> Documents {
    let rows = sqlite(&place.path("second.sqlite"), "moments");
    rows.into_iter().map(|(key, (document, _))| (key, document)).collect()
}

const SECOND_STORE: &str = "  second: { from: moments, sqlite: { path: second.sqlite, table: moments } }\n";

/// What a command says of the state.
fn said(place: &Place, args: &[&str]) -> String {
    let ran = place.flowstone(&[args, &["pipeline.yaml"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
}

/// Waits until the run has given up all these sinks.
fn until_detached(place: &Place, run: &mut Running, sinks: &[&str]) {
    let said_of: Vec<String> = sinks.iter().map(|sink| format!("sink {sink:?} is detached")).collect();
    run.wait_for_all(&said_of.iter().map(String::as_str).collect::<Vec<_>>());
    for command in [&["checkpoints"][..], &["offsets"], &["sinks", "ls"]] {
        let shown = said(place, command);
        for sink in sinks {
            assert!(shown.contains(&format!("sink {sink} is detached since ")), "{shown}");
        }
        let json: serde_json::Value = serde_json::from_str(&said(place, &[command, &["--json"]].concat())).unwrap();
        let detached: Vec<&str> = json["detached"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        assert_eq!(detached.len(), sinks.len(), "{detached:?}");
        assert!(sinks.iter().all(|sink| detached.contains(sink)), "{detached:?}");
    }
}

/// The store hangs; those that wait for it may not pass it, and the one that does not goes on.
#[test]
fn a_store_that_hangs_is_detached_with_those_that_wait_for_it_and_filled_by_the_next_run() {
    let all = lines(0, 150);
    let place = filled(&following("", &(with_on_lag(&chain(), DETACH) + SECOND_STORE)), &all[..60]);
    let mut run = follow(&place, "2", &expected(&all[..60]));
    let locked = lock(&place);
    place.append("in/a.ndjson", text(&all[60..90]));
    until_detached(&place, &mut run, &["store", "search", "changes"]);
    place.append("in/a.ndjson", text(&all[90..120]));
    eventually("the other store goes on", || second(&place) == expected(&all[..120]));
    assert_sinks(&place, &expected(&all[..60]));

    // The store answers, and what its thread had in hand comes too late.
    drop(locked);
    place.append("in/a.ndjson", text(&all[120..]));
    eventually("the other store goes on", || second(&place) == expected(&all));
    std::thread::sleep(Duration::from_millis(500));
    assert_sinks(&place, &expected(&all[..60]));

    let asked = Instant::now();
    let ran = stop(run);
    assert!(asked.elapsed() < SOON, "it waits for nobody");
    assert!(ran.stderr.contains("detached, since ") && ran.stderr.contains("store, search, changes"), "{}", ran.stderr);
    let summary = ran.summary();
    assert_eq!(summary["outcome"], "detached");
    let detached = |sink: &str| summary["sinks"][sink]["detached"].as_bool().unwrap();
    assert_eq!(["store", "search", "changes", "second"].map(detached), [true, true, true, false]);
    assert!(said(&place, &["checkpoints"]).contains("fill store, search, changes"));

    assert_eq!(place.backfill()["outcome"], "complete");
    assert_sinks(&place, &expected(&all));
    assert_eq!(second(&place), expected(&all));
    assert!(!said(&place, &["sinks", "ls"]).contains("detached"));
}

/// Annotations of one asset that all overlap: each line touches sixty documents, together two megabytes.
fn crowd(from: i64, count: i64) -> Vec<String> {
    let kinds = ["CHARACTER_SEARCH", "SCENE_SEARCH"];
    let line = |n: i64| {
        let kind = kinds[n as usize % 2];
        let line = annotation(&format!("n{}", n % 100), "a1", kind, n / 100 * 1_000, 60 * SECOND);
        line.replace("\"label\":\"", &format!("\"label\":\"{}", "x".repeat(100)))
    };
    (from..from + count).map(line).collect()
}

/// With a store that hangs, so much waits for it that nothing goes on: for as long as it hangs, or until it is given up.
#[test]
fn what_waits_for_a_store_that_hangs_is_given_back_when_it_is_detached() {
    let all = crowd(0, 130);
    let expected = documents(all.iter().map(String::as_str), &Rules::default());
    for on_lag in ["on_lag: pause, ", DETACH] {
        // What may be on its way into stores is a small share of it.
        let text_of = following("", &(with_on_lag(SQLITE, on_lag) + SECOND_STORE));
        let place = Place::with(&text_of.replace("name: test", "name: test\nmemory: 480MB"));
        place.write("in/a.ndjson", text(&all[..100]));
        place.backfill();
        let (filled, entries) = (place.rows(), entries(&place));
        let job = place.job(Mode::Run, 2);
        let (metrics, control) = (job.metrics(), job.control());
        let wait = spawn(job);
        until_begun(&place, entries);
        let locked = lock(&place);
        // One epoch each, so that each counts.
        for line in &all[100..] {
            place.append("in/a.ndjson", format!("{line}\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let is_detached = || metrics.sinks.iter().any(|(name, m)| name == "store" && m.detached.load(Relaxed));
        let waiting = || metrics.waiting_bytes.load(Relaxed);
        let asked;
        if on_lag == DETACH {
            eventually("it is detached, and the other goes on", || is_detached() && second(&place) == expected);
            eventually("nothing waits", || waiting() == 0);
            assert_eq!(place.rows(), filled);
            control.stop();
            asked = Instant::now();
            assert_eq!(wait().unwrap(), Outcome::Detached);
            drop(locked);
        } else {
            std::thread::sleep(Duration::from_secs(3));
            assert!(!is_detached() && waiting() > 0 && second(&place) != expected, "{} bytes wait", waiting());
            drop(locked);
            eventually("all goes on", || waiting() == 0 && place.rows() == expected && second(&place) == expected);
            control.stop();
            asked = Instant::now();
            assert_eq!(wait().unwrap(), Outcome::Complete);
        }
        assert!(asked.elapsed() < SOON);
        place.backfill();
        assert_sinks(&place, &expected);
    }
}

/// A crash at each end of the step from "it is recorded" to "it is dropped".
#[cfg(feature = "failpoints")]
#[test]
fn a_crash_while_a_sink_is_detached_leaves_it_to_be_resumed_or_filled() {
    let all = lines(0, 120);
    let sinks = with_on_lag(&chain(), DETACH) + SECOND_STORE;
    for is_recorded in [false, true] {
        let place = filled(&following("", &sinks), &all[..60]);
        let mut command = place.command(&["run", "pipeline.yaml", "--workers", "2"]);
        if is_recorded {
            command.env("FAILPOINTS", "sink-detach=panic");
        }
        let before = entries(&place);
        let run = Running::start(command);
        until_begun(&place, before);
        let locked = lock(&place);
        place.append("in/a.ndjson", text(&all[60..]));
        let ran = if is_recorded {
            run.wait()
        } else {
            eventually("the other store goes on", || second(&place) == expected(&all));
            run.signal("KILL");
            run.wait()
        };
        assert_eq!(ran.code, None, "{}", ran.stderr);
        let listed = said(&place, &["sinks", "ls"]);
        assert_eq!(listed.contains("sink store is detached"), is_recorded, "{listed}");
        drop(locked);
        place.backfill();
        assert_sinks(&place, &expected(&all));
        assert_eq!(second(&place), expected(&all));
    }
}

/// Its rows are never filled: they stay in the journal until the store has them.
#[test]
fn a_stream_that_was_detached_goes_on_where_it_was() {
    let source = "sources:\n  raw: { file: { paths: [\"in/*.ndjson\"], follow: true } }\n";
    let sink = |name: &str, on_lag: &str| {
        format!("  {name}: {{ from: raw, {on_lag}sqlite: {{ path: {name}.sqlite, table: lines }} }}\n")
    };
    let sinks = sink("moments", DETACH) + &sink("second", "") + &sink("third", "after: moments, ");
    let place = Place::with(&format!("name: test\nepoch: 20ms\n{source}sinks:\n{sinks}"));
    let line = |n: u32| format!("{{\"n\":{n}}}\n");
    let stored = |name: &str| -> Vec<String> {
        let mut rows: Vec<String> =
            sqlite(&place.path(&format!("{name}.sqlite")), "lines").into_values().map(|row| row.0).collect();
        rows.sort();
        rows
    };
    let all: Vec<String> = (0..40).map(|n| line(n).trim().to_owned()).collect();
    let sorted = |count: usize| {
        let mut lines = all[..count].to_vec();
        lines.sort();
        lines
    };
    place.write("in/a.ndjson", (0..10).map(line).collect::<String>());
    place.backfill();
    let mut run = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    place.append("in/a.ndjson", (10..20).map(line).collect::<String>());
    eventually("it runs", || ["moments", "second", "third"].iter().all(|name| stored(name) == sorted(20)));
    let locked = lock(&place);
    place.append("in/a.ndjson", (20..30).map(line).collect::<String>());
    until_detached(&place, &mut run, &["moments", "third"]);
    place.append("in/a.ndjson", (30..40).map(line).collect::<String>());
    eventually("the other one goes on", || stored("second") == sorted(40));
    assert_eq!(stored("third"), sorted(20));
    drop(locked);
    assert_eq!(stop(run).summary()["outcome"], "detached");
    let written = |summary: &serde_json::Value, sink: &str| summary["sinks"][sink]["upserts"].as_u64().unwrap();
    let summary = place.backfill();
    for name in ["moments", "second", "third"] {
        assert_eq!(stored(name), sorted(40), "{name}");
    }
    assert_eq!((written(&summary, "moments"), written(&summary, "third")), (20, 20), "what they had not, once");
}

/// Nobody asked it to stop: what it was to do it has not done.
#[cfg(feature = "failpoints")]
#[test]
fn a_backfill_that_had_to_detach_a_sink_fails_and_the_next_one_completes_it() {
    let all = lines(0, 60);
    for state in ["", "\nstate: none"] {
        let sinks = with_on_lag(SQLITE, DETACH);
        let place = Place::with(&pipeline("", &sinks).replace("name: test", &format!("name: test{state}")));
        place.write("in/a.ndjson", text(&all));
        let mut command = place.command(&["backfill", "pipeline.yaml", "--json", "--workers", "2"]);
        command.env("FAILPOINTS", "sink-before=1*sleep(60000)");
        let start = Instant::now();
        let ran = Running::start(command).wait();
        assert!(start.elapsed() < Duration::from_secs(30), "it does not wait for the thread");
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        says(&ran.stderr, &["not everything was written", "start again"]);
        let summary: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(summary["outcome"], "detached");
        assert_eq!(place.rows(), Documents::new());
        place.backfill();
        assert_eq!(place.rows(), expected(&all));
    }
}

#[test]
fn all_processes_of_a_run_hear_of_it() {
    let all = lines(0, 120);
    let place = Place::with(&following("", &(with_on_lag(&chain(), DETACH) + SECOND_STORE)));
    place.write("in/a.ndjson", text(&all[..60]));
    place.write("in/b.ndjson", "");
    let [mut first, mut other] = cluster(&place, "run");
    eventually("the fill", || place.rows() == expected(&all[..60]) && tantivy(&place.path("index")) == place.rows());
    let locked = lock(&place);
    place.append("in/a.ndjson", text(&all[60..90]));
    until_detached(&place, &mut first, &["store", "search", "changes"]);
    other.wait_for_all(&["sink \"store\" is detached", "sink \"changes\" is detached"]);
    place.append("in/a.ndjson", text(&all[90..]));
    eventually("the other store goes on", || second(&place) == expected(&all));
    let asked = Instant::now();
    other.signal("TERM");
    for run in [first, other] {
        let ran = run.wait();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    assert!(asked.elapsed() < SOON);
    drop(locked);
    place.backfill();
    assert_sinks(&place, &expected(&all));
}
