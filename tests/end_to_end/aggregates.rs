//! Aggregates: groups of moments and of rows, which stay right under corrections, and over restarts with other workers.

use flowstone::runtime::{Mode, Outcome};

use super::archive::{History, SQLITE, annotation, deletion, from_source, joey, kitchen, text};
use super::oracle::{documents, labels};
use super::support::{Documents, Place, SECOND, changes, eventually, folded, run, sqlite, sqlite_upper};

const LABELS: &str = "  labels: { aggregate: { from: moments, by: { label: /source_annotations/*/label }, compute: { moments: count } } }\n";
const KINDS: &str = "  kinds: { aggregate: { from: annotations, by: { kind: /type }, compute: { n: count, first: { min: \
                     /time_range/start_time_ns }, last: { max: /time_range/end_time_ns }, assets: { distinct: \
                     /associated_ids/ASSET_ID } } } }\n";
const SINKS: &str = "  labels-table: { from: labels, sqlite: { path: out.sqlite, table: labels, columns: { label: /label } } }\n  \
                     label-changes: { from: labels, file: { path: label-changes } }\n  \
                     kinds-table: { from: kinds, after: labels-table, sqlite: { path: out.sqlite, table: kinds } }\n";

/// A pipeline that counts the labels of moments, and the annotations of each type.
fn counting(follow: bool, fuse: &str) -> String {
    let file =
        if follow { "file: { paths: [\"in/*.ndjson\"], follow: true }" } else { "file: { paths: [\"in/*.ndjson\"] }" };
    let sinks = format!("{SQLITE}{SINKS}");
    let text = from_source(&format!("{file}, key: /annotation_id, delete: /deleted"), fuse, &sinks);
    text.replace("sinks:\n", &format!("{LABELS}{KINDS}sinks:\n"))
}

fn table(place: &Place, name: &str) -> Documents {
    let path = place.path("out.sqlite");
    match sqlite_upper(&path) {
        Some(_) => sqlite(&path, name).into_iter().map(|(key, row)| (key, row.0)).collect(),
        None => Documents::new(),
    }
}

#[test]
fn labels_are_counted_over_moments_and_stay_right_under_corrections() {
    let place = Place::with(&counting(true, ""));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    let run = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    let row =
        |label: &str, moments: u64| (format!("[\"{label}\"]"), format!(r#"{{"label":"{label}","moments":{moments}}}"#));
    let rows =
        |rows: &[(&str, u64)]| -> Documents { rows.iter().map(|(label, moments)| row(label, *moments)).collect() };
    eventually("both", || table(&place, "labels") == rows(&[("Joey", 4), ("kitchen", 4)]));
    let kinds = |place: &Place| table(place, "kinds").into_values().collect::<Vec<_>>();
    let scenes = r#"{"kind":"SCENE_SEARCH","n":1,"first":4000000000,"last":9000000000,"assets":1}"#;
    eventually("kinds", || kinds(&place).contains(&scenes.to_owned()) && kinds(&place).len() == 2);

    // The scene is shorter than was thought; then another one in the kitchen is found.
    let shorter = annotation("kitchen", "a7", "SCENE_SEARCH", 6 * SECOND, 9 * SECOND);
    place.append("in/a.ndjson", text([shorter]));
    eventually("the shorter one", || table(&place, "labels") == rows(&[("Joey", 2), ("kitchen", 2)]));
    let other = annotation("2", "a7", "SCENE_SEARCH", 0, 3 * SECOND).replace(r#""label":"2""#, r#""label":"kitchen""#);
    place.append("in/a.ndjson", text([other]));
    eventually("the other one", || table(&place, "labels") == rows(&[("Joey", 3), ("kitchen", 3)]));
    place.append("in/a.ndjson", text([deletion("Joey")]));
    eventually("nothing is left", || table(&place, "labels").is_empty());
    run.signal("TERM");
    run.wait().summary();
    let all = folded(changes(&place.path("label-changes")));
    assert!(all.is_empty(), "{all:?}");
}

/// Each run has other workers than the one before, and reads on; a sink that is added later gets everything.
#[test]
fn any_history_is_counted_right_over_restarts_with_other_workers() {
    for seed in 0..12 {
        let history = History::new(seed, false);
        let place = Place::with(&counting(false, &history.rules.yaml()));
        place.write("in/a.ndjson", "");
        let chunks = history.lines.len().div_ceil(3);
        let mut lines: Vec<&str> = Vec::new();
        for (chunk, workers) in history.lines.chunks(chunks).zip([1, 3, 2]) {
            place.append("in/a.ndjson", text(chunk));
            lines.extend(chunk.iter().map(String::as_str));
            assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
            let moments = documents(lines.iter().copied(), &history.rules);
            assert_eq!(place.rows(), moments, "seed {seed}");
            let expected = labels(&moments);
            assert_eq!(table(&place, "labels"), expected, "seed {seed}, {workers} workers");
            assert_eq!(folded(changes(&place.path("label-changes"))), expected, "seed {seed}, {workers} workers");
        }
        let added = place.path("pipeline.yaml");
        let text = std::fs::read_to_string(&added).unwrap();
        place.write("pipeline.yaml", text + "  late: { from: labels, file: { path: late } }\n");
        assert_eq!(run(place.job(Mode::Backfill, 2)).unwrap(), Outcome::Complete);
        assert_eq!(folded(changes(&place.path("late"))), table(&place, "labels"), "seed {seed}");
    }
}
