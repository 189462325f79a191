//! Events with ids: each counts once, and ids leave the state.

use serde_json::Value;

use super::support::{Place, eventually, sqlite, sqlite_upper};

/// Events of pages by minute, with this in the `aggregate` as well.
fn pipeline(id: &str, late: &str) -> String {
    format!(
        "name: once\nstate: state\nepoch: 20ms\nsources:\n  events: {{ file: {{ paths: [\"in/*.ndjson\"], follow: true }} }}\noperators:\n  minutes: \
         {{ aggregate: {{ from: events, {id}, by: {{ page: /page }}, window: {{ time: /at, unit: s, every: 1m{late} }}, compute: {{ n: \
         count }} }} }}\nsinks:\n  out: {{ from: minutes, sqlite: {{ path: out.sqlite, table: minutes }} }}\n"
    )
}

/// A hundred each second.
fn lines(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"page\":\"a\",\"at\":{}}}\n", id / 100)).collect()
}

fn counted(place: &Place) -> u64 {
    let count = |(document, _): (String, _)| serde_json::from_str::<Value>(&document).unwrap()["n"].as_u64().unwrap();
    let path = place.path("out.sqlite");
    match sqlite_upper(&path) {
        Some(_) => sqlite(&path, "minutes").into_values().map(count).sum(),
        None => 0,
    }
}

fn counts(summary: &Value) -> [u64; 3] {
    ["ids", "repeated", "records"].map(|of| summary["tables"]["minutes"][of].as_u64().unwrap())
}

/// What the journal has, whatever it is of.
fn sealed_rows(place: &Place) -> u64 {
    let shown = place.flowstone(&["journal", "ls", "pipeline.yaml", "--json"]).stdout;
    serde_json::from_str::<Value>(&shown).unwrap()["rows"].as_u64().unwrap()
}

/// Lets events come from these files until there is little in the journal, and says how many there were.
fn follow(place: &Place, files: &[&str], least: u64) -> (u64, Value) {
    const STEP: u64 = 5_000;
    files.iter().for_each(|file| place.write(file, ""));
    let running = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    let mut events = 0;
    eventually("ids leave the journal", || {
        files.iter().for_each(|file| place.append(file, lines(events..events + STEP)));
        events += STEP;
        eventually("all is counted", || counted(place) == events);
        events >= least && sealed_rows(place) < least / 2
    });
    running.signal("TERM");
    (events, running.wait().summary())
}

#[test]
fn ids_leave_memory_and_journal_when_no_event_of_their_time_can_come() {
    let place = Place::with(&pipeline("id: { path: /id }", ", late: { until: 1m }"));
    let (events, summary) = follow(&place, &["in/a.ndjson", "in/b.ndjson"], 100_000);
    let [ids, repeated, records] = counts(&summary);
    assert_eq!((repeated, records), (events, 2 * events));
    assert!((6_000..20_000).contains(&ids), "{ids}: a minute of them, and those that came since");
    // The next run knows those that are left, and no others.
    let again = lines(events - 3_000..events + 1);
    place.append("in/b.ndjson", again);
    place.write("pipeline.yaml", pipeline("id: { path: /id }", ", late: { until: 1m }").replace(", follow: true", ""));
    let [_, repeated, records] = counts(&place.backfill());
    assert_eq!((repeated, records, counted(&place)), (3_000, 3_001, events + 1));
    assert!(place.dead_letters().is_empty());
}

#[test]
fn ids_leave_memory_and_journal_when_they_are_not_kept_any_longer() {
    let place = Place::with(&pipeline("id: { path: /id, keep: 200ms }", ""));
    let (events, summary) = follow(&place, &["in/a.ndjson"], 100_000);
    let [ids, repeated, records] = counts(&summary);
    assert_eq!((repeated, records), (0, events));
    assert!(ids < 50_000, "{ids}");
}

#[test]
fn another_id_is_refused_and_another_time_to_keep_it_is_not() {
    let place = Place::with(&pipeline("id: { path: /id, keep: 1h }", "").replace(", follow: true", ""));
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(place.path("pipeline.yaml")).unwrap();
        place.write("pipeline.yaml", text.replace(from, to));
    };
    place.write("in/a.ndjson", lines(0..10));
    place.backfill();
    change("keep: 1h", "keep: 2h");
    place.append("in/a.ndjson", lines(5..15));
    assert_eq!(counts(&place.backfill())[1], 5);
    assert_eq!(counted(&place), 15);
    change("path: /id", "path: [/id, /page]");
    let refused = place.refused(1);
    assert!(refused.contains("table minutes") && refused.contains("--rebuild minutes"), "{refused}");
    let rebuilt = place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "minutes", "--json"]).summary();
    assert_eq!(counts(&rebuilt), [15, 5, 20]);
    assert_eq!(counted(&place), 15);
}
