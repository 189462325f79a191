//! What can not be processed is a dead letter, exactly once; everything is counted; good rows stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use super::archive::{FILE, SQLITE, annotation, deletion, joey, kitchen, pipeline, text};
use super::support::{Place, SECOND, changes, folded, sqlite};

/// `records = applied + deletions + dead letters`; returns these.
fn counts(summary: &Value) -> [u64; 4] {
    let table = &summary["tables"]["annotations"];
    let [records, applied, deletions, dead] =
        ["records", "applied", "deletions", "dead_letters"].map(|name| table[name].as_u64().unwrap());
    assert_eq!(records, applied + deletions + dead, "{summary}");
    [records, applied, deletions, dead]
}

/// Each with a part of the reason that must be given.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let line = |from: &str, to: &str| {
        let good = joey();
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1).into_bytes()
    };
    let start = "\"start_time_ns\":2000000000";
    let deep = format!("{{\"annotation_id\":\"Joey\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cut = joey().as_bytes()[..joey().len() - 1].to_vec();
    vec![
        (b"junk".to_vec(), "not a JSON object"),
        (b"\x00\x01\x02\xfe\xff\x00binary\x80".to_vec(), "not a JSON object"),
        (b"{\"annotation_id\":\"Joey\",\"label\":\"\xff\xfe\"}".to_vec(), "not a JSON object"),
        (cut, "not a JSON object"),
        (joey().as_bytes()[..40].to_vec(), "not a JSON object"),
        (b"[]".to_vec(), "not a JSON object"),
        (b"null".to_vec(), "not a JSON object"),
        (b"{}".to_vec(), "no field /annotation_id"),
        (line("}}", "}} {}"), "characters after its end"),
        (deep.into_bytes(), "nested deeper than 128"),
        (line("\"annotation_id\":\"Joey\"", "\"annotation_id\":[\"Joey\"]"), "field /annotation_id is not a string"),
        (line("\"annotation_id\"", "\"id\""), "no field /annotation_id"),
        (line("\"ASSET_ID\":\"a7\"", "\"ASSET_ID\":null"), "field /associated_ids/ASSET_ID is not a string"),
        (line("\"type\":\"CHARACTER_SEARCH\"", "\"type\":7"), "field /type is not a string: 7"),
        (line("\"type\":", "\"type\":\"SCENE_SEARCH\",\"type\":"), "field /type is there twice"),
        (line(start, "\"start_time_ns\":-1"), "range starts before zero: -1 ns"),
        (line(start, "\"start_time_ns\":8000000001"), "range ends before it starts"),
        (line(start, "\"start_time_ns\":2.5"), "is not a time in integer nanoseconds: 2.5"),
        (line(start, "\"start_time_ns\":2e9"), "is not a time in integer nanoseconds: 2e9"),
        (line(start, "\"start_time_ns\":\"2\""), "is not a time in integer nanoseconds"),
        (line(start, "\"start\":2"), "no field /time_range/start_time_ns"),
        (line("8000000000", "100002000000001"), "range is longer than max_range: 100000000000001 ns"),
        (line("8000000000", "9223372036854775808"), "is not a time in integer nanoseconds"),
        (line("\"label\"", "\"deleted\":\"yes\",\"label\""), "field /deleted is not true or false"),
    ]
}

#[test]
fn every_bad_line_is_a_dead_letter_once_and_the_good_rows_stay() {
    let place = Place::with(&pipeline("", SQLITE));
    let bad = bad_lines();
    // First good ones, under the keys of the bad ones.
    let mut content = text([joey(), kitchen(), deletion("nobody")]).into_bytes();
    let mut expected = BTreeMap::new();
    for (line, reason) in &bad {
        expected.insert(content.len() as u64, (line, reason));
        content.extend_from_slice(line);
        content.extend_from_slice(b"\r\n \t\n");
    }
    place.write("in/a.ndjson", &content);
    // The same ones in another file are others. Its last line has no end.
    let unfinished = content.len() - 5;
    place.write("in/b.ndjson", &content[..unfinished]);
    for workers in ["1", "3"] {
        std::fs::remove_dir_all(place.path("state")).ok();
        let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", workers]);
        let summary = ran.summary();
        let dead = 2 * bad.len() as u64;
        assert_eq!(counts(&summary), [dead + 6, 4, 2, dead]);
        assert_eq!(summary["dead_letters"]["count"], dead);
        assert!(summary["dead_letters"]["path"].as_str().unwrap().ends_with("state/dead-letters.ndjson"));
        assert_eq!(place.rows().len(), 4, "Joey and the kitchen are still there");

        for file in ["in/a.ndjson", "in/b.ndjson"] {
            let letters: Vec<Value> = place.dead_letters().into_iter().filter(|l| l["origin"] == file).collect();
            assert_eq!(letters.len(), bad.len(), "{file}: each once");
            let mut expected = expected.clone();
            for letter in &letters {
                assert_eq!(letter["node"], "annotations");
                let (line, reason) = expected.remove(&letter["offset"].as_u64().unwrap()).unwrap();
                let said = letter["reason"].as_str().unwrap();
                assert!(said.contains(reason), "{reason:?} is not in {said:?}");
                assert_eq!(letter["payload_bytes"], line.len());
                // Long ones are kept in part.
                let kept = &line[..line.len().min(64 << 10)];
                match std::str::from_utf8(kept) {
                    Ok(text) => assert_eq!(letter["payload"], text),
                    Err(_) => {
                        let hex: String = kept.iter().map(|byte| format!("{byte:02x}")).collect();
                        assert_eq!(letter["payload_hex"], hex);
                    }
                }
            }
        }
    }
}

#[test]
fn a_line_of_100_mb_is_a_dead_letter_and_costs_no_memory() {
    let place = Place::with(&pipeline("", SQLITE));
    place.write("in/a.ndjson", "");
    let mut file = BufWriter::new(File::create(place.path("in/a.ndjson")).unwrap());
    file.write_all(text([joey()]).as_bytes()).unwrap();
    let piece = [b'x'; 1 << 20];
    file.write_all(b"{\"annotation_id\":\"long\",\"label\":\"").unwrap();
    (0..100).for_each(|_| file.write_all(&piece).unwrap());
    file.write_all(format!("\"}}\n{}\n", kitchen()).as_bytes()).unwrap();
    drop(file);
    let summary = place.backfill();
    assert_eq!(counts(&summary), [3, 2, 0, 1]);
    assert_eq!(place.rows().len(), 4, "what follows it is read");
    let letter = &place.dead_letters()[0];
    let bytes = 33 + (100 << 20) + 2;
    assert_eq!(letter["reason"], format!("record of {bytes} bytes is longer than max_record_bytes"));
    assert_eq!((&letter["payload_bytes"], &letter["offset"]), (&json!(bytes), &json!(joey().len() + 1)));
    let kept = letter["payload"].as_str().unwrap();
    assert!(kept.starts_with("{\"annotation_id\":\"long\"") && kept.len() <= 64 << 10, "{}", kept.len());
}

#[test]
fn files_of_junk_are_counted_to_the_last_line() {
    use rand::{Rng, SeedableRng};
    let place = Place::with(&pipeline("", &format!("{SQLITE}{FILE}")));
    let mut lines = 0;
    for (n, name) in ["in/a.ndjson", "in/b.ndjson"].iter().enumerate() {
        let mut bytes = vec![0; 200_000];
        rand_chacha::ChaCha8Rng::seed_from_u64(n as u64).fill_bytes(&mut bytes);
        let blank = |line: &[u8]| line.iter().all(|byte| b" \t\r".contains(byte));
        lines += bytes.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count() as u64;
        place.write(name, bytes);
    }
    let summary = place.backfill();
    assert_eq!(counts(&summary), [lines, 0, 0, lines]);
    let places: BTreeSet<String> =
        place.dead_letters().iter().map(|letter| format!("{} {}", letter["origin"], letter["offset"])).collect();
    assert_eq!(places.len() as u64, lines);
    assert!(place.rows().is_empty());
}

#[test]
fn documents_that_are_too_large_are_rejected_and_come_back_when_they_shrink() {
    let cases = [
        ("max_children: 3", 1, "document of 4 children is larger than max_children 3"),
        ("max_document_bytes: 1kB", 200, "bytes is larger than max_document_bytes 1000"),
    ];
    for (limit, letters, reason) in cases {
        let long = |id: &str| annotation(&id.repeat(letters), "a7", "OBJECT_SEARCH", 4 * SECOND, 6 * SECOND);
        let sinks = "  rejects: { from: moments.rejected, sqlite: { path: rejects.sqlite, table: rejects } }\n";
        let place = Place::with(&pipeline(limit, &format!("{SQLITE}{FILE}{sinks}")));
        place.write("in/a.ndjson", text([joey(), kitchen(), long("x"), long("y")]));
        let summary = place.backfill();
        assert_eq!(counts(&summary), [4, 4, 0, 0]);
        assert_eq!(summary["rejected"]["moments"], 2, "the seconds 4 and 5");
        let keys = |rows: Vec<&String>| rows.into_iter().cloned().collect::<Vec<_>>();
        let rejected = sqlite(&place.path("rejects.sqlite"), "rejects");
        assert_eq!(keys(rejected.keys().collect()), ["[\"a7\",4000000000]", "[\"a7\",5000000000]"]);
        for (key, (document, _)) in &rejected {
            let document: Value = serde_json::from_str(document).unwrap();
            assert_eq!(document["key"].to_string(), *key);
            assert!(document["reason"].as_str().unwrap().contains(reason), "{document}");
        }
        assert_eq!(keys(place.rows().keys().collect()), ["[\"a7\",6000000000]", "[\"a7\",7000000000]"]);
        assert_eq!(folded(changes(&place.path("changes"))), place.rows());
        let refused: BTreeSet<String> = place
            .dead_letters()
            .iter()
            .map(|letter| {
                assert!(letter["node"] == "moments" && letter["reason"].as_str().unwrap().contains(reason), "{letter}");
                letter["origin"].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(refused.iter().eq(rejected.keys()), "and each is a dead letter: {refused:?}");

        place.append("in/a.ndjson", text([deletion(&"x".repeat(letters))]));
        let summary = place.backfill();
        assert_eq!((&summary["rejected"]["moments"], place.rows().len()), (&json!(0), 4), "{limit}");
        assert!(sqlite(&place.path("rejects.sqlite"), "rejects").is_empty());
        assert_eq!(place.dead_letters().len(), 2, "what was said is not taken back");
    }
}
