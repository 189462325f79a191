//! The commands that look at a pipeline's state, and the one that has a sink filled again.

use std::fs;

use serde_json::Value;

use super::archive::{
    FILE, SQLITE, TANTIVY, annotation, deletion, following, from_source, joey, kitchen, pipeline, text,
};
use super::oracle::{Rules, documents};
use super::support::{Documents, Place, Ran, SECOND, changes, eventually, folded, tantivy};

/// A few annotations of two assets, with a correction and a deletion.
fn lines() -> Vec<String> {
    let other = |id: &str, from: i64| annotation(id, "a8", "SCENE_SEARCH", from * SECOND, (from + 4) * SECOND);
    let actor = annotation("Monica", "a8", "CHARACTER_SEARCH", 3 * SECOND, 11 * SECOND);
    vec![joey(), kitchen(), actor, other("hall", 1), other("hall", 6), other("cellar", 9), deletion("cellar")]
}

fn more() -> Vec<String> {
    let cook = annotation("cook", "a7", "ACTION_SEARCH", SECOND, 5 * SECOND);
    vec![deletion("kitchen"), cook, annotation("night", "a8", "SHOT_SEARCH", 0, 7 * SECOND)]
}

fn expected(lines: &[String]) -> Documents {
    documents(lines.iter().map(String::as_str), &Rules::default())
}

/// A place whose sinks hold what [`lines`] give.
fn filled() -> Place {
    let place = Place::with(&pipeline("", &format!("{SQLITE}{TANTIVY}{FILE}")));
    place.write("in/a.ndjson", text(lines()));
    place.backfill();
    assert_holds(&place, &lines());
    place
}

#[track_caller]
fn assert_holds(place: &Place, lines: &[String]) {
    let expected = expected(lines);
    assert!(!expected.is_empty());
    assert_eq!(place.rows(), expected, "SQLite");
    assert_eq!(tantivy(&place.path("index")), expected, "Tantivy");
    assert_eq!(folded(changes(&place.path("changes"))), expected, "files");
}

fn json(place: &Place, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["pipeline.yaml", "--json"]);
    place.flowstone(&all).summary()
}

#[track_caller]
fn failed(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.starts_with("error: ") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in {:?}", ran.stderr);
    }
}

/// Removes the SQLite file and what belongs to it.
fn remove_store(place: &Place) {
    place.remove("moments.sqlite");
    for beside in ["moments.sqlite-wal", "moments.sqlite-shm"] {
        fs::remove_file(place.path(beside)).ok();
    }
}

/// Every file below the state directory, and its bytes.
fn contents(place: &Place) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![place.path("state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_store_that_was_removed_is_refused_and_right_again_after_a_reset() {
    let place = filled();
    remove_store(&place);
    place.append("in/a.ndjson", text(more()));
    let said = place.refused(1);
    assert!(said.contains("sink \"store\"") && said.contains("`flowstone sinks reset store PIPELINE.yaml`"), "{said}");
    let ran = place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("sink \"store\" is reset"), "{}", ran.stdout);
    let summary = place.backfill();
    assert_eq!(summary["tables"]["annotations"]["records"], 3, "nothing is read again: {summary}");
    assert_holds(&place, &[lines(), more()].concat());
}

#[test]
fn an_older_copy_of_a_store_is_refused_and_right_again_after_a_reset() {
    let place = filled();
    let copy = fs::read(place.path("moments.sqlite")).unwrap();
    place.append("in/a.ndjson", text(more()));
    place.backfill();
    remove_store(&place);
    place.write("moments.sqlite", copy);
    assert_eq!(place.rows(), expected(&lines()), "the copy is whole");
    let said = place.refused(1);
    assert!(said.contains("sink \"store\"") && said.contains("sinks reset store"), "{said}");
    let answer = json(&place, &["sinks", "reset", "store"]);
    assert_eq!((&answer["sink"], &answer["reset"]), (&"store".into(), &true.into()));
    place.backfill();
    assert_holds(&place, &[lines(), more()].concat());
    let upserts = &place.backfill()["sinks"]["store"]["upserts"];
    assert_eq!(*upserts, 0, "it is filled once");
}

#[test]
fn a_reset_takes_the_journal_from_a_run_that_goes_on() {
    let place = Place::with(&following("", SQLITE));
    place.write("in/a.ndjson", text(lines()));
    let mut run = place.start(&["run", "pipeline.yaml", "--workers", "1"]);
    eventually("it is filled", || place.rows() == expected(&lines()));
    let ran = place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("lost the journal"), "{}", ran.stderr);
    place.append("in/a.ndjson", text(more()));
    eventually("the run stops", || !run.is_running());
    failed(&run.wait(), 1, &["another run has taken over the journal"]);
    place.backfill();
    assert_eq!(place.rows(), expected(&[lines(), more()].concat()));
}

#[test]
fn what_can_not_be_reset_is_refused_with_the_reason_and_changes_nothing() {
    let sinks =
        format!("{SQLITE}  letters: {{ from: dead_letters, sqlite: {{ path: letters.sqlite, table: letters }} }}\n");
    let place = Place::with(&pipeline("", &sinks));
    place.write("in/a.ndjson", text(lines()));
    place.backfill();
    let before = contents(&place);
    for (name, parts) in [
        ("stoer", &["no sink \"stoer\"", "did you mean \"store\"?"][..]),
        ("annotations", &["no sink \"annotations\"", "expected one of store, letters, dead_letters"]),
        ("dead_letters", &["sink \"dead_letters\"", "can not be filled again", "dead letters"]),
        ("letters", &["sink \"letters\"", "only ever added"]),
    ] {
        failed(&place.flowstone(&["sinks", "reset", name, "pipeline.yaml"]), 2, parts);
    }
    assert!(contents(&place) == before, "the journal was written");
}

/// The way out that the refusals name leads out.
#[test]
fn a_store_of_dead_letters_that_is_gone_begins_anew_after_a_run_without_it() {
    let letters = "  letters: { from: dead_letters, sqlite: { path: letters.sqlite, table: letters } }\n";
    let place = Place::with(&pipeline("", &format!("{SQLITE}{letters}")));
    place.write("in/a.ndjson", text([lines(), vec!["junk".to_owned()]].concat()));
    place.backfill();
    let held = || super::support::sqlite(&place.path("letters.sqlite"), "letters").len();
    assert_eq!(held(), 1);
    place.remove("letters.sqlite");
    let said = place.refused(1);
    assert!(said.contains("sink \"letters\"") && said.contains("taken out of the pipeline file"), "{said}");
    assert!(!said.contains("sinks reset"), "it would be refused: {said}");
    place.write("pipeline.yaml", pipeline("", SQLITE));
    place.backfill();
    place.write("pipeline.yaml", pipeline("", &format!("{SQLITE}{letters}")));
    place.append("in/a.ndjson", "more junk\n");
    place.backfill();
    assert_eq!((held(), place.rows()), (1, expected(&lines())));
}

#[test]
fn commands_that_only_look_write_nothing() {
    let place = filled();
    let before = contents(&place);
    for args in [
        &["sinks", "ls"][..],
        &["offsets"],
        &["checkpoints"],
        &["journal", "ls"],
        &["journal", "show"],
        &["journal", "show", "0"],
        &["journal", "verify"],
    ] {
        let plain = place.flowstone(&[args, &["pipeline.yaml"]].concat());
        assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(!plain.stdout.trim().is_empty(), "{args:?}");
        assert!(json(&place, args).is_object(), "{args:?}");
    }
    assert!(contents(&place) == before, "a command that looks has written");
}

#[test]
fn without_a_state_there_is_nothing_to_look_at() {
    let place = Place::with(&pipeline("", SQLITE));
    let text = fs::read_to_string(place.path("pipeline.yaml")).unwrap();
    place.write("none.yaml", format!("state: none\n{text}"));
    for args in
        [&["sinks", "ls"][..], &["sinks", "reset", "store"], &["offsets"], &["checkpoints"], &["journal", "verify"]]
    {
        failed(
            &place.flowstone(&[args, &["pipeline.yaml"]].concat()),
            1,
            &["no journal", "state/journal", "the first run"],
        );
        failed(&place.flowstone(&[args, &["none.yaml"]].concat()), 2, &["`state: none`"]);
        let ran = place.flowstone(args);
        assert!(ran.code == Some(2) && ran.stderr.contains("PIPELINE.yaml"), "{}", ran.stderr);
    }
    assert!(!place.path("state").exists(), "looking makes nothing");
}

#[test]
fn sinks_ls_says_who_is_behind() {
    let place = filled();
    let all = json(&place, &["sinks", "ls"]);
    for sink in ["store", "search", "changes"] {
        let line = &all["sinks"][sink];
        assert_eq!(
            (&line["standing"], &line["epochs_behind"], &line["behind_ms"]),
            (&"upper".into(), &0.into(), &0.into())
        );
        assert_eq!(line["epoch"].as_u64().unwrap(), all["sealed"].as_u64().unwrap() + 1, "{all:#}");
    }
    assert!(all["sinks"]["store"]["store"].is_string(), "{all:#}");
    assert_eq!(all["sinks"]["dead_letters"]["standing"], "upper");

    // The store is written and its run ends before that is recorded; the journal only knows that it may be behind.
    place.append("in/a.ndjson", text(more()));
    let mut command = place.command(&["backfill", "pipeline.yaml", "--workers", "1"]);
    command.env("FAILPOINTS", "sink-before-commit=panic");
    let ran = super::support::Running::start(command).wait();
    assert!(ran.code.is_none(), "it did not crash: {}", ran.stderr);
    let all = json(&place, &["sinks", "ls"]);
    assert_eq!(all["sinks"]["store"]["epochs_behind"], 1, "{all:#}");
    assert!(all["sinks"]["store"]["behind_ms"].as_u64().unwrap() > 0, "{all:#}");
    let ran = place.flowstone(&["sinks", "ls", "pipeline.yaml"]);
    let line = ran.stdout.lines().find(|line| line.trim_start().starts_with("store ")).unwrap();
    assert!(line.contains("has all before"), "{line}");

    let restart = &json(&place, &["checkpoints"])["restart"];
    assert_eq!((&restart["replay_epochs"], &restart["replay_changes"]), (&1.into(), &3.into()), "{restart:#}");
    assert_eq!(restart["sinks"]["store"], "goes_on");
    place.backfill();
    assert_holds(&place, &[lines(), more()].concat());
    let restart = &json(&place, &["checkpoints"])["restart"];
    assert_eq!(restart["replay_epochs"], 0, "{restart:#}");
}

#[test]
fn offsets_say_how_far_each_file_is_read_and_how_much_is_left() {
    let place = filled();
    let length = fs::metadata(place.path("in/a.ndjson")).unwrap().len();
    let file = |place: &Place| json(place, &["offsets"])["sources"]["annotations"]["in/a.ndjson"].clone();
    let now = file(&place);
    assert_eq!((&now["offset"], &now["behind_bytes"], &now["ended"]), (&length.into(), &0.into(), &true.into()));
    place.append("in/a.ndjson", text(more()));
    let added = fs::metadata(place.path("in/a.ndjson")).unwrap().len() - length;
    let now = file(&place);
    assert_eq!((&now["offset"], &now["behind_bytes"]), (&length.into(), &added.into()));
    place.backfill();
    assert_eq!(file(&place)["behind_bytes"], 0);
    let ran = place.flowstone(&["offsets", "pipeline.yaml"]);
    let words: Vec<&str> =
        ran.stdout.lines().find(|line| line.contains("in/a.ndjson")).unwrap().split_whitespace().collect();
    assert_eq!(words[0], "annotations");
    assert_eq!(words[2].replace(',', ""), (length + added).to_string());
}

#[test]
fn checkpoints_foretell_what_the_next_run_does() {
    let place = filled();
    let restart = || json(&place, &["checkpoints"])["restart"].clone();
    assert_eq!((&restart()["catches_up"], &restart()["refused"]), (&false.into(), &Value::Null));
    // A sink that was reset, one that is new, and one that is gone.
    assert_eq!(place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]).code, Some(0));
    let new = "  again: { from: moments, file: { path: again } }\n";
    place.write("pipeline.yaml", pipeline("", &format!("{SQLITE}{TANTIVY}{new}")));
    let foretold = restart();
    let sinks = &foretold["sinks"];
    let words = ["store", "search", "again", "changes"].map(|sink| sinks[sink].as_str().unwrap());
    assert_eq!(words, ["fill", "goes_on", "fill", "forgotten"], "{foretold:#}");
    let ran = place.flowstone(&["checkpoints", "pipeline.yaml"]);
    assert!(ran.stdout.contains("- fill store, again"), "{}", ran.stdout);
    let summary = place.backfill();
    let upserts = |sink: &str| summary["sinks"][sink]["upserts"].as_u64().unwrap();
    let documents = expected(&lines()).len() as u64;
    assert_eq!((upserts("store"), upserts("search"), upserts("again")), (documents, 0, documents));
    // A changed operator.
    place.write("pipeline.yaml", pipeline("bucket: 2s", &format!("{SQLITE}{TANTIVY}{new}")));
    let foretold = restart()["refused"].as_str().unwrap().to_owned();
    assert!(place.refused(1).contains(&foretold), "{foretold}");
}

#[test]
fn the_journal_is_listed_shown_and_verified() {
    let place = filled();
    let listed = json(&place, &["journal", "ls"]);
    let on_disk: u64 =
        contents(&place).iter().filter(|(name, _)| name.contains("/journal/")).map(|(_, b)| b.len() as u64).sum();
    assert_eq!(listed["bytes"], on_disk);
    let parts = listed["parts"].as_array().unwrap();
    let rows: u64 = parts.iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    assert!(rows == listed["rows"].as_u64().unwrap() && rows >= 4, "{listed:#}");

    let state = json(&place, &["journal", "show"]);
    assert_eq!(state["sealed"], listed["sealed"]);
    assert!(state["sinks"]["store"]["standing"]["upper"].is_u64(), "{state:#}");
    let entry = json(&place, &["journal", "show", "1"]);
    assert_eq!((&entry["number"], &entry["run"]), (&1.into(), &0.into()), "{entry:#}");
    assert!(entry["sinks"]["store"].is_object(), "the second entry registers the sinks: {entry:#}");
    failed(&place.flowstone(&["journal", "show", "4000", "pipeline.yaml"]), 1, &["no entry 4000", "it has 0 to "]);

    let verified = json(&place, &["journal", "verify"]);
    assert_eq!(
        (&verified["whole"], &verified["rows"], &verified["bytes"]),
        (&true.into(), &rows.into(), &on_disk.into())
    );
}

#[test]
fn verify_names_every_object_that_is_damaged() {
    let place = filled();
    let last = format!("{:012}", json(&place, &["journal", "show"])["next_entry"].as_u64().unwrap() - 1);
    for number in ["000000000001", &last] {
        let path = format!("state/journal/manifest/{number}");
        let mut bytes = fs::read(place.path(&path)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        place.write(&path, bytes);
    }
    let ran = place.flowstone(&["journal", "verify", "pipeline.yaml", "--json"]);
    failed(&ran, 1, &["2 objects", "restore", "rebuild"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let objects: Vec<&str> =
        report["problems"].as_array().unwrap().iter().map(|p| p["object"].as_str().unwrap()).collect();
    assert_eq!(objects, ["manifest/000000000001", &format!("manifest/{last}")]);
    assert_eq!(report["whole"], false);
    let ran = place.flowstone(&["journal", "verify", "pipeline.yaml"]);
    assert_eq!(ran.stdout.lines().filter(|line| line.contains("is damaged")).count(), 2, "{}", ran.stdout);
}

/// What is sealed goes on while somebody looks.
#[test]
fn a_run_can_be_watched() {
    let place =
        Place::with(&from_source("file: { paths: [\"in/*.ndjson\"], follow: true }, key: /annotation_id", "", SQLITE));
    place.write("in/a.ndjson", "");
    let mut run = place.start(&["run", "pipeline.yaml", "--workers", "1"]);
    eventually("there is a state", || place.flowstone(&["checkpoints", "pipeline.yaml"]).code == Some(0));
    let mut before = 0;
    for n in 0..5 {
        place.append(
            "in/a.ndjson",
            text([annotation(&format!("n{n}"), "a7", "SCENE_SEARCH", n * SECOND, (n + 2) * SECOND)]),
        );
        let length = fs::metadata(place.path("in/a.ndjson")).unwrap().len();
        eventually("the line is sealed", || {
            json(&place, &["offsets"])["sources"]["annotations"]["in/a.ndjson"]["offset"] == length
        });
        for args in [&["sinks", "ls"][..], &["checkpoints"], &["journal", "ls"], &["journal", "verify"]] {
            let sealed = json(&place, args)["sealed"].as_u64();
            assert!(sealed.is_none_or(|sealed| sealed > before), "{args:?}: {sealed:?} after {before}");
        }
        before = json(&place, &["journal", "ls"])["sealed"].as_u64().unwrap();
    }
    assert!(run.is_running(), "looking has disturbed it: {}", run.wait().stderr);
    run.signal("TERM");
    assert_eq!(run.wait().code, Some(0));
}
