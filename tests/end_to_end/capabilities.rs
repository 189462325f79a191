//! The worked example, and one test for each capability of fusion, on the real binary.

use std::time::Duration;

use serde_json::{Value, json};

use super::archive::{FILE, SQLITE, TANTIVY, annotation, deletion, following, joey, kitchen, pipeline, text};
use super::oracle::{Emit, Rules, documents};
use super::support::{Change, Documents, Place, SECOND, changes, eventually, folded, sqlite};

/// The documents that these lines give.
fn moments(fuse: &str, lines: &[String]) -> Documents {
    let place = Place::with(&pipeline(fuse, SQLITE));
    place.write("in/all.ndjson", text(lines));
    let summary = place.backfill();
    assert_eq!(summary["tables"]["annotations"]["dead_letters"], 0, "{:?}", place.dead_letters());
    place.rows()
}

/// Start and end of each document, in seconds.
fn seconds(documents: &Documents) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = documents
        .values()
        .map(|text| {
            let document: Value = serde_json::from_str(text).unwrap();
            let ns = |field: &str| document[field].as_i64().unwrap();
            (ns("time_bucket_start_ns") / SECOND, ns("time_bucket_end_ns") / SECOND)
        })
        .collect();
    ranges.sort_unstable();
    ranges
}

/// The ids of the children of a document.
fn children(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let children = document["source_annotations"].as_array().unwrap();
    children.iter().map(|child| child["annotation_id"].as_str().unwrap().to_owned()).collect()
}

fn buckets(range: std::ops::RangeInclusive<i64>) -> Vec<(i64, i64)> {
    range.map(|second| (second, second + 1)).collect()
}

#[test]
fn joey_and_the_kitchen_share_the_seconds_4_to_7_or_to_8_if_ends_are_included() {
    for (end, shared) in [("exclusive", 4..=7), ("inclusive", 4..=8)] {
        let found = moments(&format!("end: {end}"), &[joey(), kitchen()]);
        assert_eq!(seconds(&found), buckets(shared), "{end}");
        for (key, document) in &found {
            let document: Value = serde_json::from_str(document).unwrap();
            assert_eq!(document["associated_ids"], json!({ "MOVIE_ID": "81686010", "ASSET_ID": "a7" }));
            assert_eq!(*key, format!("[\"a7\",{}]", document["time_bucket_start_ns"]));
            let expected = json!([
                { "annotation_id": "Joey", "annotation_type": "CHARACTER_SEARCH", "label": "Joey",
                  "time_range": { "start_time_ns": 2_000_000_000_i64, "end_time_ns": 8_000_000_000_i64 } },
                { "annotation_id": "kitchen", "annotation_type": "SCENE_SEARCH", "label": "kitchen",
                  "time_range": { "start_time_ns": 4_000_000_000_i64, "end_time_ns": 9_000_000_000_i64 } },
            ]);
            assert_eq!(document["source_annotations"], expected, "both, at their full range");
        }
    }
}

#[test]
fn joey_and_the_kitchen_are_one_run_and_one_segment() {
    let lines = [joey(), kitchen()];
    assert_eq!(seconds(&moments("emit: runs", &lines)), [(4, 8)]);
    assert_eq!(seconds(&moments("emit: segments", &lines)), [(4, 8)]);
    assert_eq!(seconds(&moments("emit: runs, min_modalities: 1", &lines)), [(2, 4), (4, 8), (8, 9)]);
    assert_eq!(seconds(&moments("emit: runs, end: inclusive", &lines)), [(4, 9)]);
    let inclusive = moments("emit: segments, end: inclusive", &lines);
    let document: Value = serde_json::from_str(inclusive.values().next().unwrap()).unwrap();
    assert_eq!(document["time_bucket_end_ns"], 8 * SECOND + 1, "the included end is a nanosecond");
}

#[test]
fn capability_2_times_beyond_2_to_the_53_survive_to_the_document_and_the_columns() {
    let big = (1_i64 << 53) + 1;
    let columns = "columns: { start_ns: /time_bucket_start_ns, ends: /source_annotations/*/time_range/end_time_ns }";
    let sinks =
        format!("  store: {{ from: moments, sqlite: {{ path: moments.sqlite, table: moments, {columns} }} }}\n");
    let place = Place::with(&pipeline("emit: segments", &sinks));
    let score = |line: String| line.replace("\"label\"", "\"score\":0.10000000000000000005,\"label\"");
    let joey = score(annotation("Joey", "a7", "CHARACTER_SEARCH", big, big + 2));
    place.write("in/all.ndjson", text([joey, annotation("kitchen", "a7", "SCENE_SEARCH", big - 2, big + 1)]));
    place.backfill();
    let rows = sqlite(&place.path("moments.sqlite"), "moments");
    let (document, columns) = &rows[&format!("[\"a7\",{big}]")];
    assert_eq!(rows.len(), 1);
    assert!(document.contains("\"time_bucket_start_ns\":9007199254740993,\"time_bucket_end_ns\":9007199254740994,"));
    assert!(document.contains("{\"start_time_ns\":9007199254740993,\"end_time_ns\":9007199254740995}"), "{document}");
    assert!(document.contains("\"score\":0.10000000000000000005,"), "numbers are kept as they came: {document}");
    let ends = format!("[{},{}]", big + 2, big + 1);
    assert_eq!(columns, &[rusqlite::types::Value::Integer(big), rusqlite::types::Value::Text(ends)]);
}

#[test]
fn capability_3_fields_that_nobody_named_are_kept() {
    let sample = r#"{ "annotation_id": "kitchen", "associated_ids": {"ASSET_ID": "a7"}, "type": "SCENE_SEARCH", "time_range": { "start_time_ns": 4000000000, "end_time_ns": 9000000000 }, "embedding_vector": [ -0.036, -0.33, -0.29 ], "label": "kitchen", "confidence_score": 0.72, "extra": {"a": [null, true]} }"#;
    let found = moments("", &[joey(), sample.to_owned()]);
    assert_eq!(seconds(&found), buckets(4..=7));
    for document in found.values() {
        let document: Value = serde_json::from_str(document).unwrap();
        let scene = &document["source_annotations"][1];
        assert_eq!(scene["embedding_vector"].to_string(), "[-0.036,-0.33,-0.29]");
        assert_eq!(scene["extra"], json!({ "a": [null, true] }));
    }
}

#[test]
fn capability_4_a_new_type_needs_no_change() {
    let activity = annotation("dancing", "a7", "ACTIVITY_SEARCH_V2 ünseen", 5 * SECOND, 6 * SECOND);
    let found = moments("", &[joey(), kitchen(), activity]);
    assert_eq!(seconds(&found), buckets(4..=7));
    assert_eq!(children(&found["[\"a7\",5000000000]"]), ["dancing", "Joey", "kitchen"]);
    assert_eq!(children(&found["[\"a7\",6000000000]"]), ["Joey", "kitchen"]);
}

#[test]
fn capability_5_buckets_have_the_width_and_the_boundary_that_are_asked_for() {
    let alone = |fuse: &str| seconds(&moments(&format!("min_modalities: 1, {fuse}"), &[joey()]));
    assert_eq!(alone("end: exclusive"), buckets(2..=7), "six");
    assert_eq!(alone("end: inclusive"), buckets(2..=8), "seven");
    assert_eq!(alone("bucket: 3s"), [(0, 3), (3, 6), (6, 9)]);
    assert_eq!(alone("bucket: 3s, end: inclusive"), [(0, 3), (3, 6), (6, 9)]);
    assert_eq!(moments("min_modalities: 1, bucket: 500ms", &[joey()]).len(), 12);
}

#[test]
fn capability_6_edges_need_not_lie_on_the_grid() {
    let ms = SECOND / 1000;
    let covered = |start_ms: i64, end_ms: i64, end: &str| {
        let line = annotation("x", "a7", "SCENE_SEARCH", start_ms * ms, end_ms * ms);
        seconds(&moments(&format!("min_modalities: 1, end: {end}"), &[line]))
    };
    assert_eq!(covered(2400, 2600, "exclusive"), buckets(2..=2));
    assert_eq!(covered(1900, 2100, "exclusive"), buckets(1..=2));
    for end in ["exclusive", "inclusive"] {
        assert_eq!(covered(2000, 2000, end), buckets(2..=2), "a point is in one bucket");
        assert_eq!(covered(2999, 2999, end), buckets(2..=2));
        assert_eq!(covered(0, 0, end), buckets(0..=0));
    }
    assert_eq!(covered(2400, 3000, "exclusive"), buckets(2..=2));
    assert_eq!(covered(2400, 3000, "inclusive"), buckets(2..=3));
}

#[test]
fn capability_7_only_what_shares_an_asset_and_a_bucket_meets() {
    let elsewhere = annotation("elsewhere", "a8", "SCENE_SEARCH", 0, 20 * SECOND);
    let later = annotation("later", "a7", "SCENE_SEARCH", 12 * SECOND, 20 * SECOND);
    let found = moments("", &[joey(), kitchen(), elsewhere, later]);
    assert_eq!(seconds(&found), buckets(4..=7));
    assert!(found.values().all(|document| children(document) == ["Joey", "kitchen"]));
}

#[test]
fn capability_8_all_that_covers_a_bucket_is_in_it_ordered_by_type_start_end_and_id() {
    let line = |id: &str, kind: &str, start: i64, end: i64| annotation(id, "a7", kind, start * SECOND, end * SECOND);
    let found = moments(
        "",
        &[
            line("z", "SCENE_SEARCH", 5, 6),
            line("b", "CHARACTER_SEARCH", 4, 7),
            line("a", "CHARACTER_SEARCH", 4, 7),
            line("early", "SCENE_SEARCH", 0, 9),
            line("short", "CHARACTER_SEARCH", 4, 6),
            line("text", "DIALOGUE_SEARCH", 5, 6),
            line("y", "SCENE_SEARCH", 5, 6),
        ],
    );
    assert_eq!(children(&found["[\"a7\",5000000000]"]), ["short", "a", "b", "text", "early", "y", "z"]);
}

#[test]
fn capability_9_a_moment_needs_as_many_types_as_asked_for_and_those_that_are_required() {
    let ross = annotation("Ross", "a7", "CHARACTER_SEARCH", 0, 3 * SECOND);
    let text = annotation("text", "a7", "DIALOGUE_SEARCH", 7 * SECOND, 10 * SECOND);
    let lines = [joey(), kitchen(), ross, text];
    let found = |fuse: &str| seconds(&moments(fuse, &lines));
    assert_eq!(found("min_modalities: 1"), buckets(0..=9));
    assert_eq!(found("min_modalities: 2"), buckets(4..=8), "two characters are one type");
    assert_eq!(found("min_modalities: 3"), buckets(7..=7));
    assert_eq!(found("min_modalities: 1, require: [SCENE_SEARCH]"), buckets(4..=8));
    assert_eq!(found("min_modalities: 1, require: [CHARACTER_SEARCH, DIALOGUE_SEARCH]"), buckets(7..=7));
    assert_eq!(found("min_modalities: 1, require: [ACTIVITY_SEARCH]"), []);
}

/// The keys that changed after the fill, in order.
fn touched(changes: &[Change]) -> Vec<&str> {
    let fill = changes[0].epoch;
    changes.iter().filter(|change| change.epoch > fill).map(|change| change.key.as_str()).collect()
}

/// Runs over `first`, then appends each of `later` on its own. `last` must change something, so that its end is seen.
fn after_updates(fuse: &str, first: &[String], later: &[String]) -> Vec<Change> {
    let place = Place::with(&following(fuse, &format!("{SQLITE}{FILE}  count: {{ from: moments, discard: {{}} }}\n")));
    place.write("in/live.ndjson", text(first));
    let rules = Rules { emit: if fuse.contains("runs") { Emit::Runs } else { Emit::Buckets }, ..Rules::default() };
    let expected = |lines: &[String]| documents(lines.iter().map(String::as_str), &rules);
    let run = place.start(&["run", "pipeline.yaml", "--json"]);
    eventually("the fill", || place.rows() == expected(first));
    let mut all = first.to_vec();
    for line in later {
        let before = expected(&all);
        place.append("in/live.ndjson", text([line]));
        all.push(line.clone());
        eventually("an update", || place.rows() == expected(&all));
        if expected(&all) == before {
            // There is nothing to see; some epochs pass.
            std::thread::sleep(Duration::from_millis(150));
        }
    }
    run.signal("TERM");
    let summary = run.wait().summary();
    let changes = changes(&place.path("changes"));
    assert_eq!(folded(changes.clone()), expected(&all));
    let upserts: Vec<&String> = changes.iter().filter_map(|change| change.document.as_ref()).collect();
    for sink in ["store", "changes", "count"] {
        let counts = &summary["sinks"][sink];
        assert_eq!(counts["upserts"], upserts.len(), "{sink}");
        assert_eq!(counts["deletes"], changes.len() - upserts.len(), "{sink}");
    }
    let bytes: usize = upserts.iter().map(|document| document.len()).sum();
    assert_eq!(summary["sinks"]["count"]["bytes"], bytes, "each document is rendered once");
    changes
}

#[test]
fn capability_11_a_late_annotation_touches_only_its_own_buckets() {
    let hour = annotation("hour", "a7", "SCENE_SEARCH", 0, 3600 * SECOND);
    let first = [hour, annotation("Ross", "a7", "CHARACTER_SEARCH", 0, 3600 * SECOND), joey()];
    let late = annotation("late", "a7", "CHARACTER_SEARCH", 2001 * SECOND, 2004 * SECOND);
    let changes = after_updates("", &first, &[late]);
    assert_eq!(changes.len(), 3600 + 3);
    assert_eq!(touched(&changes), ["[\"a7\",2001000000000]", "[\"a7\",2002000000000]", "[\"a7\",2003000000000]"]);
}

#[test]
fn capability_11_an_update_that_changes_nothing_emits_nothing() {
    let first = [joey(), kitchen(), annotation("far", "a7", "SCENE_SEARCH", 50 * SECOND, 51 * SECOND)];
    // Neither a redelivery, nor a deletion of what is not there, nor an annotation alone in its second.
    let nothing = [joey(), deletion("nobody"), annotation("far", "a7", "SCENE_SEARCH", 60 * SECOND, 61 * SECOND)];
    let last = annotation("text", "a7", "DIALOGUE_SEARCH", 8 * SECOND, 9 * SECOND);
    let changes = after_updates("", &first, &[&nothing[..], &[last]].concat());
    assert_eq!(touched(&changes), ["[\"a7\",8000000000]"]);
}

#[test]
fn capability_12_a_document_has_the_exact_shape() {
    let found = moments("bucket: 5s", &[kitchen(), joey()]);
    let expected = concat!(
        r#"{"associated_ids":{"MOVIE_ID":"81686010","ASSET_ID":"a7"},"#,
        r#""time_bucket_start_ns":5000000000,"time_bucket_end_ns":10000000000,"source_annotations":["#,
        r#"{"annotation_id":"Joey","annotation_type":"CHARACTER_SEARCH","label":"Joey","#,
        r#""time_range":{"start_time_ns":2000000000,"end_time_ns":8000000000}},"#,
        r#"{"annotation_id":"kitchen","annotation_type":"SCENE_SEARCH","label":"kitchen","#,
        r#""time_range":{"start_time_ns":4000000000,"end_time_ns":9000000000}}]}"#,
    );
    assert_eq!(found["[\"a7\",5000000000]"], expected);
    assert_eq!(found.len(), 2);
}

#[test]
fn capability_13_running_again_leaves_one_row_and_one_document_a_bucket() {
    let place = Place::with(&pipeline("", &format!("{SQLITE}{TANTIVY}")));
    place.write("in/all.ndjson", text([joey(), kitchen()]));
    for _ in 0..4 {
        place.backfill();
        let rows = place.rows();
        assert_eq!(rows.len(), 4);
        assert_eq!(super::support::tantivy(&place.path("index")), rows);
    }
}

#[test]
fn capability_14_an_annotation_that_is_delivered_again_replaces_itself() {
    let place = Place::with(&pipeline("", SQLITE));
    place.write("in/part-0.ndjson", text([joey(), kitchen(), joey()]));
    place.write("in/part-1.ndjson", text([joey(), kitchen()]));
    let summary = place.backfill();
    let found = place.rows();
    assert_eq!(seconds(&found), buckets(4..=7));
    assert!(found.values().all(|document| children(document) == ["Joey", "kitchen"]));
    let table = &summary["tables"]["annotations"];
    assert_eq!((&table["records"], &table["superseded"], &table["rows"]), (&json!(5), &json!(3), &json!(2)));
}

#[test]
fn capability_16_deletions_shrink_and_delete_documents() {
    let text_line = annotation("text", "a7", "DIALOGUE_SEARCH", 5 * SECOND, 6 * SECOND);
    let first = [joey(), kitchen(), text_line];
    let changes = after_updates("", &first, &[deletion("text"), deletion("kitchen")]);
    let later: Vec<&Change> = changes.iter().filter(|change| change.epoch > changes[0].epoch).collect();
    assert_eq!(later.len(), 5);
    assert_eq!(children(later[0].document.as_ref().unwrap()), ["Joey", "kitchen"], "shrunk");
    assert!(later[1..].iter().all(|change| change.document.is_none()), "one type is no moment: {later:?}");

    let alone = moments("min_modalities: 1", &[joey(), kitchen(), deletion("kitchen"), deletion("Joey")]);
    assert!(alone.is_empty(), "with the last child goes the document: {alone:?}");
}

#[test]
fn capability_16_the_last_child_takes_its_document_with_it_while_it_runs() {
    let place = Place::with(&following("min_modalities: 1", SQLITE));
    place.write("in/live.ndjson", text([joey()]));
    let run = place.start(&["run", "pipeline.yaml", "--json"]);
    eventually("six buckets", || place.rows().len() == 6);
    place.append("in/live.ndjson", text([deletion("Joey")]));
    eventually("none", || place.rows().is_empty());
    run.signal("INT");
    assert_eq!(run.wait().summary()["sinks"]["store"]["deletes"], 6);
}

#[test]
fn capability_21_adjacent_buckets_are_put_together_to_exact_ranges() {
    let place = Place::with(&pipeline("", TANTIVY));
    place.write("in/all.ndjson", text([joey(), kitchen()]));
    place.backfill();
    let query = |args: &[&str]| {
        let clauses = ["query", "index", "--all", "CHARACTER_SEARCH:Joey", "--all", "SCENE_SEARCH:kitchen"];
        let hits = place.flowstone(&[&clauses[..], args].concat()).summary();
        let range = |hit: &Value| (hit["start_ns"].as_i64().unwrap(), hit["end_ns"].as_i64().unwrap());
        assert!(hits.as_array().unwrap().iter().all(|hit| hit["asset"] == "a7"));
        hits.as_array().unwrap().iter().map(range).collect::<Vec<_>>()
    };
    assert_eq!(query(&["--json"]), [(4 * SECOND, 8 * SECOND)]);
    assert_eq!(query(&["--json", "--mode", "intersection"]), [(4 * SECOND, 8 * SECOND)]);
    assert_eq!(query(&["--json", "--mode", "union"]), [(2 * SECOND, 9 * SECOND)]);
    assert_eq!(query(&["--json", "--from", "6s"]), [(6 * SECOND, 8 * SECOND)]);
    assert_eq!(query(&["--json", "--asset", "a8"]), []);
}
