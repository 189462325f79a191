use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tantivy::Index;
use tantivy::schema::{Schema, TEXT};

use super::testing::{Made, SECOND, epoch, labelled, moments, spec, spoken, stored, upserts};
use super::*;
use crate::record::{Rejected, Row};
use crate::sink::{Change, Sweep, Writer};

fn keys(dir: &Path) -> Vec<String> {
    stored(dir).into_iter().map(|(key, ..)| key).collect()
}

fn writer(dir: &Path, commit: &str) -> Box<dyn Writer> {
    open("search", dir, &spec(commit)).unwrap().writer
}

/// The error of opening.
fn refusal(dir: &Path) -> SinkError {
    open("search", dir, &spec("1s")).err().expect("a refusal")
}

fn joey_and_kitchen() -> Vec<Row> {
    moments(&[labelled("CHARACTER", "Joey", 2, 8), labelled("SCENE", "kitchen", 4, 9)], 2)
}

#[test]
fn each_moment_is_one_document_with_its_key_and_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1s");
    epoch(&mut *sink, 5, upserts(joey_and_kitchen()), Sweep::Keep);
    sink.finish().unwrap();
    let stored = stored(dir.path());
    let starts: Vec<_> = stored.iter().map(|(key, ..)| key.as_str()).collect();
    let expected = ["[\"a7\",4000000000]", "[\"a7\",5000000000]", "[\"a7\",6000000000]", "[\"a7\",7000000000]"];
    assert_eq!(starts, expected);
    let mut document = Vec::new();
    joey_and_kitchen()[0].write_document(&mut document);
    assert_eq!(stored[0].1.as_bytes(), document, "as every sink renders it");
    assert!(stored.iter().all(|(.., epoch)| *epoch == 5));
}

#[test]
fn an_upsert_replaces_and_a_delete_removes_only_its_own_document() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1ns");
    epoch(&mut *sink, 1, upserts(joey_and_kitchen()), Sweep::Keep);
    let corrected = moments(&[labelled("CHARACTER", "Ross", 2, 8), labelled("SCENE", "kitchen", 4, 9)], 2);
    let changes = vec![Change::Upsert(corrected[1].clone()), Change::Delete(joey_and_kitchen()[2].clone())];
    epoch(&mut *sink, 2, changes, Sweep::Keep);
    let found: Vec<_> =
        stored(dir.path()).into_iter().map(|(key, json, epoch)| (key, json.contains("Ross"), epoch)).collect();
    let of = |second: u64| format!("[\"a7\",{second}000000000]");
    assert_eq!(found, [(of(4), false, 1), (of(5), true, 2), (of(7), false, 1)]);
}

#[test]
fn changes_of_several_epochs_in_one_commit_leave_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1h");
    let rows = |label: &str| moments(&[labelled("SCENE", label, 0, 2)], 1);
    // The first epoch is committed at once, the others wait for each other.
    epoch(&mut *sink, 1, upserts(rows("one")), Sweep::Keep);
    epoch(&mut *sink, 2, upserts(rows("two")), Sweep::Keep);
    epoch(&mut *sink, 3, upserts(rows("three")[..1].to_vec()), Sweep::Keep);
    epoch(&mut *sink, 4, vec![Change::Delete(rows("two")[1].clone())], Sweep::Keep);
    epoch(&mut *sink, 5, upserts(rows("five")[1..].to_vec()), Sweep::Keep);
    assert_eq!(sink.durable_upper(), 2);
    sink.finish().unwrap();
    let found: Vec<_> = stored(dir.path()).into_iter().map(|(_, json, epoch)| (json.contains("five"), epoch)).collect();
    assert_eq!(found, [(false, 3), (true, 5)]);
}

#[test]
fn a_sweep_deletes_what_an_earlier_epoch_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1s");
    epoch(&mut *sink, 1, upserts(joey_and_kitchen()), Sweep::Older);
    assert_eq!(keys(dir.path()).len(), 4);
    epoch(&mut *sink, 2, upserts(joey_and_kitchen()[..1].to_vec()), Sweep::Older);
    sink.finish().unwrap();
    assert_eq!(stored(dir.path()).iter().map(|(.., epoch)| *epoch).collect::<Vec<_>>(), [2]);

    // A fill with nothing in it, by the next run.
    let mut sink = writer(dir.path(), "1s");
    sink.close(3, Sweep::Older).unwrap();
    sink.finish().unwrap();
    assert_eq!(keys(dir.path()), [""; 0]);
}

#[test]
fn a_long_history_with_commits_sweeps_and_restarts_leaves_the_newest_of_each_key() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let dir = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
    let mut sink = writer(dir.path(), "1ns");
    for number in 1..=80 {
        if random.random_ratio(1, 16) {
            sink.finish().unwrap();
            drop(sink);
            let commit = if random.random_ratio(1, 2) { "1ns" } else { "1h" };
            sink = writer(dir.path(), commit);
        }
        let sweep = if random.random_ratio(1, 20) { Sweep::Older } else { Sweep::Keep };
        let seconds: BTreeSet<i64> = (0..random.random_range(0..6)).map(|_| random.random_range(0..12)).collect();
        if sweep == Sweep::Older {
            expected.clear();
        }
        let mut changes = Vec::new();
        for second in seconds {
            let row = moments(&[labelled("SCENE", "hall", second, second + 1)], 1).remove(0);
            if random.random_ratio(1, 3) {
                expected.remove(&second);
                changes.push(Change::Delete(row));
            } else {
                expected.insert(second, number);
                changes.push(Change::Upsert(row));
            }
        }
        epoch(&mut *sink, number, changes, sweep);
    }
    sink.finish().unwrap();
    let mut expected: Vec<_> =
        expected.into_iter().map(|(second, epoch)| (format!("[\"a7\",{}]", second * SECOND), epoch)).collect();
    expected.sort();
    assert_eq!(stored(dir.path()).into_iter().map(|(key, _, epoch)| (key, epoch)).collect::<Vec<_>>(), expected);
}

#[test]
fn an_epoch_is_visible_only_once_it_is_closed_and_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1ns");
    let rows = joey_and_kitchen();
    epoch(&mut *sink, 1, upserts(rows[..1].to_vec()), Sweep::Keep);
    assert_eq!((keys(dir.path()).len(), sink.durable_upper()), (1, 2));
    for row in &rows[1..] {
        sink.write(2, &mut vec![Change::Upsert(row.clone())]).unwrap();
        assert_eq!(sink.idle().unwrap(), None, "nothing to wait for: half an epoch is never committed");
        assert_eq!((keys(dir.path()).len(), sink.durable_upper()), (1, 2));
    }
    sink.close(2, Sweep::Keep).unwrap();
    assert_eq!((keys(dir.path()).len(), sink.durable_upper()), (4, 3));
}

#[test]
fn a_closed_epoch_waits_for_its_commit_at_most_as_long_as_set() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "200ms");
    let rows = joey_and_kitchen();
    epoch(&mut *sink, 1, upserts(rows[..1].to_vec()), Sweep::Keep);
    epoch(&mut *sink, 2, upserts(rows[1..].to_vec()), Sweep::Keep);
    while let Some(wait) = sink.idle().unwrap() {
        assert!(wait <= Duration::from_millis(200));
        assert_eq!(sink.durable_upper(), 2);
        std::thread::sleep(wait);
    }
    assert_eq!((keys(dir.path()).len(), sink.durable_upper()), (4, 3));
}

#[test]
fn a_run_that_stops_in_an_epoch_leaves_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    for finished in [false, true] {
        let mut sink = writer(dir.path(), "1h");
        let above = open("search", dir.path(), &spec("1s")).err().map(|_| sink.durable_upper()).unwrap();
        epoch(&mut *sink, above + 1, upserts(joey_and_kitchen()), Sweep::Keep);
        let upper = sink.durable_upper();
        assert_eq!(upper, above + 2);
        sink.write(above + 2, &mut upserts(moments(&[spoken("half", 0, 9)], 1))).unwrap();
        if finished {
            sink.finish().unwrap();
        }
        drop(sink);
        assert_eq!(keys(dir.path()).len(), 4);
        assert_eq!(open("search", dir.path(), &spec("1s")).unwrap().above, upper);
    }
}

#[test]
fn a_reopened_index_is_the_same_store_with_its_upper() {
    let dir = tempfile::tempdir().unwrap();
    let payload = || Index::open_in_dir(dir.path()).unwrap().load_metas().unwrap().payload.unwrap();
    let store = |payload: String| serde_json::from_str::<serde_json::Value>(&payload).unwrap()["store"].clone();
    let opened = open("search", dir.path(), &spec("1s")).unwrap();
    assert_eq!(opened.above, 0, "a new index holds no epoch");
    let created = store(payload());
    let mut sink = opened.writer;
    epoch(&mut *sink, 41, upserts(joey_and_kitchen()), Sweep::Keep);
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(open("search", dir.path(), &spec("1s")).unwrap().above, 42);
    assert_eq!(store(payload()), created);
    let other = tempfile::tempdir().unwrap();
    drop(writer(other.path(), "1s"));
    let payload = Index::open_in_dir(other.path()).unwrap().load_metas().unwrap().payload.unwrap();
    assert_ne!(store(payload), created, "each store has an id of its own");
}

#[test]
fn an_index_with_another_schema_is_refused_with_the_difference() {
    let foreign = |name: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = Schema::builder();
        builder.add_text_field(name, TEXT);
        Index::create_in_dir(dir.path(), builder.build()).unwrap();
        dir
    };
    for (name, difference) in [("title", "no field \"key\""), ("key", "field \"key\" of its schema has other options")]
    {
        let dir = foreign(name);
        let error = refusal(dir.path());
        assert!(matches!(error, SinkError::Mismatch { .. }) && error.to_string().contains(difference), "{error}");
    }
}

#[test]
fn a_directory_with_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("holiday.jpg"), "pixels").unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, SinkError::Mismatch { .. }) && error.to_string().contains("holiday.jpg"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let file = dir.path().join("holiday.jpg");
    assert!(matches!(refusal(&file), SinkError::Store { action: "open", .. }));
}

#[test]
fn commits_of_somebody_else_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create_in_dir(dir.path(), schema::schema()).unwrap();
    index.tokenizers().register(words::ANALYZER, words::TypedWords::default());
    let mut writer: tantivy::IndexWriter = index.writer_with_num_threads(1, 20_000_000).unwrap();
    let mut prepared = writer.prepare_commit().unwrap();
    prepared.set_payload("theirs");
    prepared.commit().unwrap();
    drop(writer);
    let error = refusal(dir.path());
    assert!(matches!(error, SinkError::Mismatch { .. }) && error.to_string().contains("\"theirs\""), "{error}");
}

#[test]
fn a_second_writer_is_refused_while_the_first_one_lives() {
    let dir = tempfile::tempdir().unwrap();
    let first = writer(dir.path(), "1s");
    let SinkError::Store { source, .. } = refusal(dir.path()) else { panic!("another error was expected") };
    assert_eq!(source.to_string(), "another process is writing to it; stop that one first");
    drop(first);
    assert_eq!(open("search", dir.path(), &spec("1s")).unwrap().above, 0);
}

#[test]
fn a_store_knows_its_identity_and_its_upper() {
    let dir = tempfile::tempdir().unwrap();
    let state = || open("search", dir.path(), &spec("1ns")).unwrap().store.unwrap();
    let new = state();
    assert_eq!(new.upper, 0);
    let mut sink = writer(dir.path(), "1ns");
    sink.write(7, &mut upserts(joey_and_kitchen())).unwrap();
    drop(sink);
    assert_eq!(state(), new, "an unfinished fill is not in it");
    // It starts again, at the same epoch.
    let mut sink = writer(dir.path(), "1ns");
    epoch(&mut *sink, 7, upserts(joey_and_kitchen()), Sweep::Older);
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(state(), StoreState { upper: 8, ..new.clone() });
    assert_eq!(keys(dir.path()).len(), 4);
    std::fs::remove_dir_all(dir.path()).unwrap();
    let anew = state();
    assert_ne!(anew.id, new.id);
    assert_eq!(anew.upper, 0);
}

#[test]
fn a_directory_that_is_removed_in_a_run_is_an_error_and_the_next_run_makes_it_anew() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut sink = writer(&dir, "1ns");
    epoch(&mut *sink, 1, upserts(joey_and_kitchen()), Sweep::Older);
    std::fs::remove_dir_all(&dir).unwrap();
    let written = sink.write(2, &mut upserts(joey_and_kitchen()));
    let error = written.and_then(|()| sink.close(2, Sweep::Keep)).expect_err("it is gone");
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("removed or moved while it was in use"), "{error}: {said}");
    assert_eq!(sink.durable_upper(), 2, "what could not be committed does not count");
    drop(sink);
    let mut sink = writer(&dir, "1ns");
    epoch(&mut *sink, 3, upserts(joey_and_kitchen()), Sweep::Older);
    sink.finish().unwrap();
    assert_eq!(keys(&dir).len(), 4);
}

#[test]
fn rows_that_are_no_moments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1s");
    let row =
        Row::Rejected(std::sync::Arc::new(Rejected { key: crate::record::Key::One(1.into()), reason: "no".into() }));
    let error = sink.write(1, &mut vec![Change::Upsert(row)]).unwrap_err();
    assert!(matches!(error, SinkError::Store { action: "write to", .. }), "{error}");
}

#[test]
fn a_key_that_is_too_long_for_a_term_is_replaced_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1ns");
    let asset = "x".repeat(100_000);
    let row = |label: &str| moments(&[labelled("SCENE", label, 0, 1).on(asset.as_str())], 1);
    epoch(&mut *sink, 1, upserts(row("one")), Sweep::Keep);
    epoch(&mut *sink, 2, upserts(row("two")), Sweep::Keep);
    assert_eq!(stored(dir.path()).len(), 1);
    epoch(&mut *sink, 3, vec![Change::Delete(row("two").remove(0))], Sweep::Keep);
    assert_eq!(stored(dir.path()).len(), 0);
}

#[test]
fn far_more_than_fits_the_queue_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = writer(dir.path(), "1s");
    let note = Made { members: format!(r#""note":"{}""#, "-".repeat(1 << 20)), ..labelled("SCENE", "", 0, 50) };
    let rows = moments(&[note], 1);
    epoch(&mut *sink, 1, upserts(rows), Sweep::Older);
    sink.finish().unwrap();
    assert_eq!(keys(dir.path()).len(), 50);
}
