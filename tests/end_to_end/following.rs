//! `run`: input that grows while it is read, ordinary and impatient stops, and sinks that wait for each other.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use flowstone::runtime::metrics::read;
use flowstone::runtime::{Mode, Outcome};
use flowstone::source::memory::MemoryInput;
use rusqlite::Connection;
use serde_json::json;

use super::archive::{
    FILE, SQLITE, TANTIVY, annotation, deletion, following, from_source, joey, kitchen, pipeline, text,
};
use super::oracle::{Rules, documents};
use super::support::{
    Documents, Place, Running, SECOND, changes, eventually, folded, run, spawn, sqlite_upper, tantivy, tantivy_upper,
};

fn expected(lines: &[String]) -> Documents {
    documents(lines.iter().map(String::as_str), &Rules::default())
}

/// A run that follows `in/live.ndjson`, with Joey and the kitchen in it, and has written both.
fn started(pipeline: &str) -> (Place, Running) {
    let place = Place::with(pipeline);
    place.write("in/live.ndjson", text([joey(), kitchen()]));
    let run = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    eventually("the fill", || place.rows().len() == 4);
    (place, run)
}

#[test]
fn sinks_follow_a_growing_file_within_a_second_or_so() {
    let (place, mut run) = started(&following("", &format!("{SQLITE}{FILE}{TANTIVY}")));
    let mut lines = vec![joey(), kitchen()];
    let updates = [
        vec![annotation("text", "a7", "DIALOGUE_SEARCH", 7 * SECOND, 12 * SECOND)],
        vec![annotation("kitchen", "a7", "SCENE_SEARCH", 6 * SECOND, 10 * SECOND), deletion("nobody")],
        vec![annotation("Joey", "a8", "CHARACTER_SEARCH", 6 * SECOND, 10 * SECOND)],
        vec![deletion("text"), annotation("kitchen", "a8", "SCENE_SEARCH", 9 * SECOND, 12 * SECOND)],
        vec![deletion("Joey")],
        vec!["junk".to_owned(), joey(), kitchen()],
    ];
    for update in updates {
        lines.extend(update.clone());
        place.append("in/live.ndjson", text(update));
        let appended = Instant::now();
        eventually("an update", || place.rows() == expected(&lines));
        assert!(appended.elapsed() < Duration::from_secs(5), "{:?}", appended.elapsed());
    }
    // A line counts once it is whole, however its bytes come.
    let late = annotation("late", "a7", "DIALOGUE_SEARCH", 5 * SECOND, 6 * SECOND);
    let (head, tail) = late.split_at(40);
    place.append("in/live.ndjson", head);
    std::thread::sleep(Duration::from_millis(100));
    assert!(place.rows() == expected(&lines) && run.is_running());
    place.append("in/live.ndjson", format!("{tail}\n"));
    // And so does a file that was not there.
    place.write("in/new.ndjson", text([annotation("new", "a9", "SCENE_SEARCH", 0, SECOND)]));
    place.append("in/new.ndjson", text([annotation("other", "a9", "DIALOGUE_SEARCH", 0, SECOND)]));
    lines.extend([late, annotation("new", "a9", "SCENE_SEARCH", 0, SECOND)]);
    lines.push(annotation("other", "a9", "DIALOGUE_SEARCH", 0, SECOND));
    eventually("the new file", || place.rows() == expected(&lines));

    run.signal("TERM");
    let ran = run.wait();
    assert!(ran.stderr.contains("stopping"), "{}", ran.stderr);
    let summary = ran.summary();
    assert_eq!(summary["outcome"], "complete");
    assert_eq!(summary["tables"]["annotations"]["records"], lines.len());
    assert_eq!(place.rows(), expected(&lines));
    assert_eq!(tantivy(&place.path("index")), expected(&lines), "the drain commits");
    assert_eq!(folded(changes(&place.path("changes"))), expected(&lines));
    assert_eq!(place.dead_letters().len(), 1);
}

#[test]
fn a_stop_writes_everything_that_was_read() {
    // The epoch would not close by itself.
    let pipeline = from_source("memory: {}, key: /annotation_id, delete: /deleted", "", &format!("{SQLITE}{TANTIVY}"));
    let place = Place::with(&pipeline.replace("20ms", "1h"));
    let input = MemoryInput::new(1);
    input.push(0, joey());
    let job = place.job(Mode::Run, 2).with_memory("annotations", input.clone());
    let (control, metrics) = (job.control(), job.metrics());
    let wait = spawn(job);
    let records = |count| move || read(&metrics.tables[0].1.records) == count;
    eventually("the first record", records.clone()(1));
    input.push(0, kitchen());
    eventually("the second record", records(2));
    control.stop();
    assert_eq!(wait().unwrap(), Outcome::Complete);
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]));
    assert_eq!(tantivy(&place.path("index")), place.rows());
}

#[test]
fn both_signals_drain_and_exit_with_0() {
    for signal in ["TERM", "INT"] {
        let (place, run) = started(&following("", SQLITE));
        place.append("in/live.ndjson", text([deletion("Joey")]));
        eventually("the deletion", || place.rows().is_empty());
        run.signal(signal);
        let summary = run.wait().summary();
        assert_eq!(summary["outcome"], "complete", "{signal}");
        assert_eq!(summary["tables"]["annotations"]["deletions"], 1);
    }
}

/// A run ends by itself when nothing can follow.
#[test]
fn a_run_over_files_that_do_not_grow_ends() {
    let place = Place::with(&pipeline("", SQLITE));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    let summary = place.flowstone(&["run", "pipeline.yaml", "--json"]).summary();
    assert_eq!((&summary["outcome"], place.rows()), (&json!("complete"), expected(&[joey(), kitchen()])));
}

/// A backfill takes what is there of a file that may grow, also its unfinished last line, and ends.
#[test]
fn a_backfill_of_a_followed_file_ends_at_its_present_end() {
    let place = Place::with(&following("", SQLITE));
    place.write("in/live.ndjson", text([joey(), kitchen()]));
    let summary = place.backfill();
    assert_eq!((&summary["outcome"], place.rows()), (&json!("complete"), expected(&[joey(), kitchen()])));
}

#[test]
fn a_stop_while_reading_leaves_the_sinks_as_they_were() {
    ["TERM", "INT"].into_iter().for_each(stop_while_reading);
}

fn stop_while_reading(signal: &str) {
    let place = Place::with(&pipeline("", &format!("{SQLITE}{FILE}{TANTIVY}")));
    place.write("in/a.ndjson", text(["junk".to_owned(), joey(), kitchen()]));
    place.backfill();
    let state = |place: &Place| {
        let upper = (sqlite_upper(&place.path("moments.sqlite")), tantivy_upper(&place.path("index")));
        (place.rows(), tantivy(&place.path("index")), changes(&place.path("changes")), upper, place.dead_letters())
    };
    let before = state(&place);
    assert_eq!(before.0.len(), 4);

    // A pipe is an input that is never read to its end while somebody may write to it.
    place.remove("in/a.ndjson");
    let pipe = place.path("in/pipe.ndjson");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = place.start(&["backfill", "pipeline.yaml", "--json", "--workers", "2"]);
    let mut writer = OpenOptions::new().write(true).open(&pipe).unwrap();
    let many: Vec<String> = (0..2000)
        .map(|n| annotation(&format!("n{n}"), "a7", ["A", "B"][n as usize % 2], n * SECOND, (n + 5) * SECOND))
        .collect();
    // Larger than what a pipe holds: that it was written means that most of it was read.
    writer.write_all(text(many).as_bytes()).unwrap();
    run.signal(signal);
    let ran = run.wait();
    drop(writer);
    assert!(ran.stderr.contains("stopped before everything was read"), "{}", ran.stderr);
    assert_eq!(ran.summary()["outcome"], "nothing_written");
    assert!(state(&place) == before, "{signal}");
}

/// Keeps an SQLite file from being written until it is dropped.
fn locked(place: &Place) -> Connection {
    let connection = Connection::open(place.path("moments.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

#[test]
fn a_second_signal_exits_at_once_with_130_and_the_next_run_completes_it() {
    let (place, mut running) = started(&following("", SQLITE));
    let lock = locked(&place);
    place.append("in/live.ndjson", text([deletion("Joey")]));
    std::thread::sleep(Duration::from_millis(200));
    running.signal("TERM");
    running.wait_for("stopping; once more to stop at once");
    std::thread::sleep(Duration::from_millis(200));
    assert!(running.is_running(), "it waits for the sink");
    running.signal("INT");
    let ran = running.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""));
    drop(lock);
    assert_eq!(place.rows().len(), 4);
    assert_eq!(run(place.job(Mode::Backfill, 1)).unwrap(), Outcome::Complete);
    assert!(place.rows().is_empty());
}

#[test]
fn a_drain_takes_no_longer_than_it_may_and_says_what_is_missing() {
    let (place, mut run) = started(&following("", &format!("{SQLITE}{FILE}")).replace("epoch:", "drain: 1s\nepoch:"));
    let lock = locked(&place);
    place.append("in/live.ndjson", text([deletion("Joey")]));
    eventually("the deletion in the other sink", || folded(changes(&place.path("changes"))).is_empty());
    run.signal("TERM");
    let asked = Instant::now();
    run.wait_for("stopped before all was written to store: the next run completes it");
    let ran = run.wait();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(ran.summary()["outcome"], "not_drained");
    drop(lock);
    assert_eq!(place.rows().len(), 4);
    place.backfill();
    assert!(place.rows().is_empty());
}

const AFTER: &str = "  search: { from: moments, after: store, tantivy: { path: index, commit: 1ms } }\n";

#[test]
fn a_sink_that_waits_for_another_is_never_ahead_of_it() {
    let (place, run) = started(&following("", &format!("{AFTER}{SQLITE}")).replace("20ms", "5ms"));
    let (store, index) = (place.path("moments.sqlite"), place.path("index"));
    // First the one that must not be ahead: the other one only grows in between.
    let look = || {
        let (behind, ahead) = (tantivy_upper(&index), sqlite_upper(&store));
        assert!(behind <= ahead, "search is at {behind:?}, store at {ahead:?}");
        behind
    };
    let (mut seen, mut lengths) = (BTreeSet::new(), (3..8).cycle());
    eventually("many commits of the index", || {
        let length = lengths.next().unwrap() * SECOND;
        place.append("in/live.ndjson", text([annotation("late", "a7", "SCENE_SEARCH", 0, length)]));
        seen.extend((0..10).map(|_| look()));
        seen.len() > 6
    });

    // While the store can not be written, the index is not.
    let lock = locked(&place);
    eventually("the index is as far as the store", || tantivy_upper(&index) == sqlite_upper(&store));
    place.append("in/live.ndjson", text([deletion("Joey")]));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(look(), sqlite_upper(&store), "the store does not have it yet");
    assert!(!place.rows().is_empty() && tantivy(&index) == place.rows());
    drop(lock);
    eventually("the index follows", || tantivy(&index).is_empty());
    look();
    run.signal("TERM");
    assert_eq!(run.wait().summary()["outcome"], "complete");
}
