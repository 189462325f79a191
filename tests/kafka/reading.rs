//! What a topic gives, where reading begins, and where it goes on.

use serde_json::Value;

use crate::archive::{SQLITE, annotation, joey, kitchen};
use crate::oracle::expected;
use crate::support::{Documents, Place, Running, SECOND, sqlite};
use crate::topic::{Record, Topic, eventually, record, tombstone};

/// So many annotations from a number on, of three types and assets.
fn lines(from: i64, count: i64) -> Vec<String> {
    let kinds = ["CHARACTER_SEARCH", "SCENE_SEARCH", "DIALOGUE_SEARCH"];
    let line = |n: i64| {
        let start = n * 13 % 40 * SECOND;
        annotation(&format!("n{n}"), &format!("a{}", n % 3), kinds[(n % 7 % 3) as usize], start, start + 3 * SECOND)
    };
    (from..from + count).map(line).collect()
}

fn spread(lines: &[String], partitions: i32) -> Vec<Record> {
    (0..).zip(lines).map(|(n, line)| record(n % partitions, line.clone())).collect()
}

fn records(summary: &Value) -> u64 {
    summary["tables"]["annotations"]["records"].as_u64().unwrap()
}

fn run(place: &Place, expected: &Documents) -> Running {
    let run = place.start(&["run", "pipeline.yaml", "--json", "--workers", "2"]);
    eventually("the store is up to date", || place.rows() == *expected);
    run
}

fn stop(run: Running) -> Value {
    run.signal("TERM");
    run.wait().summary()
}

#[test]
fn a_backfill_reads_all_partitions_and_the_next_one_only_what_is_new() {
    let topic = Topic::new(6);
    let all = lines(0, 600);
    topic.produce(spread(&all[..400], 6));
    let place = Place::with(&topic.pipeline("", SQLITE));
    assert_eq!(records(&place.backfill()), 400);
    assert_eq!(place.rows(), expected(&all[..400]));
    assert_eq!(records(&place.backfill()), 0);
    topic.produce(spread(&all[400..], 6));
    assert_eq!(records(&place.backfill()), 200, "no gap, and no duplicate");
    assert_eq!(place.rows(), expected(&all));
    // For monitors of lag.
    let group = topic.committed("flowstone-test-annotations", 6);
    assert_eq!(group.values().sum::<i64>(), 600, "{group:?}");
}

#[test]
fn a_run_follows_the_topic_and_finds_partitions_that_are_added() {
    let topic = Topic::new(1);
    let all = lines(0, 90);
    topic.produce(spread(&all[..30], 1));
    let place = Place::with(&topic.pipeline("", SQLITE));
    let going = run(&place, &expected(&all[..30]));
    topic.produce(spread(&all[30..60], 1));
    eventually("what came", || place.rows() == expected(&all[..60]));
    topic.grow(3);
    let added = all[60..].iter().zip([1, 2].into_iter().cycle());
    topic.produce(added.map(|(line, partition)| record(partition, line.clone())));
    eventually("what came in new partitions", || place.rows() == expected(&all));
    assert_eq!(records(&stop(going)), 90);
}

#[test]
fn a_tombstone_deletes_the_row_that_its_message_key_names() {
    let topic = Topic::new(1);
    topic.produce([record(0, joey()), record(0, kitchen()), record(0, annotation("x", "a7", "OTHER", 0, SECOND))]);
    topic.produce([tombstone(0, "kitchen"), Record::default(), tombstone(0, "nobody")]);
    let place = Place::with(&topic.pipeline("", SQLITE));
    let summary = place.backfill();
    assert_eq!(place.rows(), Documents::new(), "Joey is alone");
    let letters = place.dead_letters();
    assert_eq!((letters.len(), letters[0]["reason"].as_str()), (1, Some("deletion without a key")));
    assert_eq!(letters[0]["offset"], 4);
    assert_eq!(summary["tables"]["annotations"]["deletions"], 2);
}

#[test]
fn rows_may_have_the_key_of_their_message() {
    let topic = Topic::new(2);
    let keyed = |key: &str, payload: &str| Record { key: Some(key.to_owned()), ..record(0, payload) };
    topic.produce([
        keyed("a", r#"{"n":1}"#),
        keyed("7", r#"{"n":2}"#),
        keyed("a", r#"{"n":3}"#),
        record(1, r#"{"n":4}"#),
    ]);
    let rows = |message_key: &str| {
        let source = topic.source(&format!("message_key: {message_key}"));
        let text = format!(
            "name: keys\nsources:\n  t: {{ {source}, key: message }}\nsinks:\n  \
             s: {{ from: t, sqlite: {{ path: t.sqlite, table: t }} }}\n"
        );
        let place = Place::with(&text);
        place.backfill();
        place
    };
    let of = |place: &Place| {
        let rows = sqlite(&place.path("t.sqlite"), "t").into_iter();
        rows.map(|(key, (document, _))| format!("{key} {document}")).collect::<Vec<_>>()
    };
    let place = rows("text");
    assert_eq!(of(&place), [r#"["7"] {"n":2}"#, r#"["a"] {"n":3}"#]);
    let letters = place.dead_letters();
    assert_eq!((letters.len(), letters[0]["reason"].as_str()), (1, Some("message without a key")));
    assert_eq!(letters[0]["payload"], r#"{"n":4}"#);
    assert_eq!(of(&rows("integer")), [r#"[7] {"n":2}"#], "the others are dead letters");
    // Later runs go on with the same keys.
    topic.produce([tombstone(0, "a"), keyed("7", r#"{"n":5}"#)]);
    place.backfill();
    assert_eq!(of(&place), [r#"["7"] {"n":5}"#]);
}

#[test]
fn integers_and_composite_keys_are_deleted_by_what_their_message_keys_say() {
    let topic = Topic::new(1);
    topic.produce([record(0, r#"{"id":17}"#), record(0, r#"{"id":"17"}"#), tombstone(0, "17"), tombstone(0, "x")]);
    let rows = |message_key: &str, key: &str| {
        let source = topic.source(&format!("message_key: {message_key}"));
        let text = format!(
            "name: keys\nsources:\n  t: {{ {source}, key: {key} }}\nsinks:\n  \
             s: {{ from: t, sqlite: {{ path: t.sqlite, table: t }} }}\n"
        );
        let place = Place::with(&text);
        place.backfill();
        let keys: Vec<String> = sqlite(&place.path("t.sqlite"), "t").into_keys().collect();
        (keys.join(" "), place.dead_letters().len())
    };
    assert_eq!(rows("text", "/id"), ("[17]".to_owned(), 0));
    assert_eq!(rows("integer", "/id"), (r#"["17"]"#.to_owned(), 1));
    assert_eq!(rows("json", "/id"), (r#"["17"]"#.to_owned(), 1));
    topic.produce([record(0, r#"{"id":17,"b":"c"}"#), tombstone(0, r#"[17,"c"]"#)]);
    assert_eq!(rows("json", "[/id, /b]").0, "");
}

#[test]
fn headers_and_times_become_fields_if_they_are_asked_for() {
    let topic = Topic::with(1, &[("retention.ms", "-1")]);
    let headers = vec![("model".to_owned(), "m1".to_owned())];
    let payload = Some(r#"{"id":"a"}"#.to_owned());
    topic.produce([Record { headers, payload, timestamp_ms: Some(1_700_000_000_123), ..Record::default() }]);
    let source = topic.source("metadata: _kafka");
    let place = Place::with(&format!(
        "name: meta\nsources:\n  t: {{ {source}, key: /_kafka/headers/model, version: /_kafka/timestamp_ms }}\nsinks:\n  \
         s: {{ from: t, sqlite: {{ path: t.sqlite, table: t }} }}\n"
    ));
    place.backfill();
    let (document, _) = sqlite(&place.path("t.sqlite"), "t").remove(r#"["m1"]"#).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["id"], "a");
    assert_eq!(document["_kafka"]["timestamp_ms"], 1_700_000_000_123_i64);
    assert_eq!((&document["_kafka"]["partition"], &document["_kafka"]["offset"]), (&0.into(), &0.into()));
}

#[test]
fn a_first_run_begins_where_the_pipeline_says_and_later_ones_where_it_ended() {
    // The times are of the past.
    let topic = Topic::with(2, &[("retention.ms", "-1")]);
    let all = lines(0, 40);
    let timed = |n: usize| Record { timestamp_ms: Some(1_700_000_000_000 + n as i64 * 1_000), ..record(0, &*all[n]) };
    topic.produce((0..20).map(timed));
    let read = |start: &str| {
        let place = Place::with(&topic.pipeline(start, SQLITE));
        (records(&place.backfill()), place)
    };
    assert_eq!(read("start: beginning").0, 20);
    assert_eq!(read("start: { timestamp: \"2023-11-14T22:13:25Z\" }").0, 15, "the first record is of 22:13:20");
    assert_eq!(read("start: end, offsets: { \"0\": 12 }").0, 8);
    let (none, place) = read("start: end");
    assert_eq!(none, 0);
    topic.produce(spread(&all[20..], 2));
    assert_eq!(records(&place.backfill()), 20, "what came after the end of then, in both partitions");
}

#[test]
fn what_is_not_committed_is_not_read() {
    let topic = Topic::new(1);
    let all = lines(0, 40);
    topic.transact(true, spread(&all[..20], 1));
    topic.transact(false, spread(&all[20..], 1));
    let place = Place::with(&topic.pipeline("", SQLITE));
    assert_eq!(records(&place.backfill()), 20);
    assert_eq!(place.rows(), expected(&all[..20]));
    let everything = Place::with(&topic.pipeline("isolation: read_uncommitted", SQLITE));
    assert_eq!(records(&everything.backfill()), 40);
    topic.produce(spread(&all[20..], 1));
    assert_eq!(records(&place.backfill()), 20);
    assert_eq!(place.rows(), expected(&all));
}

#[test]
fn a_compacted_topic_gives_the_newest_records() {
    let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "200")];
    let topic = Topic::with(1, &settings);
    let keyed = |key: usize, line: &str| Record { key: Some(format!("n{key}")), ..record(0, line) };
    let all = lines(0, 5);
    let place = Place::with(&topic.pipeline("", SQLITE));
    for _ in 0..30 {
        topic.produce(all.iter().enumerate().map(|(key, line)| keyed(key, line)));
    }
    place.backfill();
    assert_eq!(place.rows(), expected(&all));
    eventually("it is compacted", || {
        // A segment is closed by what comes after it.
        topic.produce([keyed(0, &all[0])]);
        std::thread::sleep(std::time::Duration::from_millis(500));
        topic.count() < 100
    });
    // What the state remembers is gone from the topic; that is nothing to it.
    topic.produce([tombstone(0, "n1")]);
    place.backfill();
    assert_eq!(place.rows(), expected(&[&all[..1], &all[2..]].concat()));
}

#[test]
fn records_that_are_too_long_or_no_json_become_dead_letters_and_the_rest_goes_on() {
    let topic = Topic::new(1);
    let long = format!(r#"{{"annotation_id":"long","x":"{}"}}"#, "y".repeat(20_000));
    topic.produce([record(0, joey()), record(0, "poison \u{0} {"), record(0, long), record(0, kitchen())]);
    let source = format!("{}, key: /annotation_id, max_record_bytes: 10kB", topic.source(""));
    let place = Place::with(&crate::archive::from_source(&source, "", SQLITE));
    place.backfill();
    assert_eq!(place.rows(), expected(&[joey(), kitchen()]));
    let letters = place.dead_letters();
    assert_eq!(letters.len(), 2);
    let reasons: String = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains("longer than max_record_bytes"), "{reasons}");
    assert!(letters.iter().all(|letter| letter["origin"] == format!("{}-0", topic.name)), "{letters:?}");
    place.backfill();
    assert_eq!(place.dead_letters().len(), 2, "exactly once");
}
