//! Tables: keys, versions, several sources, unkeyed sources, formats of files, and columns.

use std::io::Write;

use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use super::archive::{SQLITE, annotation, joey, kitchen, pipeline, text};
use super::support::{Place, SECOND, sqlite};

/// A pipeline without operators, whose sources are all of the same kind.
fn tables(sources: &str, operators: &str, sinks: &str) -> Place {
    Place::with(&format!("name: test\nsources:\n{sources}{operators}sinks:\n{sinks}"))
}

fn table(place: &Place) -> Vec<(String, String)> {
    sqlite(&place.path("rows.sqlite"), "rows").into_iter().map(|(key, row)| (key, row.0)).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(key, document)| ((*key).to_owned(), (*document).to_owned())).collect()
}

const ROWS: &str = "rows: { from: NODE, sqlite: { path: rows.sqlite, table: rows } }";

fn rows_of(node: &str) -> String {
    format!("  {}\n", ROWS.replace("NODE", node))
}

#[test]
fn keys_are_strings_or_integers_compared_by_type() {
    let place = tables("  t: { file: { paths: [in.ndjson] }, key: /id }\n", "", &rows_of("t"));
    let lines = [
        r#"{"id":7,"v":"integer"}"#,
        r#"{"id":"7","v":"string"}"#,
        r#"{"id":-7}"#,
        r#"{"id":18446744073709551615}"#,
        r#"{"id":"\u0041\n","v":"old"}"#,
        r#"{"id":"A\n","v":"new"}"#,
        r#"{"id":""}"#,
        r#"{"id":1.5}"#,
        r#"{"id":null}"#,
        r#"{"id":true}"#,
        r#"{"id":["a"]}"#,
        r#"{"id":18446744073709551616}"#,
        r#"{"other":1}"#,
    ];
    place.write("in.ndjson", text(lines));
    let summary = place.backfill();
    let expected = [
        (r#"["7"]"#, lines[1]),
        (r#"[""]"#, lines[6]),
        (r#"["A\n"]"#, lines[5]),
        ("[-7]", lines[2]),
        ("[18446744073709551615]", lines[3]),
        ("[7]", lines[0]),
    ];
    let mut expected = pairs(&expected);
    expected.sort();
    assert_eq!(table(&place), expected);
    assert_eq!(summary["tables"]["t"]["dead_letters"], 6);
    let reasons: Vec<Value> = place.dead_letters().iter().map(|letter| letter["reason"].clone()).collect();
    assert!(reasons.contains(&json!("no field /id")), "{reasons:?}");
    assert!(reasons.contains(&json!("field /id is not a string or an integer of 64 bits: 1.5")), "{reasons:?}");
}

#[test]
fn composite_keys_are_told_apart_by_their_parts() {
    let place = tables("  t: { file: { paths: [in.ndjson] }, key: [/a, /in/b] }\n", "", &rows_of("t"));
    let lines = [
        r#"{"a":"ab","in":{"b":"c"}}"#,
        r#"{"a":"a","in":{"b":"bc"}}"#,
        r#"{"a":"a","in":{"b":1},"v":1}"#,
        r#"{"a":"a","in":{"b":1},"v":2}"#,
        r#"{"a":1,"in":{"b":"a"}}"#,
        r#"{"a":1}"#,
    ];
    place.write("in.ndjson", text(lines));
    assert_eq!(place.backfill()["tables"]["t"]["dead_letters"], 1);
    let expected =
        [(r#"["a","bc"]"#, lines[1]), (r#"["a",1]"#, lines[3]), (r#"["ab","c"]"#, lines[0]), (r#"[1,"a"]"#, lines[4])];
    assert_eq!(table(&place), pairs(&expected));
}

#[test]
fn a_composite_key_orders_and_names_children() {
    let source = "  t: { file: { paths: [in.ndjson] }, key: [/show, /n] }\n";
    let operators = "operators:\n  m: { fuse: { from: t, by: /asset, type: /type, range: { start: /s, end: /e }, \
        min_modalities: 1, fields: [/note] } }\n";
    let place = tables(source, operators, &rows_of("m"));
    let line = |n: i64| format!(r#"{{"show":"x","asset":7,"type":"T","s":0,"e":9,"n":{n},"note":{n}.0,"more":1}}"#);
    place.write("in.ndjson", text([line(10), line(9), line(10)]));
    place.backfill();
    let child = |n: i64| format!(r#"{{"show":"x","annotation_type":"T","s":0,"e":9,"n":{n},"note":{n}.0}}"#);
    let document = format!(
        r#"{{"asset":7,"time_bucket_start_ns":0,"time_bucket_end_ns":1000000000,"source_annotations":[{},{}]}}"#,
        child(9),
        child(10)
    );
    assert_eq!(table(&place), pairs(&[("[7,0]", &document)]), "integers by value, of the fields only those named");
}

#[test]
fn an_unkeyed_source_goes_straight_into_a_sink_each_line_by_its_place() {
    let place = tables("  t: { file: { paths: [\"in/*.ndjson\"] } }\n", "", &rows_of("t"));
    place.write("in/a.ndjson", "{\"x\":1}\n\n{\"x\":1}\njunk\n");
    place.write("in/b.ndjson", " {\"x\":2}");
    let summary = place.backfill();
    let expected = [
        (r#"["t","in/a.ndjson",0]"#, r#"{"x":1}"#),
        (r#"["t","in/a.ndjson",9]"#, r#"{"x":1}"#),
        (r#"["t","in/b.ndjson",0]"#, r#" {"x":2}"#),
    ];
    assert_eq!(table(&place), pairs(&expected));
    let counts = &summary["tables"]["t"];
    assert_eq!((&counts["records"], &counts["applied"], &counts["dead_letters"]), (&json!(4), &json!(3), &json!(1)));
}

const TWO: &str = "  archive: { file: { paths: [archive.ndjson] } }\n  live: { file: { paths: [live.ndjson] } }\n";

#[test]
fn an_upsert_of_two_sources_goes_by_version() {
    let upsert = "operators:\n  all: { upsert: { from: [archive, live], key: /id, version: /at, delete: /gone } }\n";
    let place = tables(TWO, upsert, &rows_of("all"));
    let archive = [
        r#"{"id":"a","at":5,"v":"newest"}"#,
        r#"{"id":"b","at":1,"v":"old"}"#,
        r#"{"id":"c","at":9,"gone":true}"#,
        r#"{"id":"d","at":"2024-05-01T00:00:00Z","v":"old"}"#,
        r#"{"id":"e","at":3,"v":"tie, first source"}"#,
        r#"{"id":"f","v":"no version"}"#,
    ];
    let live = [
        r#"{"id":"a","at":4,"v":"late"}"#,
        r#"{"id":"b","at":2,"v":"newest"}"#,
        r#"{"id":"c","at":8,"v":"older than its deletion"}"#,
        r#"{"id":"d","at":"2024-05-01T02:00:00.5+01:00","v":"newest"}"#,
        r#"{"id":"e","at":3,"v":"tie, second source"}"#,
        r#"{"id":"g","at":1,"gone":true}"#,
        r#"{"id":"g","at":2,"v":"back again"}"#,
    ];
    place.write("archive.ndjson", text(archive));
    place.write("live.ndjson", text(live));
    let summary = place.backfill();
    let expected = [("a", archive[0]), ("b", live[1]), ("d", live[3]), ("e", live[4]), ("g", live[6])]
        .map(|(id, document)| (format!("[\"{id}\"]"), document.to_owned()));
    assert_eq!(table(&place), expected);
    let counts = &summary["tables"]["all"];
    assert_eq!(counts["records"], 13);
    assert_eq!((&counts["applied"], &counts["deletions"], &counts["dead_letters"]), (&json!(10), &json!(2), &json!(1)));
    assert_eq!(counts["ambiguous"], 0);
}

#[test]
fn without_versions_the_later_source_wins_and_the_summary_says_so() {
    let upsert = "operators:\n  all: { upsert: { from: [live, archive], key: /id } }\n";
    let place = tables(TWO, upsert, &rows_of("all"));
    place.write("archive.ndjson", "{\"id\":1,\"v\":\"archive\"}\n");
    place.write("live.ndjson", "{\"id\":1,\"v\":\"live\"}\n");
    let ran = place.flowstone(&["backfill", "pipeline.yaml"]);
    assert_eq!(table(&place), pairs(&[("[1]", r#"{"id":1,"v":"live"}"#)]), "the order of the sources in the file");
    assert!(ran.stdout.contains("all: 1 record met another of the same key from another partition"), "{}", ran.stdout);
}

/// Every pipeline writes each line that is no good once, however many of its tables read the line.
#[test]
fn a_bad_line_that_two_tables_read_is_one_dead_letter() {
    let upsert =
        "operators:\n  a: { upsert: { from: [archive, live], key: /id } }\n  b: { upsert: { from: live, key: /n } }\n";
    let sinks = "  c: { from: a, discard: {} }\n  d: { from: b, discard: {} }\n  e: { from: live, discard: {} }\n";
    let place = tables(TWO, upsert, sinks);
    place.write("archive.ndjson", "{\"id\":1}\n");
    place.write("live.ndjson", "{\"id\":2,\"n\":3}\njunk\n{\"id\":1}\n{}\n{\"n\":4}\n");
    for workers in ["1", "2", "3"] {
        std::fs::remove_dir_all(place.path("state")).ok();
        let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", workers]);
        let summary = ran.summary();
        assert_eq!(summary["tables"]["a"]["dead_letters"], 3);
        assert_eq!(summary["tables"]["b"]["dead_letters"], 3);
        assert_eq!(summary["tables"]["live"]["dead_letters"], 1);
        assert_eq!(summary["dead_letters"]["count"], 4);
        let mut lines: Vec<(u64, String)> = place
            .dead_letters()
            .iter()
            .map(|letter| (letter["offset"].as_u64().unwrap(), letter["payload"].as_str().unwrap().to_owned()))
            .collect();
        lines.sort();
        let expected = [(15, "junk"), (20, "{\"id\":1}"), (29, "{}"), (32, "{\"n\":4}")];
        assert_eq!(lines, expected.map(|(offset, line)| (offset, line.to_owned())), "{workers} workers");
    }
}

#[test]
fn columns_are_taken_from_the_document() {
    let columns = "columns: { asset: /associated_ids/ASSET_ID, start: /time_bucket_start_ns, \
        types: /source_annotations/*/annotation_type, first: /source_annotations/0/label, none: /nothing }";
    let sinks =
        format!("  store: {{ from: moments, sqlite: {{ path: moments.sqlite, table: moments, {columns} }} }}\n");
    let place = Place::with(&pipeline("emit: runs", &sinks));
    place.write("in/all.ndjson", text([joey(), kitchen()]));
    place.backfill();
    let rows = sqlite(&place.path("moments.sqlite"), "moments");
    let text = |text: &str| Cell::Text(text.to_owned());
    let expected = [
        text("a7"),
        Cell::Integer(4 * SECOND),
        text(r#"["CHARACTER_SEARCH","SCENE_SEARCH"]"#),
        text("Joey"),
        Cell::Null,
    ];
    assert_eq!(rows["[\"a7\",4000000000]"].1, expected);
}

#[test]
fn dead_letters_can_be_written_to_a_sink_of_choice() {
    let sinks = format!("{SQLITE}  letters: {{ from: dead_letters, sqlite: {{ path: rows.sqlite, table: rows }} }}\n");
    let place = Place::with(&pipeline("", &sinks));
    place.write("in/all.ndjson", text([&joey(), "junk", &kitchen(), "{}"]));
    place.backfill();
    let offset = joey().len() + 1;
    let (key, document) = &table(&place)[0];
    assert_eq!(*key, format!(r#"["annotations","in/all.ndjson",{offset}]"#));
    let letter: Value = serde_json::from_str(document).unwrap();
    assert_eq!(letter["payload"], "junk");
    let mut everywhere: Vec<Value> =
        table(&place).iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    everywhere.sort_by_key(|letter| letter["offset"].as_u64());
    let mut file = place.dead_letters();
    file.sort_by_key(|letter| letter["offset"].as_u64());
    assert_eq!(everywhere, file, "and to the file as well");
    assert_eq!(file.len(), 2);
}

#[test]
fn compressed_files_give_what_plain_ones_give() {
    let lines: Vec<String> = (0..3000)
        .map(|n| {
            let kind = ["CHARACTER_SEARCH", "SCENE_SEARCH"][n % 2];
            let start = n as i64 * SECOND / 10;
            annotation(&format!("n{}", n % 2900), &format!("a{}", n % 7), kind, start, start + SECOND)
        })
        .collect();
    let place = Place::with(&pipeline("", SQLITE));
    let halves = lines.split_at(1500);
    place.write("in/part-0.ndjson", text(halves.0));
    place.write("in/part-1.ndjson", text(halves.1));
    place.backfill();
    let plain = place.rows();
    assert!(plain.len() > 100, "{}", plain.len());
    place.remove("in/part-0.ndjson");
    place.remove("in/part-1.ndjson");

    // Several members or frames one after the other are one content.
    let (mut gz, mut zst) = (Vec::new(), Vec::new());
    for part in halves.0.chunks(700) {
        let mut encoder = flate2::write::GzEncoder::new(&mut gz, flate2::Compression::fast());
        encoder.write_all(text(part).as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    for part in halves.1.chunks(700) {
        zst.extend(zstd::encode_all(text(part).as_bytes(), 1).unwrap());
    }
    place.write("in/part-0.ndjson.gz", &gz);
    place.write("in/part-1.ndjson.zst", &zst);
    std::fs::remove_dir_all(place.path("state")).unwrap();
    assert_eq!(place.backfill()["tables"]["annotations"]["records"], 3000);
    assert_eq!(place.rows(), plain);

    // What is cut short is not taken for the whole: the sinks stay as they are.
    for (name, whole) in [("in/part-0.ndjson.gz", &gz), ("in/part-1.ndjson.zst", &zst)] {
        place.write(name, &whole[..whole.len() - 20]);
        std::fs::remove_dir_all(place.path("state")).unwrap();
        let said = place.refused(1);
        assert!(said.contains("could not decompress") && said.contains(name), "{said}");
        place.write(name, whole);
        assert_eq!(place.rows(), plain);
    }
}
