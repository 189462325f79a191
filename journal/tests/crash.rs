//! A crash at each failpoint, and what the next run finds: everything that an append had promised, and nothing torn.
//!
//! ```sh
//! cargo test -p flowstone-journal --features failpoints --test crash
//! ```

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{epoch_entry, read_all, rows_at, settle, sink};
use fail::FailScenario;
use flowstone_journal::{Epoch, Journal, Keeper, Standing, verify};

/// Appends epochs until a failpoint strikes. Gives the last one that is durable for sure.
fn run_until_crash(journal: &Journal, first: Epoch) -> Epoch {
    let mut done = first - 1;
    let body = AssertUnwindSafe(|| {
        let mut keeper = Keeper::open(journal.clone()).unwrap();
        keeper.hydrated();
        for epoch in first..first + 400 {
            let rows = [(0, vec![(epoch % 7) as u8], Some(epoch.to_le_bytes().to_vec()))];
            let mut entry = epoch_entry(&keeper, epoch, &rows, epoch % 4 == 0);
            entry.sinks.insert("store".into(), sink(Standing::Upper(epoch)));
            keeper.append(entry).unwrap();
            done = epoch;
            if epoch % 16 == 0 {
                settle(&mut keeper);
            }
        }
    });
    // Threads of the keeper that strike a failpoint die alone here; in the program a panic ends the process.
    let _ = catch_unwind(body);
    done
}

fn crash_at(failpoint: &str, actions: &str) {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
    let mut next = 1;
    let mut crashed = 0;
    for hits in [0, 3, 11, 70, 71] {
        fail::cfg(failpoint, &actions.replace('N', &hits.to_string())).unwrap();
        let done = run_until_crash(&journal, next);
        fail::remove(failpoint);
        crashed += u32::from(done < next + 399);
        let state = journal.read().unwrap().unwrap();
        // An entry that was written just before the crash counts, though nobody was told.
        assert!(state.sealed == done || (state.sealed == done + 1 && failpoint == "commit-after"), "after {failpoint}");
        let rows = rows_at(&read_all(&journal, &state), state.sealed);
        let newest = (state.sealed.saturating_sub(6).max(1)..=state.sealed)
            .map(|epoch| ((0, vec![(epoch % 7) as u8]), epoch.to_le_bytes().to_vec()));
        assert_eq!(rows, newest.collect(), "after {failpoint}");
        next = state.sealed + 1;
    }
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    keeper.hydrated();
    settle(&mut keeper);
    let report = verify(&journal).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.unnamed.is_empty(), "{:?}", report.unnamed);
    assert!(crashed >= 3 || failpoint.starts_with("merge-"), "{failpoint} struck {crashed} times only");
    scenario.teardown();
}

#[test]
fn before_a_part() {
    crash_at("part-before", "N*off->panic");
}

#[test]
fn in_the_middle_of_a_part() {
    crash_at("part-torn", "N*off->panic");
}

#[test]
fn after_a_part() {
    crash_at("part-after", "N*off->panic");
}

#[test]
fn before_a_commit() {
    crash_at("commit-before", "N*off->panic");
}

#[test]
fn after_a_commit() {
    crash_at("commit-after", "N*off->panic");
}

#[test]
fn before_a_merge() {
    crash_at("merge-before", "N*off->panic");
}

#[test]
fn after_a_merge() {
    crash_at("merge-after", "N*off->panic");
}

#[test]
fn before_and_after_a_removal() {
    crash_at("merge-remove-before", "N*off->1*panic->off");
    crash_at("merge-remove-after", "N*off->1*panic->off");
}
