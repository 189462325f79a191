//! Aggregates of sources without a key: each event counts once, whatever the restarts, and nothing is kept of it.

use flowstone::runtime::{Mode, Outcome};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::support::{Documents, Place, changes, folded, run, sqlite, sqlite_upper};

const COMPUTE: &str = "compute: { n: count, total: { sum: /length }, mean: { avg: /length }, least: { min: /length }, most: { max: \
                       /user }, users: { distinct: /user }, tags: { histogram: \"/tags/*\" }, first: { first: { of: /user, by: /at } }, \
                       long: { count: /user, where: { /length: { above: 5 } } } }";

const WINDOW: &str = "window: { time: /at, unit: ms, every: [1m, 1h] }, ";

/// The same aggregates of the same lines: as rows with a key, which an `aggregate` keeps, and as events, which it does not; with this
/// in the aggregates of events as well.
fn pipeline(id: &str) -> String {
    let mut text =
        "name: events\nsources:\n  rows: { file: { paths: [\"in/*.ndjson\"] }, key: /id }\n  events: { file: { paths: \
                    [\"in/*.ndjson\"] } }\noperators:\n"
            .to_owned();
    let mut sinks = "sinks:\n".to_owned();
    for from in ["rows", "events"] {
        for (name, window, by) in
            [("all", "", "{}"), ("by", "", "{ label: /label }"), ("hours", WINDOW, "{ label: /label }")]
        {
            let id = if from == "events" { id } else { "" };
            text += &format!("  {name}-{from}: {{ aggregate: {{ from: {from}, {id}by: {by}, {window}{COMPUTE} }} }}\n");
            sinks += &format!(
                "  {name}-{from}-table: {{ from: {name}-{from}, sqlite: {{ path: out.sqlite, table: {name}_{from} }} }}\n"
            );
        }
    }
    text + &sinks
}

/// A line; no two have the same time, so that first and last are the same by any key.
fn line(id: u64, random: &mut ChaCha8Rng) -> String {
    let label = ["kitchen", "living room", "coffee house"][random.random_range(0..3)];
    let user = ["Joey", "Monica", "Ross", "Rachel", "Phoebe"][random.random_range(0..5)];
    let (length, at) = (random.random_range(-20..200) as f64 / 10.0, random.random_range(0..300_u64) * 60_000 + id);
    let tags = [r#"[]"#, r#"["a"]"#, r#"["a","b"]"#, "null"][random.random_range(0..4)];
    format!(r#"{{"id":{id},"label":"{label}","user":"{user}","length":{length},"at":{at},"tags":{tags}}}"#)
}

fn table(place: &Place, name: &str) -> Documents {
    let path = place.path("out.sqlite");
    match sqlite_upper(&path) {
        Some(_) => sqlite(&path, name).into_iter().map(|(key, row)| (key, row.0)).collect(),
        None => Documents::new(),
    }
}

#[test]
fn events_come_to_what_rows_that_are_never_taken_back_come_to() {
    (0..6).for_each(|seed| compare(seed, "", false));
}

/// Of rows with a key the second one is the first one again.
#[test]
fn events_that_are_delivered_again_come_to_what_rows_with_their_ids_as_keys_come_to() {
    (10..16).for_each(|seed| compare(seed, "id: { path: /id, keep: 1d }, ", true));
}

/// Each run has other workers than the one before, and reads on; a sink that is added later gets everything.
fn compare(seed: u64, with_id: &str, again: bool) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let place = Place::with(&pipeline(with_id));
    let (mut id, mut delivered) = (0, Vec::new());
    ["in/a.ndjson", "in/b.ndjson"].into_iter().for_each(|file| place.write(file, ""));
    for workers in [1, 3, 2, 1] {
        for file in ["in/a.ndjson", "in/b.ndjson"] {
            let mut lines: Vec<String> = (0..random.random_range(1..80)).map(|n| line(id + n, &mut random)).collect();
            id += lines.len() as u64;
            delivered.extend(lines.clone());
            if again {
                let count = random.random_range(0..40);
                lines.extend(delivered.sample(&mut random, count).cloned());
                lines.shuffle(&mut random);
            }
            place.append(file, lines.join("\n") + "\n");
        }
        assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
        for name in ["all", "by", "hours"] {
            let expected = table(&place, &format!("{name}_rows"));
            assert!(!expected.is_empty());
            assert_eq!(table(&place, &format!("{name}_events")), expected, "seed {seed}, {workers} workers, {name}");
        }
    }
    let text = std::fs::read_to_string(place.path("pipeline.yaml")).unwrap();
    place.write("pipeline.yaml", text + "  late: { from: hours-events, file: { path: late } }\n");
    assert_eq!(run(place.job(Mode::Backfill, 2)).unwrap(), Outcome::Complete);
    assert_eq!(folded(changes(&place.path("late"))), table(&place, "hours_events"), "seed {seed}");
}

/// A pipeline that counts events by label, with this in the `aggregate` as well.
fn counting(more: &str) -> String {
    format!(
        "name: counting\nsources:\n  events: {{ file: {{ paths: [in.ndjson] }} }}\noperators:\n  counts: {{ aggregate: {{ from: events, \
         by: {{ label: /label }}, compute: {{ n: count{more} }} }} }}\nsinks:\n  out: {{ from: counts, sqlite: {{ path: out.sqlite, \
         table: counts }} }}\n"
    )
}

fn backfill(place: &Place) {
    place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", "2"]).summary();
}

#[test]
fn a_changed_aggregate_of_events_is_refused_and_reads_them_again_when_told_to() {
    let place = Place::with(&counting(""));
    place.write("in.ndjson", "{\"label\":\"a\",\"v\":1}\n{\"label\":\"a\",\"v\":2}\n{\"v\":3}\n");
    backfill(&place);
    assert_eq!(table(&place, "counts")["[\"a\"]"], r#"{"label":"a","n":2}"#);
    assert_eq!(place.dead_letters().len(), 1);
    place.write("pipeline.yaml", counting(", v: { sum: /v }"));
    let refused = place.refused(1);
    assert!(refused.contains("table counts") && refused.contains("--rebuild counts"), "{refused}");
    place.append("in.ndjson", "{\"label\":\"a\",\"v\":5}\n");
    place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "counts", "--json"]).summary();
    assert_eq!(table(&place, "counts")["[\"a\"]"], r#"{"label":"a","n":3,"v":8}"#);
}

#[test]
fn a_new_aggregate_of_events_that_were_read_is_refused_and_so_is_counting_twice() {
    let place = Place::with(&counting(""));
    place.write("in.ndjson", "{\"label\":\"a\"}\n");
    backfill(&place);
    let text = std::fs::read_to_string(place.path("pipeline.yaml")).unwrap();
    let more = "operators:\n  all: { aggregate: { from: events, compute: { n: count } } }\n";
    place.write(
        "pipeline.yaml",
        text.replace("operators:\n", more) + "  sum: { from: all, sqlite: { path: out.sqlite, table: every } }\n",
    );
    let refused = place.refused(1);
    assert!(refused.contains("\"all\" is new") && refused.contains("--rebuild all"), "{refused}");
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "all"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("\"counts\" would count") && ran.stderr.contains("--rebuild all --rebuild counts"),
        "{}",
        ran.stderr
    );
    place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "all", "--rebuild", "counts", "--json"]).summary();
    assert_eq!(table(&place, "counts")["[\"a\"]"], r#"{"label":"a","n":1}"#);
    assert_eq!(table(&place, "every")["[]"], r#"{"n":1}"#);
}

#[test]
fn a_sink_of_events_and_an_aggregate_of_them_are_independent() {
    let place = Place::with(&(counting("") + "  raw: { from: events, file: { path: raw } }\n"));
    place.write("in.ndjson", "{\"label\":\"a\"}\n{\"label\":7}\n{\"nothing\":1}\nno JSON\n");
    backfill(&place);
    assert_eq!(table(&place, "counts").len(), 2);
    assert_eq!(folded(changes(&place.path("raw"))).len(), 3);
    let mut reasons: Vec<String> = place.dead_letters().iter().map(|letter| letter["reason"].to_string()).collect();
    reasons.sort();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("no field /label")), "{reasons:?}");
}

/// Events of pages, by minutes; so many seconds may they be late.
fn by_minutes(until: &str) -> String {
    format!(
        "name: minutes\nsources:\n  events: {{ file: {{ paths: [\"in/*.ndjson\"] }} }}\noperators:\n  minutes: {{ aggregate: {{ from: events, \
         by: {{ page: /page }}, window: {{ time: /at, unit: s, every: 1m, late: {{ until: {until} }} }}, compute: {{ n: count, users: {{ \
         distinct: /user }} }} }} }}\nsinks:\n  out: {{ from: minutes, sqlite: {{ path: out.sqlite, table: minutes }} }}\n"
    )
}

#[test]
fn final_windows_leave_the_state_and_stay_in_the_sinks() {
    let place = Place::with(&by_minutes("1m"));
    place.write("in/a.ndjson", "");
    let run = |minutes: std::ops::Range<u64>| {
        let lines = minutes.map(|minute| format!("{{\"page\":\"a\",\"user\":{minute},\"at\":{}}}\n", minute * 60));
        place.append("in/a.ndjson", lines.collect::<String>());
        place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", "2"]).summary()
    };
    let rows = |summary: &serde_json::Value| summary["tables"]["minutes"]["rows"].as_u64();
    run(0..100);
    let summary = run(100..101);
    assert_eq!(table(&place, "minutes").len(), 101);
    assert!(rows(&summary).is_some_and(|rows| rows < 10), "{summary}");
    // A fill has only what the state has, and takes nothing away that it has no more.
    let before = table(&place, "minutes");
    assert_eq!(place.flowstone(&["sinks", "reset", "out", "pipeline.yaml"]).code, Some(0));
    run(0..1);
    assert_eq!(table(&place, "minutes"), before);
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0]["reason"].as_str().unwrap().contains("too late for \"minutes\""), "{letters:?}");
    // Built anew, it begins without a watermark: the event is one of those that a run catches up with.
    place.flowstone(&["backfill", "pipeline.yaml", "--rebuild", "minutes", "--json"]).summary();
    assert_eq!(table(&place, "minutes")["[\"a\",0,60000000000]"].matches("\"n\":2").count(), 1);
    assert_eq!(table(&place, "minutes").len(), 101);
}
