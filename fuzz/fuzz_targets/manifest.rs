//! Entries of the journal's manifest: whatever the bytes are, they are read or refused, and may follow nothing or not.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    flowstone_journal::fuzzing::entry(bytes);
});
