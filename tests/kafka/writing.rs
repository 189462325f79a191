//! What the sink writes: whole epochs, each key's newest document, nothing twice and nothing left over.

use std::collections::BTreeMap;

use flowstone_services::kafka::{Kafka, KafkaOptions};
use serde_json::{Value, json};

use crate::archive::{SQLITE, annotation, deletion, following, joey, kitchen, pipeline, text};
use crate::oracle::expected;
use crate::support::{Documents, Place, SECOND, sqlite_upper};
use crate::topic::{Topic, Written, eventually, fails, record};

fn sink(topic: &Topic, more: &str) -> String {
    let (brokers, name) = (&topic.brokers, &topic.name);
    format!("  out: {{ from: moments, kafka: {{ brokers: \"{brokers}\", topic: {name} {more} }} }}\n")
}

/// What the records of a topic amount to.
fn folded(written: &[Written]) -> Documents {
    let mut documents = BTreeMap::new();
    for record in written {
        match &record.value {
            Some(value) => documents.insert(record.key.clone(), value.clone()),
            None => documents.remove(&record.key),
        };
    }
    documents
}

#[test]
fn a_topic_holds_what_the_collection_holds_and_deletions_are_tombstones() {
    let topic = Topic::new(3);
    let place = Place::with(&pipeline("", &format!("{SQLITE}{}", sink(&topic, ""))));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place.backfill();
    assert_eq!(folded(&topic.written()), expected(&[joey(), kitchen()]));
    place.write("in/b.ndjson", text([deletion("Joey")]));
    place.backfill();
    let written = topic.written();
    assert_eq!(folded(&written), Documents::new());
    assert_eq!(written.iter().filter(|record| record.value.is_none()).count(), 4, "a tombstone for each moment");
    let epochs: Vec<u64> = written.iter().map(|record| record.epoch).collect();
    assert!(epochs.iter().all(|epoch| *epoch > 0) && epochs.iter().min() < epochs.iter().max(), "{epochs:?}");
    assert_eq!(place.backfill()["outcome"], "complete");
    assert_eq!(topic.written().len(), written.len(), "nothing new, nothing written");
}

#[test]
fn change_records_say_what_has_become_of_a_row() {
    let topic = Topic::new(1);
    let place = Place::with(&pipeline("", &sink(&topic, ", format: change")));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place.backfill();
    place.write("in/b.ndjson", text([deletion("Joey")]));
    place.backfill();
    let changes: Vec<Value> =
        topic.written().iter().map(|record| serde_json::from_str(record.value.as_ref().unwrap()).unwrap()).collect();
    let of = |op: &str| changes.iter().filter(|change| change["op"] == op).collect::<Vec<_>>();
    assert_eq!((of("upsert").len(), of("delete").len()), (4, 4));
    assert_eq!(of("upsert")[0]["after"], of("delete")[0]["before"]);
    assert!(of("upsert").iter().all(|change| change.get("before").is_none()), "all are new");
    assert!(of("delete").iter().all(|change| change.get("after").is_none()));
    assert_eq!(of("upsert")[0]["key"], json!(["a7", 4 * SECOND]));
    assert!(of("delete")[0]["epoch"].as_u64() > of("upsert")[0]["epoch"].as_u64());
}

#[test]
fn a_change_of_a_row_has_its_document_before_and_after_also_in_a_later_run() {
    let topic = Topic::new(1);
    let place = Place::with(&pipeline("", &sink(&topic, ", format: change")));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place.backfill();
    let filled = topic.written().len();
    place.write("in/b.ndjson", text([kitchen().replace("\"label\":\"kitchen\"", "\"label\":\"Hall\"")]));
    place.backfill();
    let changes = topic.written().split_off(filled);
    assert_eq!(changes.len(), 4, "each moment has another scene");
    for change in changes {
        let change: Value = serde_json::from_str(change.value.as_ref().unwrap()).unwrap();
        let scene = |side: &str| change[side]["source_annotations"][1]["label"].clone();
        assert_eq!(
            (change["op"].clone(), scene("before"), scene("after")),
            (json!("upsert"), json!("kitchen"), json!("Hall"))
        );
    }
}

#[test]
fn runs_that_are_killed_write_each_epoch_once_and_whole() {
    let topic = Topic::new(2);
    let place = Place::with(&following("", &sink(&topic, "")));
    place.write("in/live.ndjson", "");
    let mut lines: Vec<String> = Vec::new();
    for round in 0..6_i64 {
        let more = (0..200).map(|n| {
            let (id, kind) = (round * 100 + n, ["CHARACTER_SEARCH", "SCENE_SEARCH"][n as usize % 2]);
            annotation(&format!("n{id}"), "a7", kind, n / 2 * SECOND, (n / 2 + 1) * SECOND)
        });
        let more: Vec<String> = more.collect();
        place.append("in/live.ndjson", text(&more));
        lines.extend(more);
        let before = topic.written().len();
        let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
        eventually("it writes", || topic.written().len() > before);
        run.signal("KILL");
        drop(run);
    }
    let run = place.start(&["run", "pipeline.yaml", "--workers", "3"]);
    eventually("everything is there", || folded(&topic.written()) == expected(&lines));
    run.signal("TERM");
    assert_eq!(run.wait().code, Some(0));
    let mut seen = std::collections::BTreeSet::new();
    let is_new = topic.written().into_iter().all(|record| seen.insert((record.key, record.epoch)));
    assert!(is_new, "a key is written once an epoch");
}

#[test]
fn a_store_that_was_reset_is_filled_and_what_it_should_not_have_is_deleted() {
    let topic = Topic::new(2);
    let place = Place::with(&pipeline("", &sink(&topic, "")));
    place.write("in/a.ndjson", text([joey(), kitchen(), annotation("x", "a8", "SCENE_SEARCH", 0, 2 * SECOND)]));
    place.backfill();
    place.write("pipeline.yaml", pipeline("bucket: 2s", &sink(&topic, "")));
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--accept-changes", "--json"]);
    ran.summary();
    let documents = folded(&topic.written());
    let starts: Vec<&str> = documents.keys().map(String::as_str).collect();
    assert_eq!(starts, [r#"["a7",4000000000]"#, r#"["a7",6000000000]"#]);
}

#[test]
fn a_topic_that_was_made_anew_or_is_another_s_is_refused() {
    let topic = Topic::new(1);
    let place = Place::with(&pipeline("", &sink(&topic, "")));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place.backfill();
    topic.make_anew(1);
    let said = fails(&place);
    assert!(said.contains("sinks reset"), "{said}");

    let other = Topic::new(1);
    other.produce([record(0, "{}")]);
    let place = Place::with(&pipeline("", &sink(&other, "")));
    place.write("in/a.ndjson", text([joey()]));
    let said = fails(&place);
    assert!(said.contains("is not of a sink") && said.contains("a topic of its own"), "{said}");
    let missing = Place::with(&pipeline("", &sink(&other, "")).replace(&other.name, "nosuchtopic"));
    missing.write("in/a.ndjson", text([joey()]));
    let said = fails(&missing);
    assert!(said.contains("brokers know no such topic"), "{said}");
}

#[test]
fn a_later_run_fences_the_first_which_says_so() {
    let topic = Topic::new(1);
    let text_of = following("", &sink(&topic, ""));
    let (first, second) = (Place::with(&text_of), Place::with(&text_of));
    first.write("in/live.ndjson", text([joey(), kitchen()]));
    let mut run = first.start(&["run", "pipeline.yaml", "--workers", "1"]);
    eventually("it writes", || !topic.written().is_empty());
    second.write("in/live.ndjson", text([joey(), kitchen()]));
    let other = second.start(&["run", "pipeline.yaml", "--workers", "1"]);
    let before = topic.written().len();
    eventually("the other one writes", || topic.written().len() > before);
    first.append("in/live.ndjson", text([deletion("Joey")]));
    eventually("it ends", || !run.is_running());
    let ran = run.wait();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("another run has taken over"), "{}", ran.stderr);
    assert_eq!(folded(&topic.written()), expected(&[joey(), kitchen()]));
    other.signal("TERM");
    other.wait();
}

#[test]
fn a_topic_after_a_store_never_tells_of_what_the_store_has_not() {
    let topic = Topic::new(1);
    let out = sink(&topic, "").replace("from: moments,", "from: moments, after: store,");
    let place = Place::with(&following("", &format!("{SQLITE}{out}")));
    place.write("in/live.ndjson", "");
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    let mut lines = Vec::new();
    for n in 0..20 {
        let new = [
            annotation(&format!("c{n}"), "a7", "CHARACTER_SEARCH", n * SECOND, (n + 1) * SECOND),
            annotation(&format!("s{n}"), "a7", "SCENE_SEARCH", n * SECOND, (n + 1) * SECOND),
        ];
        place.append("in/live.ndjson", text(&new));
        lines.extend(new);
        eventually("an announcement", || {
            let told = topic.written();
            let upper = sqlite_upper(&place.path("moments.sqlite")).unwrap_or(0);
            assert!(told.iter().all(|record| record.epoch < upper), "the store is at {upper}");
            folded(&told) == expected(&lines)
        });
    }
    run.signal("TERM");
    assert_eq!(run.wait().code, Some(0));
}

#[test]
fn commits_that_brokers_do_not_take_in_time_end_the_run_and_the_next_one_writes_the_epoch() {
    let kafka = Kafka::start(&KafkaOptions { proxied: true, ..KafkaOptions::default() }).unwrap();
    let topic = Topic::at(&kafka.brokers(), 1, 1, &[]);
    let out = sink(&topic, ", transaction_timeout: 10s").replace(&topic.brokers, &kafka.proxied());
    let place = Place::with(&following("", &out));
    let mut lines = vec![joey(), kitchen()];
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "1"]);
    eventually("it writes", || folded(&topic.written()) == expected(&lines));
    kafka.proxy(0).stick();
    lines.push(deletion("Joey"));
    place.append("in/live.ndjson", text(&lines[2..]));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("kafka sink \"out\""), "{}", ran.stderr);
    assert_eq!(folded(&topic.written()), expected(&lines[..2]), "nothing of the epoch is seen");
    kafka.proxy(0).heal();
    let run = place.start(&["run", "pipeline.yaml", "--workers", "1"]);
    eventually("it is written", || folded(&topic.written()) == expected(&lines));
    run.signal("TERM");
    assert_eq!(run.wait().code, Some(0));
}
