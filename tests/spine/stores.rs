//! Laws L6 and L13: a store is the one that the journal remembers, with everything in it that was written to it.

use std::fs;

use crate::archive::{SQLITE, pipeline, text};
use crate::support::{Place, tantivy};
use crate::world::{Copy, assert_sinks, bounded, expected, filled, lines, says};

/// What is below the place, apart from its input and its state.
const STORES: [(&str, &str); 3] = [("store", "moments.sqlite"), ("search", "index"), ("changes", "changes")];

fn remove(place: &Place, path: &str) {
    let path = place.path(path);
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

/// Refused, with the command that helps; which then does.
fn refused_until_reset(place: &Place, sink: &str, all: &[String]) {
    let said = place.refused(1);
    says(&said, &[&format!("{sink:?}"), &format!("sinks reset {sink}")]);
    let ran = place.flowstone(&["sinks", "reset", sink, "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    place.backfill();
    assert_sinks(place, &expected(all));
    place.backfill();
    assert_sinks(place, &expected(all));
}

#[test]
fn a_store_that_is_gone_is_refused_and_filled_after_a_reset() {
    let all = lines(0, 90);
    for (sink, path) in STORES {
        let place = filled(&bounded(), &all[..60]);
        remove(&place, path);
        place.append("in/a.ndjson", text(&all[60..]));
        refused_until_reset(&place, sink, &all);
    }
}

#[test]
fn an_older_copy_of_a_store_is_refused_and_filled_after_a_reset() {
    let all = lines(0, 120);
    let place = filled(&bounded(), &all[..60]);
    let sqlite = fs::read(place.path("moments.sqlite")).unwrap();
    let index = Copy::of(&place.path("index"));
    place.append("in/a.ndjson", text(&all[60..]));
    place.backfill();
    for file in ["moments.sqlite-wal", "moments.sqlite-shm"] {
        fs::remove_file(place.path(file)).ok();
    }
    place.write("moments.sqlite", sqlite);
    refused_until_reset(&place, "store", &all);
    index.put_back();
    refused_until_reset(&place, "search", &all);
}

#[test]
fn the_store_of_another_pipeline_is_refused() {
    let all = lines(0, 60);
    let (place, other) = (filled(&bounded(), &all), filled(&bounded(), &lines(60, 60)));
    fs::copy(other.path("moments.sqlite"), place.path("moments.sqlite")).unwrap();
    refused_until_reset(&place, "store", &all);
    remove(&place, "index");
    fs::rename(other.path("index"), place.path("index")).unwrap();
    refused_until_reset(&place, "search", &all);
}

/// A reset of a store that is all right writes it again, whole.
#[test]
fn a_reset_sink_is_filled_again_and_what_is_not_ours_is_swept() {
    let all = lines(0, 90);
    let place = filled(&bounded(), &all);
    let connection = rusqlite::Connection::open(place.path("moments.sqlite")).unwrap();
    connection.execute("INSERT INTO moments (key, document, epoch) VALUES ('[\"zz\",1]', '{}', 7)", ()).unwrap();
    connection.execute("UPDATE moments SET document = '{}' WHERE key LIKE '%a1%'", ()).unwrap();
    drop(connection);
    assert_ne!(place.rows(), expected(&all));
    let ran = place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    place.backfill();
    assert_sinks(&place, &expected(&all));
}

#[test]
fn a_sink_that_does_not_exist_can_not_be_reset() {
    let place = filled(&bounded(), &lines(0, 20));
    let ran = place.flowstone(&["sinks", "reset", "stor", "pipeline.yaml"]);
    assert!(ran.code == Some(1) || ran.code == Some(2), "{:?} {}", ran.code, ran.stderr);
    says(&ran.stderr, &["\"stor\""]);
}

#[test]
fn sinks_ls_says_where_each_sink_stands() {
    let place = filled(&bounded(), &lines(0, 20));
    let ran = place.flowstone(&["sinks", "ls", "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for (sink, _) in STORES {
        assert!(ran.stdout.contains(sink), "{}", ran.stdout);
    }
}

/// Crashes in the middle of a fill, and between the fill and its sweep.
#[cfg(feature = "failpoints")]
#[test]
fn a_fill_that_crashed_is_resumed_by_the_next_run() {
    let all = lines(0, 90);
    for failpoint in ["sink-before", "sink-mid", "sink-before-commit", "sink-sweep", "sink-after-commit"] {
        for (sink, path) in STORES {
            let place = filled(&bounded(), &all[..60]);
            remove(&place, path);
            let ran = place.flowstone(&["sinks", "reset", sink, "pipeline.yaml"]);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let mut command = place.command(&["backfill", "pipeline.yaml", "--workers", "1"]);
            command.env("FAILPOINTS", format!("{failpoint}=panic"));
            let ran = crate::support::Running::start(command).wait();
            // Not every store has a point there.
            assert!(ran.code.is_none() || ran.code == Some(0), "{failpoint}, {sink}: {:?} {}", ran.code, ran.stderr);
            place.append("in/a.ndjson", text(&all[60..]));
            place.backfill();
            assert_sinks(&place, &expected(&all));
        }
    }
}

/// The same for a run without a journal: every run fills everything.
#[test]
fn without_a_journal_every_run_fills_what_is_there() {
    let all = lines(0, 90);
    let place = Place::with(&bounded().replace("name: test", "name: test\nstate: none"));
    place.write("in/a.ndjson", text(&all));
    place.backfill();
    assert_sinks(&place, &expected(&all));
    place.write("in/a.ndjson", text(&all[..30]));
    place.backfill();
    assert_sinks(&place, &expected(&all[..30]));
    fs::remove_file(place.path("moments.sqlite")).unwrap();
    place.backfill();
    assert_sinks(&place, &expected(&all[..30]));
    assert!(!place.path("state/journal").exists() && !place.path("journal").exists());
}

/// Two tables of one file are two stores.
#[test]
fn two_tables_of_one_file_stand_for_themselves() {
    let all = lines(0, 90);
    let second = "  other: { from: moments, sqlite: { path: moments.sqlite, table: other } }\n";
    let place = Place::with(&pipeline("", &format!("{SQLITE}{second}")));
    place.write("in/a.ndjson", text(&all[..60]));
    place.backfill();
    let connection = rusqlite::Connection::open(place.path("moments.sqlite")).unwrap();
    connection.execute_batch("DROP TABLE other").unwrap();
    drop(connection);
    place.append("in/a.ndjson", text(&all[60..]));
    says(&place.refused(1), &["\"other\"", "sinks reset other"]);
    assert_eq!(place.flowstone(&["sinks", "reset", "other", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
    let other = crate::support::sqlite(&place.path("moments.sqlite"), "other");
    assert_eq!(other.into_iter().map(|(key, row)| (key, row.0)).collect::<crate::support::Documents>(), expected(&all));
    assert!(!place.path("index").exists() || tantivy(&place.path("index")).is_empty());
}
