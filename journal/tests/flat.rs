//! 100,000 short epochs: neither objects, nor the manifest, nor memory grow. Alone in its process, which is measured.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{epoch_entry, read_all, rows_at, settle, sink};
use flowstone_journal::{Journal, Keeper, Standing, verify};

const EPOCHS: u64 = 100_000;

/// Resident bytes of this process, where the system tells.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

#[test]
fn many_short_epochs_leave_few_objects() {
    let journal = Journal::in_memory();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    keeper.hydrated();
    let mut early = 0;
    for epoch in 1..=EPOCHS {
        let key = vec![(epoch % 50) as u8];
        let mut entry = epoch_entry(&keeper, epoch, &[(0, key, Some(epoch.to_le_bytes().to_vec()))], true);
        entry.sinks.insert("store".into(), sink(Standing::Upper(epoch)));
        keeper.append(entry).unwrap();
        assert!(keeper.state().parts.len() < 200, "{} parts", keeper.state().parts.len());
        if epoch == EPOCHS / 4 {
            early = resident_bytes();
        }
    }
    let late = resident_bytes();
    assert!(late < early + (8 << 20), "{early} bytes resident after a quarter, {late} in the end");
    settle(&mut keeper);
    let state = journal.read().unwrap().unwrap();
    let report = verify(&journal).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.unnamed.is_empty(), "{:?}", report.unnamed);
    assert!(report.entries <= 66, "{} entries", report.entries);
    assert!(report.parts <= 64 + 16, "{} parts", report.parts);
    assert!(report.bytes < 1 << 20, "{} bytes", report.bytes);
    let rows = rows_at(&read_all(&journal, &state), EPOCHS);
    let expected = (EPOCHS - 49..=EPOCHS).map(|e| ((0, vec![(e % 50) as u8]), e.to_le_bytes().to_vec()));
    assert_eq!(rows, expected.collect());
}
