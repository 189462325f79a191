//! Generations: annotations of an operation are shown when it is finished, in the place of those of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt;
use serde_json::{Value, json};

use super::archive::{FILE, SQLITE, TANTIVY, text};
use super::operations::{History, annotation, deletion, moments, operation, pipeline, shown};
use super::oracle::Rules;
use super::support::{Change, Place, Running, SECOND, changes, eventually, folded, sqlite, sqlite_upper, tantivy};

const KIND: &str = "OBJECT_SEARCH";
const ROWS: &str = "  rows: { from: annotations, sqlite: { path: rows.sqlite, table: rows } }\n";
const ROW_CHANGES: &str = "  row-changes: { from: annotations, file: { path: row-changes } }\n";

/// A run of the model over one asset: so many objects, found where the operation's number says.
fn objects(number: u64, ids: std::ops::Range<u64>) -> Vec<String> {
    let of = |id: u64| {
        let start = (id as i64 % 200) * SECOND;
        annotation(&format!("o{id}"), "a7", KIND, number, start, start + number as i64 * SECOND)
    };
    ids.map(of).collect()
}

fn said(number: u64, status: &str, annotations: Option<u64>) -> String {
    operation("a7", KIND, number, status, annotations)
}

fn start(place: &Place, workers: &str) -> Running {
    place.start(&["run", "pipeline.yaml", "--json", "--workers", workers])
}

fn stop(run: Running) -> Value {
    run.signal("TERM");
    run.wait().summary()
}

/// How many rows of each operation a reader of the SQLite table sees.
fn rows_by_operation(place: &Place) -> BTreeMap<u64, usize> {
    let path = place.path("rows.sqlite");
    let mut counts = BTreeMap::new();
    for (key, (document, _)) in sqlite_upper(&path).map(|_| sqlite(&path, "rows")).into_iter().flatten() {
        let row: Value = serde_json::from_str(&document).unwrap();
        let number = row["operation"].as_u64().unwrap();
        let expected = json!([row["annotation_id"], row["type"], row["associated_ids"]["ASSET_ID"], number]);
        assert_eq!(key, expected.to_string(), "the key of a row names its operation");
        *counts.entry(number).or_insert(0) += 1;
    }
    counts
}

/// The epochs of a file sink, each with its numbers of rows that came and went.
fn epochs(changes: &[Change]) -> Vec<(usize, usize)> {
    let mut epochs: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for change in changes {
        let (came, went) = epochs.entry(change.epoch).or_default();
        *(if change.document.is_some() { came } else { went }) += 1;
    }
    epochs.into_values().collect()
}

/// The first run of a model finds 500 objects, the second 600, with the same ids and others.
#[test]
fn capability_15_the_500_are_shown_until_the_600_are_there() {
    let place = Place::with(&pipeline(true, "min_modalities: 1", &format!("{SQLITE}{ROWS}{ROW_CHANGES}")));
    let (first, second) = (objects(1, 0..500), objects(2, 0..600));
    let rules = Rules { min_modalities: 1, ..Rules::default() };
    place.write("in/a.ndjson", text(&first[..1]));
    place.write("runs/a.ndjson", text([said(1, "STARTED", None)]));
    let run = start(&place, "2");
    place.append("in/a.ndjson", text(&first[1..]));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(rows_by_operation(&place).is_empty() && place.rows().is_empty(), "nothing while the first is not finished");
    place.append("runs/a.ndjson", text([said(1, "FINISHED", None), said(2, "STARTED", None)]));
    eventually("the 500", || rows_by_operation(&place) == BTreeMap::from([(1, 500)]));
    let ends = |lines: &[String]| moments(lines, &[said(1, "FINISHED", None)], &rules);
    eventually("their moments", || place.rows() == ends(&first));
    place.append("in/a.ndjson", text(&second[..599]));
    place.append("runs/a.ndjson", text([said(2, "FINISHED", Some(600))]));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(rows_by_operation(&place), BTreeMap::from([(1, 500)]), "599 are not enough");
    assert_eq!(place.rows(), ends(&first));
    place.append("in/a.ndjson", text(&second[599..]));
    eventually("exactly the 600", || rows_by_operation(&place) == BTreeMap::from([(2, 600)]));
    let all = moments(&[first, second].concat(), &[said(2, "FINISHED", Some(600))], &rules);
    eventually("their moments", || place.rows() == all);
    let summary = stop(run);
    let table = &summary["tables"]["annotations"];
    let counts = ["records", "applied", "operations", "swaps", "rows", "hidden", "stale"].map(|name| &table[name]);
    assert_eq!(counts.map(|n| n.as_u64().unwrap()), [1104, 1100, 4, 2, 600, 0, 0]);
    assert_eq!(epochs(&changes(&place.path("row-changes"))), [(500, 0), (600, 500)]);
}

/// What the asset shows is swapped at once, for all who look.
#[test]
fn a_swap_of_3_000_for_3_300_is_one_epoch_at_the_sinks() {
    let sinks = format!("{SQLITE}{FILE}{ROWS}{ROW_CHANGES}");
    let place = Place::with(&pipeline(true, "min_modalities: 1, emit: runs", &sinks));
    let (first, second) = (objects(1, 0..3000), objects(2, 1500..4800));
    place.write("in/a.ndjson", text(&first));
    place.write("runs/a.ndjson", text([said(1, "FINISHED", Some(3000))]));
    let run = start(&place, "2");
    eventually("the 3,000", || rows_by_operation(&place) == BTreeMap::from([(1, 3000)]));
    let fill = changes(&place.path("changes"));
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let seen = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !end.load(Ordering::Acquire) {
                seen.insert(rows_by_operation(&place));
            }
            seen
        });
        for chunk in second.chunks(400) {
            place.append("in/a.ndjson", text(chunk));
            std::thread::sleep(std::time::Duration::from_millis(15));
        }
        place.append("runs/a.ndjson", text([said(2, "FINISHED", Some(3300))]));
        eventually("the 3,300", || rows_by_operation(&place) == BTreeMap::from([(2, 3300)]));
        end.store(true, Ordering::Release);
        let expected = BTreeSet::from([BTreeMap::from([(1, 3000)]), BTreeMap::from([(2, 3300)])]);
        let seen = seen.join().unwrap();
        assert!(seen.is_subset(&expected), "a reader sees the one or the other: {seen:?}");
    });
    let rules = Rules { min_modalities: 1, emit: super::oracle::Emit::Runs, ..Rules::default() };
    let expected = moments(&second, &[said(2, "FINISHED", None)], &rules);
    eventually("their moments", || place.rows() == expected);
    stop(run);
    assert_eq!(epochs(&changes(&place.path("row-changes"))), [(3000, 0), (3300, 3000)]);
    let moments = changes(&place.path("changes"));
    assert_eq!(epochs(&moments).len(), 2, "one epoch for the first run, one for the swap");
    assert_eq!(moments[..fill.len()], fill);
    assert_eq!(folded(moments), expected);
}

#[test]
fn what_is_canceled_leaves_the_old_and_what_is_finished_can_not_be_canceled() {
    let place = Place::with(&pipeline(true, "min_modalities: 1", &format!("{SQLITE}{ROWS}{ROW_CHANGES}")));
    place.write("in/a.ndjson", text([objects(1, 0..50), objects(2, 0..60)].concat()));
    place.write("runs/a.ndjson", text([said(1, "FINISHED", None)]));
    let run = start(&place, "3");
    eventually("the first", || rows_by_operation(&place) == BTreeMap::from([(1, 50)]));
    let before = place.rows();
    place.append("runs/a.ndjson", text([said(2, "CANCELED", None)]));
    std::thread::sleep(std::time::Duration::from_millis(100));
    // Too late, all of it.
    place.append("in/a.ndjson", text(objects(2, 60..70)));
    place.append(
        "runs/a.ndjson",
        text([said(2, "FINISHED", Some(0)), said(1, "CANCELED", None), said(2, "STARTED", None)]),
    );
    eventually("two dead letters", || place.dead_letters().len() == 2);
    assert_eq!((rows_by_operation(&place), place.rows()), (BTreeMap::from([(1, 50)]), before.clone()));
    let summary = stop(run);
    let counts = ["rows", "hidden", "stale", "operations", "refused", "swaps"];
    let counts = counts.map(|name| summary["tables"]["annotations"][name].as_u64().unwrap());
    assert_eq!(counts, [50, 0, 11, 5, 2, 1], "nothing is dropped uncounted");
    let letters = || {
        let letter =
            |letter: &Value| [&letter["node"], &letter["reason"]].map(|text| text.as_str().unwrap().to_owned());
        place.dead_letters().iter().map(letter).collect::<Vec<_>>()
    };
    let reason = |end: &str| ["runs".to_owned(), format!("the operation {end}")];
    let expected = [reason("was canceled and can not be finished"), reason("is finished and can not be canceled")];
    let mut found = letters();
    found.sort();
    assert_eq!(found, {
        let mut sorted = expected.to_vec();
        sorted.sort();
        sorted
    });
    assert!(place.dead_letters().iter().all(|letter| letter["payload"].as_str().unwrap().contains("\"status\"")));
    // The next run knows it all.
    let summary = place.backfill();
    assert_eq!((&summary["tables"]["annotations"]["rows"], letters().len()), (&json!(50), 2));
    assert_eq!((rows_by_operation(&place), place.rows()), (BTreeMap::from([(1, 50)]), before));
    assert_eq!(epochs(&changes(&place.path("row-changes"))), [(50, 0)]);
}

/// Rows of the operation that is shown may be added, corrected, and deleted; those of older ones are over.
#[test]
fn after_the_swap_the_newest_operation_goes_on_and_older_ones_are_over() {
    let place = Place::with(&pipeline(false, "min_modalities: 1", &format!("{SQLITE}{ROWS}")));
    let mut lines = [objects(1, 0..20), objects(2, 0..30)].concat();
    let mut runs = vec![said(1, "FINISHED", None), said(2, "FINISHED", None)];
    let mut check = |more: Vec<String>, said: Vec<String>, stale: u64| {
        lines.extend(more);
        runs.extend(said);
        place.write("in/a.ndjson", text(&lines));
        place.write("runs/a.ndjson", text(&runs));
        let summary = place.backfill();
        assert_eq!(summary["tables"]["annotations"]["stale"], stale);
        let rules = Rules { min_modalities: 1, ..Rules::default() };
        assert_eq!(place.rows(), moments(&lines, &runs, &rules));
        rows_by_operation(&place)
    };
    assert_eq!(
        check(vec![], vec![], 20),
        BTreeMap::from([(2, 30)]),
        "an old one that comes with its successor is over"
    );
    assert_eq!(check(objects(2, 25..40), vec![], 0), BTreeMap::from([(2, 40)]));
    assert_eq!(check(vec![deletion("o39", "a7", KIND, 2)], vec![], 0), BTreeMap::from([(2, 39)]));
    assert_eq!(check(objects(1, 90..95), vec![said(1, "FINISHED", None)], 5), BTreeMap::from([(2, 39)]));
    assert_eq!(check(objects(3, 0..10), vec![said(3, "FINISHED", Some(11))], 0), BTreeMap::from([(2, 39)]));
    let corrected = vec![said(3, "FINISHED", Some(10))];
    assert_eq!(check(vec![], corrected, 0), BTreeMap::from([(3, 10)]), "less is waited for than was said first");
}

/// Any history gives what the plainest reading of it gives, at any number of workers, with runs that end anywhere between.
#[test]
fn any_history_of_operations_gives_what_the_oracle_gives() {
    let seeds = std::env::var("SEED").map_or(0..12, |seed| seed.parse().map(|seed: u64| seed..seed + 1).unwrap());
    for seed in seeds {
        let mut history = History::new(seed, 14);
        let index = TANTIVY.replace("from: moments,", "from: moments, after: store,");
        let place = Place::with(&pipeline(false, "", &format!("{SQLITE}{index}{FILE}{ROWS}")));
        let mut written = 0;
        while written < history.lines.len() {
            written = (written + history.rng.random_range(1..80)).min(history.lines.len());
            let (annotations, operations) = history.inputs(written);
            place.write("in/a.ndjson", text(&annotations));
            place.write("runs/a.ndjson", text(&operations));
            let workers = history.rng.random_range(1..=3).to_string();
            place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", &workers]).summary();
            let expected = moments(&annotations, &operations, &Rules::default());
            assert!(place.rows() == expected, "SQLite, seed {seed}, {written} lines");
            assert!(tantivy(&place.path("index")) == expected, "Tantivy, seed {seed}, {written} lines");
            assert!(folded(changes(&place.path("changes"))) == expected, "files, seed {seed}, {written} lines");
            let rows = sqlite(&place.path("rows.sqlite"), "rows").into_values().map(|row| row.0);
            assert_eq!(
                rows.collect::<BTreeSet<_>>(),
                shown(&annotations, &operations).into_iter().collect(),
                "seed {seed}"
            );
        }
        // All at once is the same, refused ends but for those that came when newer ones were shown.
        let fresh = Place::with(&pipeline(false, "", &format!("{SQLITE}{ROWS}")));
        let (annotations, operations) = history.inputs(written);
        fresh.write("in/a.ndjson", text(annotations));
        fresh.write("runs/a.ndjson", text(operations));
        fresh.backfill();
        assert!(fresh.rows() == place.rows(), "seed {seed}");
        let letters = |place: &Place| place.dead_letters().iter().map(Value::to_string).collect::<BTreeSet<_>>();
        assert_eq!(letters(&fresh), letters(&place), "seed {seed}");
    }
}

/// Fields of their own, in a table of two sources, and keys of two fields.
#[test]
fn operations_may_have_their_fields_elsewhere() {
    let operation = "operation: { type: /model, pivot: /asset, number: /run/number }";
    let operations =
        "operations: { from: runs, type: /m, pivot: /a, number: /n, status: /state/is, annotations: /count }";
    let pipeline = format!(
        "name: test\nsources:\n  old: {{ file: {{ paths: [old.ndjson] }} }}\n  new: {{ file: {{ paths: [new.ndjson] }} }}\n  \
         runs: {{ file: {{ paths: [runs.ndjson] }} }}\noperators:\n  all: {{ upsert: {{ from: [old, new], key: [/id, /part], \
         version: /at, {operation}, {operations} }} }}\nsinks:\n  rows: {{ from: all, sqlite: {{ path: rows.sqlite, table: \
         rows }} }}\n"
    );
    let place = Place::with(&pipeline);
    let row =
        |id: &str, at: u64, run: Value| json!({ "id": id, "part": 1, "at": at, "model": 5, "asset": 7, "run": run });
    let of = |number: u64| json!({ "number": number });
    let old = [
        row("a", 9, of(1)),
        row("b", 2, of(1)),
        row("free", 3, Value::Null),
        row("bad", 1, of(0)).to_string().replace("\"number\":0", "\"number\":-1").parse().unwrap(),
    ];
    let new = [
        row("a", 1, of(1)),
        row("b", 3, of(1)),
        row("a", 1, of(2)),
        json!({ "id": "c", "part": 1, "at": 1, "run": of(1) }),
    ];
    let lines = |values: &[Value]| text(values.iter().map(Value::to_string));
    place.write("old.ndjson", lines(&old));
    place.write("new.ndjson", lines(&new));
    let state = |is: Value| json!({ "m": 5, "a": 7, "n": 1, "state": { "is": is }, "count": 2 });
    let wrong = [
        state(json!("DONE")),
        state(json!(1)),
        json!({ "m": 5, "a": 7, "n": 1 }),
        json!({ "m": 5, "n": 1, "state": { "is": "FINISHED" } }),
    ];
    place.write("runs.ndjson", lines(&[&wrong[..], &[state(json!("FINISHED"))]].concat()));
    let summary = place.backfill();
    let rows: Vec<_> = sqlite(&place.path("rows.sqlite"), "rows").into_iter().map(|(key, row)| (key, row.0)).collect();
    let expected = [(r#"["a",1,5,7,1]"#, &old[0]), (r#"["b",1,5,7,1]"#, &new[1]), (r#"["free",1]"#, &old[2])];
    assert_eq!(rows, expected.map(|(key, row)| (key.to_owned(), row.to_string())));
    assert_eq!(summary["tables"]["all"]["dead_letters"], 6);
    let mut reasons: Vec<String> =
        place.dead_letters().iter().map(|letter| letter["reason"].as_str().unwrap().to_owned()).collect();
    reasons.sort();
    let status = |found: &str| format!("field /state/is is not \"STARTED\", \"FINISHED\" or \"CANCELED\": {found}");
    let number = "field /run/number is not the number of an operation: an integer from 0 to 2^64 - 1: -1".to_owned();
    let missing = |field: &str| format!("no field {field}");
    assert_eq!(
        reasons,
        [number, status("\"DONE\""), status("1"), missing("/a"), missing("/model"), missing("/state/is")]
    );
}

#[test]
fn other_operations_are_another_table() {
    let place = Place::with(&pipeline(false, "min_modalities: 1", SQLITE));
    place.write("in/a.ndjson", text(objects(1, 0..20)));
    place.write("runs/a.ndjson", text([said(1, "FINISHED", None)]));
    place.backfill();
    let before = place.rows();
    assert!(!before.is_empty());
    // Defaults may be written down.
    let spelled = pipeline(false, "min_modalities: 1", SQLITE)
        .replace("operations: runs", "operations: { from: runs, number: /operation, status: /status }");
    place.write("pipeline.yaml", &spelled);
    assert_eq!(place.backfill()["tables"]["annotations"]["records"], 0);
    place.write("pipeline.yaml", spelled.replace("status: /status", "status: /state"));
    let said = place.refused(1);
    assert!(said.contains("table annotations") && said.contains("--rebuild annotations"), "{said}");
    assert_eq!(place.rows(), before);
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--rebuild", "annotations"]);
    assert_eq!(ran.summary()["tables"]["annotations"]["records"], 21, "both sources are read again");
    assert!(place.rows().is_empty(), "nothing says that the operation is finished");
}
