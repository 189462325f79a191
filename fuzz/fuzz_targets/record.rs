//! Rows in the journal: whatever the bytes are, they are read or refused, and what is read is written as the same bytes.
//!
//! The first byte says how many of the next are the key; the rest is the value.
#![no_main]

use flowstone::record::codec::{Decoder, encode_dead_letter, encode_dead_letter_key};
use flowstone::record::packed::encode_key;
use flowstone::record::{DecodeSpec, FieldPath};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let spec = DecodeSpec { key: vec![FieldPath::literal("/id")], ..DecodeSpec::default() };
    let mut decoder = Decoder::new(&spec);
    if let Ok(record) = decoder.record(key, 7, value) {
        assert_eq!(record.key_bytes(), key);
        if record.key().operation().is_none() {
            let mut again = Vec::new();
            encode_key(&record.key().to_key(), &mut again);
            assert_eq!(again, key);
        }
        // Not always the same value: facets are taken again if they were taken by other settings.
        let same = decoder.record(key, 7, record.value_bytes()).expect("it was just written");
        assert_eq!(same.value_bytes(), record.value_bytes());
        assert_eq!((same.payload(), same.version(), same.time_ns()), (record.payload(), record.version(), record.time_ns()));
    }
    if let Ok(letter) = decoder.dead_letter(key, value) {
        let (mut key_again, mut again) = (Vec::new(), Vec::new());
        encode_dead_letter_key(&letter, &mut key_again);
        encode_dead_letter(&letter, &mut again);
        assert_eq!((&key_again[..], &again[..]), (key, value));
    }
});
