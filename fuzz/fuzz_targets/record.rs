//! Rows in the journal: whatever the bytes are, they are read or refused, and what is read is written as the same bytes.
//!
//! The first byte says how many of the next are the key; the rest is the value.
#![no_main]

use flowstone::record::codec::{Decoder, decode_key, encode_dead_letter, encode_key, encode_record, fingerprint};
use flowstone::record::{DecodeSpec, FieldPath};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let spec = DecodeSpec { key: vec![FieldPath::literal("/id")], ..DecodeSpec::default() };
    let mut decoder = Decoder::new(&spec);
    if let Ok(record) = decoder.record(key, 7, value) {
        let mut again = Vec::new();
        encode_key(&record.key, &mut again);
        assert_eq!(again, key);
        again.clear();
        encode_record(&record, fingerprint(&spec), &mut again);
        let same = decoder.record(key, 7, &again).expect("it was just written");
        assert_eq!(
            (same.position, same.version, same.time_ns, &same.body),
            (record.position, record.version, record.time_ns, &record.body)
        );
    }
    if let Ok(letter) = decoder.dead_letter(key, value) {
        let mut again = Vec::new();
        encode_dead_letter(&letter, &mut again);
        assert_eq!(again, value);
    }
    let _ = decode_key(value);
});
