//! Parts of the journal: whatever the bytes are, they are read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flowstone_journal::fuzzing::part(bytes);
});
