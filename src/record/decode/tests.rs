use super::*;
use crate::record::{Fuser, Row, Scalar};
use flowstone_operators::fuse::Moment;

const JOEY: &str = r#"{"annotation_id":"c1","type":"CHARACTER_SEARCH","label":"Joey","associated_ids":{"MOVIE_ID":"81686010","ASSET_ID":"a7"},"confidence_score":0.93,"time_range":{"start_time_ns":2000000000,"end_time_ns":8000000000},"deleted":false}"#;

/// The sample of the source design: it has neither id nor asset, so these stand around it here.
const KITCHEN: &str = r#"{ "annotation_id": "s1", "associated_ids": {"ASSET_ID": "a7"}, "type": "SCENE_SEARCH",
  "time_range": { "start_time_ns": 4000000000, "end_time_ns": 9000000000 },
  "embedding_vector": [ -0.036, -0.33, -0.29 ], "label": "kitchen", "confidence_score": 0.72 }"#;

fn facet() -> FacetSpec {
    let path = FieldPath::literal;
    FacetSpec {
        by: path("/associated_ids/ASSET_ID"),
        kind: path("/type"),
        start: path("/time_range/start_time_ns"),
        end: path("/time_range/end_time_ns"),
        boundary: Boundary::Exclusive,
        max_range_ns: 100_000_000_000_000,
        context: "associated_ids".to_owned(),
        keep: None,
    }
}

fn spec(facets: Vec<FacetSpec>) -> DecodeSpec {
    let path = FieldPath::literal;
    let (key, delete) = (vec![path("/annotation_id")], Some(path("/deleted")));
    DecodeSpec { key, delete, facets, ..DecodeSpec::default() }
}

fn decode_with(spec: &DecodeSpec, json: &str) -> Result<Record, String> {
    let position = Position { source: 0, partition: 0, offset: 0 };
    Decoder::new(spec).decode(json.as_bytes(), position, || Key::One("origin".into()))
}

fn decode(json: &str) -> Result<Record, String> {
    decode_with(&spec(vec![facet()]), json)
}

fn document(records: Vec<Record>) -> String {
    let asset = records[0].asset(0).unwrap().into();
    let children = records.into_iter().collect();
    let moment = Moment { key: asset, interval: Interval::new(4_000_000_000, 5_000_000_000), children };
    let fused = Fuser::new(0).fused(moment);
    let mut out = Vec::new();
    let length = u64::from(fused.bytes);
    let row = Row::Moment(fused);
    row.write_document(&mut out);
    let mut again = Vec::new();
    crate::record::Renderer::default().document(&row, &mut again);
    assert_eq!(again, out);
    assert_eq!(out.len() as u64, length, "the length is known without rendering");
    String::from_utf8(out).unwrap()
}

#[test]
fn capability_3_samples_decode_and_unknown_fields_are_kept() {
    let joey = decode(JOEY).unwrap();
    assert_eq!(joey.key().to_key(), Key::One("c1".into()));
    assert_eq!((joey.asset(0), joey.kind(0)), (Ok(ScalarRef::Str("a7")), &b"CHARACTER_SEARCH"[..]));
    assert_eq!(joey.interval(0), Interval::new(2_000_000_000, 8_000_000_000));
    let kitchen = decode(KITCHEN).unwrap();
    assert_eq!(kitchen.payload(), Some(KITCHEN.as_bytes()), "bytes are kept as they came");
    assert!(document(vec![kitchen]).contains(r#""embedding_vector": [ -0.036, -0.33, -0.29 ]"#));
}

#[test]
fn capability_12_a_fused_document_has_the_exact_shape() {
    let kitchen = KITCHEN.replace('\n', " ");
    let document = document(vec![decode(JOEY).unwrap(), decode(&kitchen).unwrap()]);
    let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
    let names: Vec<&str> = parsed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["associated_ids", "time_bucket_start_ns", "time_bucket_end_ns", "source_annotations"]);
    assert_eq!(
        document,
        concat!(
            r#"{"associated_ids":{"MOVIE_ID":"81686010","ASSET_ID":"a7"},"time_bucket_start_ns":4000000000,"#,
            r#""time_bucket_end_ns":5000000000,"source_annotations":[{"annotation_id":"c1","annotation_type":"CHARACTER_SEARCH","#,
            r#""label":"Joey","confidence_score":0.93,"time_range":{"start_time_ns":2000000000,"end_time_ns":8000000000}},"#,
            r#"{"annotation_id": "s1","annotation_type":"SCENE_SEARCH",   "#,
            r#""time_range": { "start_time_ns": 4000000000, "end_time_ns": 9000000000 },   "#,
            r#""embedding_vector": [ -0.036, -0.33, -0.29 ], "label": "kitchen", "confidence_score": 0.72}]}"#
        )
    );
}

#[test]
fn capability_2_times_are_integers_of_64_bits_and_survive() {
    let big = (1i64 << 53) + 1;
    let line = JOEY.replace("2000000000", &big.to_string()).replace("8000000000", &(big + 2).to_string());
    let record = decode(&line).unwrap();
    assert_eq!(record.interval(0), Interval::new(big, big + 2));
    assert!(document(vec![record]).contains(&format!(r#"{{"start_time_ns":{big},"end_time_ns":{}}}"#, big + 2)));
}

#[test]
fn bad_ranges_are_refused_with_their_reason() {
    let with =
        |start: &str, end: &str| decode(&JOEY.replace("2000000000", start).replace("8000000000", end)).unwrap_err();
    assert_eq!(with("9", "8"), "range ends before it starts: start 9 ns, end 8 ns");
    assert_eq!(with("-1", "8"), "range starts before zero: -1 ns");
    assert_eq!(
        with("0", "100000000000001"),
        "range is longer than max_range: 100000000000001 ns, at most 100000000000000 ns"
    );
    assert_eq!(with("9223372036854775807", "9223372036854775807"), "range ends beyond the greatest time, 2^63 - 1 ns");
    for bad in ["1.5", "1e9", "\"1\"", "null", "true", "9223372036854775808", "[1]"] {
        let reason = with("1", bad);
        assert_eq!(reason, format!("field /time_range/end_time_ns is not a time in integer nanoseconds: {bad}"));
    }
}

#[test]
fn a_row_of_a_table_that_lets_rows_go_needs_a_time() {
    let spec = DecodeSpec { time: Some(FieldPath::literal("/at")), ..spec(vec![]) };
    let timed =
        |at: &str| decode_with(&spec, &format!(r#"{{"annotation_id":1,"at":{at}}}"#)).map(|record| record.time_ns());
    assert_eq!(timed("1700000000000000001"), Ok(Some(1_700_000_000_000_000_001)));
    assert_eq!(timed("-1"), Ok(Some(-1)));
    assert_eq!(timed(r#""1970-01-01T01:00:00.5+01:00""#), Ok(Some(500_000_000)));
    for bad in ["1.5", "null", "\"yesterday\"", "9223372036854775808", "\"9999-01-01T00:00:00Z\""] {
        let expected = "a time: integer nanoseconds since 1970, or RFC 3339";
        assert_eq!(timed(bad), Err(format!("field /at is not {expected}: {bad}")));
    }
    assert_eq!(decode_with(&spec, r#"{"annotation_id":1}"#).unwrap_err(), "no field /at");
    let deletion = decode_with(&spec, r#"{"annotation_id":1,"deleted":true}"#).unwrap();
    assert_eq!((deletion.payload(), deletion.time_ns()), (None, None), "a deletion needs none");
}

#[test]
fn wrong_and_missing_fields_are_refused_with_their_reason() {
    let refused = |from: &str, to: &str| decode(&JOEY.replacen(from, to, 1)).unwrap_err();
    assert_eq!(refused(r#""annotation_id":"c1","#, ""), "no field /annotation_id");
    assert_eq!(refused(r#""c1""#, "1.5"), "field /annotation_id is not a string or an integer of 64 bits: 1.5");
    assert_eq!(refused(r#""c1""#, r#""\ud800""#).split(':').next(), Some("field /annotation_id is not a valid string"));
    assert_eq!(refused(r#""CHARACTER_SEARCH""#, "7"), "field /type is not a string: 7");
    assert_eq!(refused(r#","ASSET_ID":"a7""#, ""), "no field /associated_ids/ASSET_ID");
    assert_eq!(refused(r#"{"MOVIE_ID":"81686010","ASSET_ID":"a7"}"#, "7"), "no field /associated_ids/ASSET_ID");
    assert_eq!(refused("\"deleted\":false", "\"deleted\":\"yes\""), "field /deleted is not true or false: \"yes\"");
    assert_eq!(refused("\"label\"", "\"type\""), "field /type is there twice");
    assert!(decode(&JOEY[..JOEY.len() - 1]).unwrap_err().starts_with("not a JSON object: "));
}

#[test]
fn a_deletion_needs_its_key_and_nothing_else() {
    let record = decode(r#"{"annotation_id":"c1","deleted":true}"#).unwrap();
    assert!(record.is_deletion());
    assert_eq!(decode(r#"{"deleted":true}"#).unwrap_err(), "no field /annotation_id");
}

#[test]
fn keys_are_strings_integers_or_several_of_them() {
    let mut composite = spec(vec![]);
    composite.key = vec![FieldPath::literal("/a"), FieldPath::literal("/b/0")];
    let record = decode_with(&composite, r#"{"b":[18446744073709551615],"a":"x\u0041"}"#).unwrap();
    assert_eq!(record.key().to_key(), Key::Composite(vec!["xA".into(), Scalar::UInt(u64::MAX)].into()));
    composite.key.clear();
    assert_eq!(decode_with(&composite, "{}").unwrap().key().to_key(), Key::One("origin".into()));
}

#[test]
fn versions_are_integers_or_times() {
    let mut versioned = spec(vec![]);
    versioned.version = Some(FieldPath::literal("/v"));
    let version = |v: &str| decode_with(&versioned, &format!(r#"{{"annotation_id":1,"v":{v}}}"#)).map(|r| r.version());
    assert_eq!(version("-7"), Ok(Some(-7)));
    assert_eq!(version("\"1970-01-01T00:00:01.5+00:00\""), Ok(Some(1_500_000_000)));
    for bad in ["1.5", "\"yesterday\"", "null", "\"9999-01-01T00:00:00Z\""] {
        assert!(version(bad).is_err(), "{bad}");
    }
}

#[test]
fn fields_select_what_children_show() {
    let with = |facet: FacetSpec| document(vec![decode_with(&spec(vec![facet]), JOEY).unwrap()]);
    let children = |document: &str| document[document.find("source_annotations").unwrap() + 20..].to_owned();
    let mut select = facet();
    select.keep = Some(vec!["label".to_owned()]);
    assert_eq!(
        children(&with(select)),
        r#"[{"annotation_id":"c1","annotation_type":"CHARACTER_SEARCH","label":"Joey","time_range":{"start_time_ns":2000000000,"end_time_ns":8000000000}}]}"#
    );
    // A type that is no top-level field is shown first; a context that the record does not have is left out.
    let mut nested = facet();
    nested.kind = FieldPath::literal("/associated_ids/MOVIE_ID");
    nested.context = "nothing".to_owned();
    let document = with(nested);
    assert!(document.starts_with(r#"{"time_bucket_start_ns""#));
    assert!(
        children(&document)
            .starts_with(r#"[{"annotation_type":"81686010","annotation_id":"c1","type":"CHARACTER_SEARCH","#)
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let position = Position { source: 0, partition: 0, offset: 0 };
        let _ = Decoder::new(&spec(vec![facet()])).decode(&bytes, position, || Key::One("o".into()));
    }

    #[test]
    fn no_damage_makes_it_panic(at in 0..JOEY.len(), byte in proptest::num::u8::ANY, cut in 0..JOEY.len()) {
        let mut bytes = JOEY.as_bytes().to_vec();
        bytes[at] = byte;
        let position = Position { source: 0, partition: 0, offset: 0 };
        let mut decoder = Decoder::new(&spec(vec![facet()]));
        let damaged = decoder.decode(&bytes, position, || Key::One("o".into()));
        if damaged.is_ok() {
            proptest::prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
        }
        proptest::prop_assert!(decoder.decode(&bytes[..cut], position, || Key::One("o".into())).is_err());
    }
}
