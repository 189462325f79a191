//! Rows that go a time after the time that they carry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::archive::text;
use super::support::{Documents, Place, Running, eventually, sqlite, sqlite_upper};

const KEEP: Duration = Duration::from_millis(400);

/// Long enough for a record to be written before it is too old, also on a busy machine.
const MOMENT: Duration = Duration::from_millis(3000);

fn pipeline(retention: &str) -> String {
    format!(
        "name: test\nepoch: 20ms\nsources:\n  t: {{ file: {{ paths: [in.ndjson], follow: true }}, key: /id, \
         delete: /gone, retention: {{ {retention} }} }}\nsinks:\n  rows: {{ from: t, sqlite: {{ path: rows.sqlite, \
         table: rows }} }}\n"
    )
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn row(id: &str, at: Duration) -> String {
    json!({ "id": id, "at": at.as_nanos() as u64 }).to_string()
}

/// Far enough in the future that it stays.
fn staying(id: &str) -> String {
    json!({ "id": id, "at": "2150-01-01T00:00:00Z" }).to_string()
}

fn rows(place: &Place) -> Documents {
    let path = place.path("rows.sqlite");
    let rows = sqlite_upper(&path).map(|_| sqlite(&path, "rows"));
    rows.into_iter().flatten().map(|(key, row)| (key, row.0)).collect()
}

fn holds(place: &Place, lines: &[&String]) -> bool {
    let mut documents: Vec<String> = rows(place).into_values().collect();
    let mut expected: Vec<String> = lines.iter().map(|line| (*line).clone()).collect();
    documents.sort();
    expected.sort();
    documents == expected
}

fn start(place: &Place) -> Running {
    place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"])
}

/// Stops it; what it says of the table.
fn stop(run: Running) -> Value {
    run.signal("TERM");
    run.wait().summary()["tables"]["t"].take()
}

#[test]
fn rows_go_a_time_after_their_own_and_stay_gone() {
    let place = Place::with(&pipeline("time: /at, keep: 400ms"));
    let (old, stays) = (row("old", now() - Duration::from_secs(600)), staying("stays"));
    place.write("in.ndjson", text([&old, &stays, &"{\"id\":1}".to_owned(), &"{\"id\":2,\"at\":\"now\"}".to_owned()]));
    let run = start(&place);
    eventually("the fill", || holds(&place, &[&stays]));

    let at = now() + MOMENT;
    let (goes, deleted) = (row("goes", at), row("deleted", at));
    place.append("in.ndjson", text([&goes, &deleted]));
    eventually("rows that are to go", || holds(&place, &[&stays, &goes, &deleted]));
    place.append("in.ndjson", "{\"id\":\"deleted\",\"gone\":true}\n");
    eventually("the deletion", || holds(&place, &[&stays, &goes]));
    eventually("a row that goes though nothing arrives", || holds(&place, &[&stays]));
    assert!(now() >= at + KEEP, "it went too early");
    let table = stop(run);
    assert_eq!((&table["expired"], &table["rows"], &table["dead_letters"]), (&json!(2), &json!(1), &json!(2)));
    let reasons: Vec<Value> = place.dead_letters().into_iter().map(|letter| letter["reason"].clone()).collect();
    let reason = "field /at is not a time: integer nanoseconds since 1970, or RFC 3339: \"now\"";
    assert_eq!(reasons, ["no field /at", reason]);

    let run = start(&place);
    let (again, soon) = (staying("goes"), row("soon", now() + MOMENT));
    place.append("in.ndjson", text([&again, &soon]));
    eventually("a row that is there again", || holds(&place, &[&stays, &again, &soon]));
    let table = stop(run);
    assert_eq!((&table["records"], &table["rows"]), (&json!(2), &json!(3)), "nothing is read again");

    // It goes at the next start, if it was time in between.
    std::thread::sleep(MOMENT + KEEP);
    let table = place.backfill()["tables"]["t"].take();
    assert_eq!((&table["expired"], &table["rows"]), (&json!(1), &json!(2)));
    assert!(holds(&place, &[&stays, &again]));
    assert_eq!(place.backfill()["tables"]["t"]["expired"], 0, "once");
}

#[test]
fn how_long_rows_stay_may_be_changed() {
    let place = Place::with(&pipeline("time: /at, keep: 90d"));
    let (hour, stays) = (row("hour", now() - Duration::from_secs(3600)), staying("stays"));
    place.write("in.ndjson", text([&hour, &stays]));
    place.backfill();
    assert!(holds(&place, &[&hour, &stays]));
    place.write("pipeline.yaml", pipeline("time: /at, keep: 30m"));
    place.backfill();
    assert!(holds(&place, &[&stays]));
    place.write("pipeline.yaml", pipeline("time: /at, keep: 90d"));
    place.backfill();
    assert!(holds(&place, &[&stays]), "what is gone stays gone");
    place.write("pipeline.yaml", pipeline("time: /id, keep: 90d"));
    let said = place.refused(1);
    assert!(said.contains(r#"table t (time: "/id", was "/at")"#) && said.contains("--rebuild t"), "{said}");
}

#[test]
fn without_a_journal_old_rows_are_never_rows() {
    let place = Place::with(&pipeline("time: /at, keep: 30m").replace("name: test", "name: test\nstate: none"));
    let (hour, stays) = (row("hour", now() - Duration::from_secs(3600)), staying("stays"));
    place.write("in.ndjson", text([&hour, &stays]));
    assert_eq!(place.backfill()["tables"]["t"]["expired"], 1);
    assert!(holds(&place, &[&stays]));
}
