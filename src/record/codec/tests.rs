//! What is written is read again; nothing else is ever read as a row.

use flowstone_operators::generations::{Generational, Role, Stage};
use flowstone_operators::interval::Boundary;
use flowstone_operators::route::Route;
use flowstone_operators::table::Versioned;
use proptest::prelude::*;

use super::*;
use crate::record::decode::FacetSpec;
use crate::record::packed::*;
use crate::record::path::FieldPath;
use crate::record::pieces::{ChildPiece, Lead, Slice};
use crate::record::scalar::{Key, Scalar, ScalarRef};
use flowstone_operators::interval::Interval;

const JOEY: &str = r#"{"annotation_id":"c1","type":"CHARACTER_SEARCH","label":"Joey","associated_ids":{"MOVIE_ID":"81686010","ASSET_ID":"a7"},"confidence_score":0.93,"time_range":{"start_time_ns":2000000000,"end_time_ns":8000000000},"deleted":false}"#;

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

fn position() -> Position {
    Position { source: 3, partition: 70_000, offset: 1 << 40 }
}

fn joey(spec: &DecodeSpec) -> Record {
    decode::Decoder::new(spec).decode(JOEY.as_bytes(), position(), || Key::One("origin".into())).unwrap()
}

fn encoded(record: &Record) -> (Vec<u8>, Vec<u8>) {
    (record.key_bytes().to_vec(), record.value_bytes().to_vec())
}

/// Records are equal by key and payload; here all of it counts, and what the index says of it.
fn assert_same(a: &Record, b: &Record) {
    assert_eq!((encoded(a), a.route()), (encoded(b), b.route()));
    assert_eq!(seen(a), seen(b));
}

/// All that is read of a record through its index.
fn seen(record: &Record) -> String {
    let facets = (0..record.facets_len()).map(|at| match record.asset(at) {
        Err(reason) => reason.to_owned(),
        Ok(asset) => {
            let child = record.child(at);
            format!(
                "{asset:?} {:?} {:?} {:?} {:?} {}",
                record.kind(at),
                record.interval(at),
                child.pieces.collect::<Vec<_>>(),
                child.context,
                record.rendered_bytes(at)
            )
        }
    });
    let facets: Vec<String> = facets.collect();
    let state = (record.version(), record.position(), record.time_ns());
    format!("{:?} {state:?} {:?} {facets:?}", record.key(), record.payload())
}

fn other() -> FacetSpec {
    FacetSpec { by: FieldPath::literal("/label"), keep: Some(vec!["label".to_owned()]), ..facet() }
}

#[test]
fn a_row_comes_back_as_it_was() {
    let spec = spec(vec![facet(), other()]);
    let record = joey(&spec);
    let (key, value) = encoded(&record);
    let mut decoder = Decoder::new(&spec);
    let [first, second] = [0, 1].map(|_| decoder.record(&key, record.route(), &value).unwrap());
    assert_same(&first, &record);
    assert_same(&second, &record);
    assert!(value.len() < JOEY.len() + 2 * 60, "{} bytes for {}", value.len(), JOEY.len());
}

#[test]
fn the_facets_of_a_changed_operator_are_taken_from_the_payload_again() {
    let (written, read) = (spec(vec![facet()]), spec(vec![other(), facet()]));
    let (key, value) = encoded(&joey(&written));
    let record = Decoder::new(&read).record(&key, 0, &value).unwrap();
    assert_eq!(seen(&record), seen(&joey(&read)));
}

#[test]
fn a_row_of_no_use_for_an_added_operator_says_why_and_says_it_again() {
    let mut needs_more = facet();
    needs_more.by = FieldPath::literal("/associated_ids/EPISODE_ID");
    let (written, read) = (spec(vec![facet()]), spec(vec![facet(), needs_more]));
    let (key, value) = encoded(&joey(&written));
    let mut decoder = Decoder::new(&read);
    let record = decoder.record(&key, 0, &value).unwrap();
    assert!(record.asset(0).is_ok());
    assert_eq!(record.asset(1), Err("no field /associated_ids/EPISODE_ID"));
    let (key, value) = encoded(&record);
    assert_same(&decoder.record(&key, 0, &value).unwrap(), &record);
}

/// The settings are others when the row is read, so that nothing but what was written can be where it comes from.
#[test]
fn a_time_is_not_taken_from_the_payload_again() {
    let timed = DecodeSpec { time: Some(FieldPath::literal("/time_range/end_time_ns")), ..spec(vec![]) };
    let record = joey(&timed);
    assert_eq!(record.time_ns(), Some(8_000_000_000));
    let (key, value) = encoded(&record);
    assert_same(&Decoder::new(&spec(vec![])).record(&key, record.route(), &value).unwrap(), &record);
    assert_eq!(fingerprint(&timed), fingerprint(&spec(vec![])), "facets do not depend on it");
}

#[test]
fn the_fingerprint_is_pinned_and_tells_settings_apart() {
    // State is read by it: it must not change without need.
    assert_eq!(fingerprint(&spec(vec![facet()])), 9982260296262900072);
    let change = |change: &dyn Fn(&mut FacetSpec)| {
        let mut facet = facet();
        change(&mut facet);
        spec(vec![facet])
    };
    let mut specs = vec![spec(vec![facet()]), spec(vec![]), spec(vec![facet(), facet()]), spec(vec![other()])];
    specs.push(change(&|f| f.boundary = Boundary::Inclusive));
    specs.push(change(&|f| f.max_range_ns += 1));
    specs.push(change(&|f| f.context = "associated_ids\nkeep 3 all".to_owned()));
    specs.push(change(&|f| f.keep = Some(vec![])));
    specs.push(change(&|f| f.keep = Some(vec!["a\nkept 1 b".to_owned()])));
    specs.push(change(&|f| f.keep = Some(vec!["a".to_owned(), "b".to_owned()])));
    specs.push(DecodeSpec { delete: None, ..spec(vec![facet()]) });
    specs.push(DecodeSpec { key: vec![], ..spec(vec![facet()]) });
    let mut fingerprints: Vec<u64> = specs.iter().map(fingerprint).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), specs.len());
}

#[test]
fn the_format_is_pinned() {
    let composite = Key::Composite(vec!["a7".into(), Scalar::Int(-2), Scalar::UInt(u64::MAX)].into());
    let position = Position { source: 1, partition: 300, offset: 5 };
    let deletion =
        |time_ns| Record::made(&composite, State { version: Some(-3), time_ns, ..State::at(position) }, None);
    let (key, value) = encoded(&deletion(None));
    let numbers = [&[1, 0xfe], &[0xff; 7][..], &[2], &[0xff; 8]].concat();
    assert_eq!(key, [&[16, 3, 3, 2, b'a', b'7'][..], &numbers].concat());
    assert_eq!(value, [1, 1, 1, 0xac, 2, 5, 5]);
    assert_eq!(encoded(&deletion(Some(-64))).1, [1, 5, 1, 0xac, 2, 5, 5, 127]);
    let (_, mut value) = encoded(&joey(&spec(vec![facet()])));
    assert_eq!(value[12..20], fingerprint(&spec(vec![facet()])).to_le_bytes());
    value[12..20].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let expected: Vec<u8> = [
        &[1, 2, 3, 0xf0, 0xa2, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 32, 1, 2, 3, 4, 5, 6, 7, 8, 0xe3, 1][..],
        &[1, 1, 3, 2, b'a', b'7', 16][..],
        b"CHARACTER_SEARCH",
        &[0x80, 0xa8, 0xd6, 0xb9, 7, 0x80, 0xf8, 0x82, 0xad, 22],
        // The context; then the pieces: the id, the type's value and the label, score and range.
        &[1, 63, 56, 3, 4, 20, 119, 33, 225, 3, 90],
        JOEY.as_bytes(),
    ]
    .concat();
    assert_eq!(value, expected);
    assert_eq!(Decoder::new(&spec(vec![])).record(&key, 1, &[2, 0]), Err(CodecError::Format(2)));
}

fn operation(number: u64) -> OperationRef<'static> {
    OperationRef { kind: ScalarRef::Str("S"), pivot: ScalarRef::Int(7), number }
}

/// State that is kept depends on it, like the rest of the format.
#[test]
fn the_format_of_operations_is_pinned() {
    let position = Position { source: 1, partition: 0, offset: 9 };
    let mut writer = RecordWriter::default();
    writer.key_of(Some(operation(258)), ScalarRef::Str("a7"));
    writer.state(&State { is_remembered: true, ..State::at(position) }, false);
    let deletion = writer.finish();
    let of = [STR, 1, b'S', INT, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
    let id = [STR, 2, b'a', b'7'];
    assert_eq!(encoded(&deletion), ([&[18][..], &of, &id].concat(), vec![1, 8, 1, 0, 9]));
    let end = |stage| {
        writer.operation(operation(258));
        writer.state(&State { stage: Some(stage), ..State::at(position) }, true);
        writer.body(0, 2, 0);
        writer.payload(b"{}");
        writer.finish()
    };
    let stages = [Stage::Started, Stage::Finished { awaits: 300 }, Stage::Canceled];
    let ends = stages.map(end);
    let body = [&[0; 8][..], &[2, 0], b"{}"].concat();
    let value = |stage: &[u8]| [&[1, 18, 1, 0, 9], stage, &body].concat();
    let values = [value(&[0]), value(&[1, 0xac, 2]), value(&[2])];
    assert_eq!(ends.each_ref().map(encoded), values.map(|value| ([&[19][..], &of].concat(), value)));
    let mut decoder = Decoder::new(&two());
    for record in ends.iter().chain([&deletion]) {
        let (key, value) = encoded(record);
        let again = decoder.record(&key, record.route(), &value).unwrap();
        assert_same(&again, record);
        assert_eq!((again.role(), again.is_remembered()), (record.role(), record.is_remembered()));
    }
    assert_eq!(deletion.role(), Role::Row(258));
    assert_eq!(ends[1].role(), Role::Operation(258, Some(stages[1])));
    let fulfilled = ends[1].fulfilled();
    assert_eq!(fulfilled.role(), Role::Operation(258, Some(Stage::Finished { awaits: 0 })));
    assert_eq!((fulfilled.payload(), fulfilled.position()), (ends[1].payload(), position));
    let gone = decoder.removal(&encoded(&ends[0]).0, 5).unwrap();
    assert_eq!((gone.role(), gone.same_series(&deletion)), (Role::Operation(258, None), true));
    let gone = decoder.removal(&encoded(&deletion).0, 5).unwrap();
    assert_eq!((gone.role(), Versioned::is_remembered(&gone), gone.is_deletion()), (Role::Row(258), false, true));
}

#[test]
fn only_what_is_about_operations_has_a_stage() {
    let mut decoder = Decoder::new(&spec(vec![]));
    let row = [STR, 1, b'a'];
    assert_eq!(decoder.record(&row, 0, &[1, 16, 0, 0, 0, 0]), Err(CodecError::Invalid("flag")));
    let mut key = vec![OPERATION, STR, 1, b'S', STR, 0];
    key.extend([0; 8]);
    assert_eq!(decoder.record(&key, 0, &[1, 16, 0, 0, 0, 3]), Err(CodecError::Invalid("stage")));
    assert!(decoder.record(&key, 0, &[1, 16, 0, 0, 0, 2]).is_ok());
    assert_eq!(check_key(&[&key[..], &row].concat()), Err(CodecError::Invalid("end: something follows")));
    key[0] = ROW_OF;
    assert_eq!(check_key(&key), Err(CodecError::Truncated), "a row has a key of its own");
    assert_eq!(check_key(&[&key[..], &key, &row].concat()), Err(CodecError::Invalid("kind of value")));
}

#[test]
fn rows_of_a_series_are_together_and_those_of_one_id_next_to_each_other() {
    let key = |operation: Option<OperationRef<'_>>, id: &str| {
        let mut writer = RecordWriter::default();
        writer.key_of(operation, ScalarRef::Str(id));
        writer.state(&State::at(position()), false);
        writer.finish()
    };
    let other = OperationRef { pivot: ScalarRef::UInt(u64::MAX), ..operation(1) };
    let keys = [(None, "a"), (Some(operation(1)), "a"), (Some(operation(9)), "a"), (Some(other), "a"), (None, "b")];
    let records = keys.map(|(operation, id)| key(operation, id));
    for (n, a) in records.iter().enumerate() {
        for (m, b) in records.iter().enumerate() {
            assert_eq!(a.key().cmp(&b.key()), n.cmp(&m), "{:?} and {:?}", a.key(), b.key());
            assert_eq!(a.same_key(b), n == m);
        }
    }
    let [plain, one, nine, other, _] = &records;
    assert_eq!([one, nine].map(Record::route), [one.route(); 2]);
    assert_ne!(one.route(), other.route());
    assert_ne!(one.route(), plain.route());
    assert_ne!(one.key_hash(), nine.key_hash(), "or all rows of a series would be in one place of a table");
    assert_eq!((one.same_series(nine), one.same_series(other)), (true, false));
    let pinned = Key::Composite(vec!["S".into(), Scalar::Int(7)].into());
    assert_eq!(one.route(), pinned.route(), "of type and pivot, for ever");
    let mut json = Vec::new();
    other.key().write_json(&mut json);
    assert_eq!(String::from_utf8(json).unwrap(), r#"["a","S",18446744073709551615,1]"#);
    assert_eq!(nine.key().to_key(), Key::Composite(vec!["a".into(), "S".into(), 7.into(), 9.into()].into()));
}

#[test]
fn keys_that_are_not_in_their_only_form_are_refused() {
    let int = |kind: u8, value: u64| [&[kind][..], &value.to_le_bytes()].concat();
    assert_eq!(check_key(&int(UINT, 7)), Err(CodecError::Invalid("integer")));
    assert_eq!(check_key(&int(INT, 7)), Ok(()));
    assert_eq!(check_key(&[STR, 0x81, 0, b'a']), Err(CodecError::Invalid("number")));
    assert_eq!(check_key(&[STR, 1, 0xff]), Err(CodecError::Invalid("text: it is not UTF-8")));
    assert_eq!(check_key(&[COMPOSITE, 0xff, 0xff, 0xff, 0xff, 1]), Err(CodecError::Truncated));
    assert_eq!(check_key(&[]), Err(CodecError::Truncated));
}

#[test]
fn dead_letters_come_back_as_they_were() {
    let letter = DeadLetter {
        node: "annotations".into(),
        origin: "a.ndjson".into(),
        offset: u64::MAX,
        reason: "no field /é".to_owned(),
        payload: (*b"\xff\0junk").into(),
        payload_bytes: 1 << 33,
    };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    encode_dead_letter_key(&letter, &mut key);
    encode_dead_letter(&letter, &mut value);
    let mut decoder = Decoder::new(&spec(vec![]));
    assert_eq!(decoder.dead_letter(&key, &value), Ok(letter));
    for cut in 0..key.len() {
        assert!(decoder.dead_letter(&key[..cut], &value).is_err());
    }
    for cut in 0..value.len() {
        assert!(decoder.dead_letter(&key, &value[..cut]).is_err());
    }
    assert!(check_key(&key).is_err(), "no key of a record");
}

fn scalars() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<i64>().prop_map(Scalar::Int),
        (1u64 << 63..).prop_map(Scalar::UInt),
        ".{0,20}".prop_map(|text| Scalar::Str(text.into())),
    ]
}

fn keys() -> impl Strategy<Value = Key> {
    let composite = prop::collection::vec(scalars(), 0..4).prop_map(|parts| Key::Composite(parts.into()));
    prop_oneof![scalars().prop_map(Key::One), composite]
}

/// The facets of one operator, as they are given to the writer; or why it can not use the row.
type Made = Result<(Scalar, String, Interval, Option<Slice>, Vec<ChildPiece>), String>;

/// Pieces in payload order that do not overlap, as decode makes them.
fn pieces_of(payload_bytes: u32) -> impl Strategy<Value = Vec<ChildPiece>> {
    let leads =
        prop::collection::vec(prop::sample::select(vec![Lead::None, Lead::Comma, Lead::Type, Lead::CommaType]), 7);
    (prop::collection::vec(0..=payload_bytes, 0..14), leads).prop_map(|(mut ends, leads)| {
        ends.sort_unstable();
        let slices = ends.chunks_exact(2).map(|ends| Slice { start: ends[0], end: ends[1] });
        slices.zip(leads).map(|(slice, lead)| ChildPiece::new(slice, lead)).collect()
    })
}

fn facets_of(payload_bytes: u32) -> impl Strategy<Value = Made> {
    let context = prop::option::of((0..=payload_bytes, 0..=payload_bytes))
        .prop_map(|ends| ends.map(|(a, b)| Slice { start: a.min(b), end: a.max(b) }));
    let start = prop_oneof![0..100i64, 0..i64::MAX - 1];
    (scalars(), ".{0,9}", start, any::<i64>(), context, pieces_of(payload_bytes)).prop_map(
        |(asset, kind, start_ns, length, context, pieces)| {
            let interval = Interval::new(start_ns, start_ns + 1 + length.rem_euclid(i64::MAX - start_ns));
            Ok((asset, kind, interval, context, pieces))
        },
    )
}

fn bodies() -> impl Strategy<Value = (String, Vec<Made>)> {
    ".{0,200}".prop_flat_map(|payload| {
        let facets = prop_oneof![
            4 => facets_of(payload.len() as u32),
            1 => ".{0,30}".prop_map(Err),
        ];
        prop::collection::vec(facets, 2).prop_map(move |facets| (payload.clone(), facets))
    })
}

fn records() -> impl Strategy<Value = Record> {
    let position = (any::<u16>(), any::<u32>(), any::<u64>());
    let time = || prop::option::of(any::<i64>());
    let operation = prop::option::of((scalars(), scalars(), any::<u64>()));
    (keys(), time(), time(), position, prop::option::of(bodies()), operation, any::<bool>()).prop_map(
        |(key, version, time_ns, (source, partition, offset), body, operation, is_remembered)| {
            let operation = operation.as_ref();
            let operation = operation.map(|(kind, pivot, number)| OperationRef {
                kind: kind.as_ref(),
                pivot: pivot.as_ref(),
                number: *number,
            });
            let mut writer = RecordWriter::default();
            writer.key(operation, &key);
            let position = Position { source, partition, offset };
            writer.state(&State { version, time_ns, is_remembered, ..State::at(position) }, body.is_some());
            if let Some((payload, facets)) = &body {
                writer.body(fingerprint(&two()), payload.len(), facets.len());
                for facets in facets {
                    match facets {
                        Ok((asset, kind, interval, context, pieces)) => writer.facets(FacetParts {
                            asset: asset.as_ref(),
                            kind,
                            interval: *interval,
                            context: *context,
                            pieces: pieces.iter().copied().collect(),
                        }),
                        Err(reason) => writer.unusable(reason),
                    }
                }
                writer.payload(payload.as_bytes());
            }
            writer.finish()
        },
    )
}

fn two() -> DecodeSpec {
    spec(vec![facet(), other()])
}

proptest! {
    #[test]
    fn any_row_comes_back_as_it_was(record in records()) {
        let (key, value) = encoded(&record);
        assert_same(&Decoder::new(&two()).record(&key, record.key().route(), &value).unwrap(), &record);
    }

    #[test]
    fn keys_are_equal_if_and_only_if_their_bytes_are(a in keys(), b in keys()) {
        let bytes = |key: &Key| {
            let mut bytes = Vec::new();
            encode_key(key, &mut bytes);
            bytes
        };
        prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
        prop_assert_eq!(check_key(&bytes(&a)), Ok(()));
        let (a_bytes, b_bytes) = (bytes(&a), bytes(&b));
        prop_assert_eq!(KeyRef::of(&a_bytes).cmp(&KeyRef::of(&b_bytes)), a.cmp(&b));
        prop_assert_eq!(KeyRef::of(&a_bytes).route(), a.route());
        prop_assert_eq!(KeyRef::of(&a_bytes).to_key(), a);
    }

    #[test]
    fn every_truncation_is_an_error_and_so_is_more(record in records()) {
        let (key, mut value) = encoded(&record);
        let mut decoder = Decoder::new(&two());
        for cut in 0..value.len() {
            prop_assert!(decoder.record(&key, 0, &value[..cut]).is_err(), "cut at {}", cut);
        }
        for cut in 0..key.len() {
            prop_assert!(check_key(&key[..cut]).is_err());
        }
        value.push(0);
        prop_assert!(decoder.record(&key, 0, &value).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(&two());
        let _ = (check_key(&key), decoder.dead_letter(&key, &value));
        let _ = decoder.record(&[INT, 0, 0, 0, 0, 0, 0, 0, 0], 0, &value);
    }

    #[test]
    fn no_damage_makes_it_or_what_reads_the_row_panic(record in records(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (key, mut value) = encoded(&record);
        *at.get_mut(&mut value) = byte;
        if let Ok(record) = Decoder::new(&two()).record(&key, 0, &value) {
            seen(&record);
        }
    }
}

/// Run with `cargo test --release --lib codec -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_a_row_takes() {
    let spec = spec(vec![facet()]);
    let mut payloads = decode::Decoder::new(&spec);
    let rows: Vec<Record> = (0..200_000)
        .map(|n| {
            let line = JOEY
                .replace("\"c1\"", &format!("\"annotation-{n:09}\""))
                .replace("\"a7\"", &format!("\"asset-{}\"", n % 200));
            let line = line.replace("\"Joey\"", "\"Joey, at the table in the coffee house\"");
            payloads.decode(line.as_bytes(), position(), || Key::One("o".into())).unwrap()
        })
        .collect();
    let encoded: Vec<_> = rows.iter().map(encoded).collect();
    let bytes = encoded.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() / rows.len();
    let mut decoder = Decoder::new(&spec);
    let mut decode = std::time::Duration::MAX;
    let mut read: Vec<Record> = Vec::new();
    // The least of many pieces: others may have the processor in between.
    for (rows, encoded) in rows.chunks(500).zip(encoded.chunks(500)) {
        let start = std::time::Instant::now();
        for ((key, value), row) in encoded.iter().zip(rows) {
            read.push(decoder.record(key, row.route(), value).unwrap());
        }
        decode = decode.min(start.elapsed());
        assert!(read == rows);
        read.clear();
    }
    eprintln!("{bytes} bytes a row: decode {} ns", decode.as_nanos() / 500);
}
