//! Journals of earlier format versions stay readable. `fixtures/v1` was written by [`write_the_fixture`]; it is never
//! written again, not even if the same code would give other bytes today.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{binding, epoch_entry, read_all, rows_at, sink};
use flowstone_journal::{Collapse, Entry, Journal, Keeper, SinkState, Standing, TableInfo, verify};

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

fn key(n: u64) -> Vec<u8> {
    format!("key-{}", n % 20).into_bytes()
}

/// 70 entries, so that there is a snapshot: carried and stored parts, a collapse, sinks of all kinds.
fn write(journal: &Journal) {
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    let table = |name: &str, tail| TableInfo { name: name.into(), tail, awaits_reveal: false };
    let stream = SinkState { stream: true, mark: Some("m".into()), ..sink(Standing::Upper(1)).unwrap() };
    let store = SinkState { store: Some("identity".into()), ..sink(Standing::AwaitingReveal).unwrap() };
    let first = Entry {
        new_sources: vec!["videos".into()],
        new_partitions: vec![(0, 0, "p0".into()), (0, 1, "p1".into())],
        new_tables: vec![(0, table("rows", false)), (1, table("dead", true)), (2, table("gone", false))],
        catching_up: Some(1000),
        sinks: [("letters".to_owned(), Some(stream)), ("store".to_owned(), Some(store.clone()))].into(),
        nodes: [("fuse".to_owned(), Some("fingerprint".to_owned()))].into(),
        ..Entry::default()
    };
    keeper.append(first).unwrap();
    for n in 0..68 {
        let value = (n % 9 != 8).then(|| format!("value of {n}").into_bytes().repeat(10));
        let rows = [(0, key(n), value), (1, key(n), Some(b"letter".to_vec())), (2, key(n), Some(b"x".to_vec()))];
        let mut entry = epoch_entry(&keeper, 1000 + n, &rows, n % 10 != 0);
        entry.seals[0].bindings = vec![binding(0, (n % 2) as u32, n + 1)];
        if n == 5 {
            entry.reveal = Some(1005);
            entry
                .sinks
                .insert("store".into(), Some(SinkState { standing: Standing::Filling { at: 1005 }, ..store.clone() }));
        }
        if n == 66 {
            entry.dropped_tables = vec![2];
            entry.sinks.insert("store".into(), Some(SinkState { standing: Standing::Upper(1060), ..store.clone() }));
        }
        keeper.append(entry).unwrap();
    }
}

fn check(journal: &Journal) {
    let state = journal.read().unwrap().unwrap();
    assert_eq!((state.run, state.next_entry, state.sealed, state.catching_up), (0, 70, 1067, None));
    assert_eq!(state.collapses, [Collapse { first: 1000, last: 1005 }]);
    assert_eq!(state.sources[0].partitions.iter().map(|p| p.upper).collect::<Vec<_>>(), [67, 68]);
    assert_eq!(state.tables.keys().collect::<Vec<_>>(), [&0, &1]);
    assert_eq!((state.next_table, state.hydrate_at(), state.least_upper()), (3, 1059, 1));
    assert_eq!(state.sinks["store"].store.as_deref(), Some("identity"));
    assert_eq!(state.sinks["letters"].mark.as_deref(), Some("m"));
    assert_eq!(state.nodes["fuse"], "fingerprint");
    let rows = rows_at(&read_all(journal, &state), 1067);
    for n in 48..68 {
        let expected = (n % 9 != 8).then(|| format!("value of {n}").into_bytes().repeat(10));
        assert_eq!(rows.get(&(0, key(n))), expected.as_ref(), "row {n}");
    }
    let report = verify(journal).unwrap();
    assert!(report.problems.is_empty() && report.unnamed.is_empty(), "{report:?}");
}

#[test]
fn version_1_is_read() {
    check(&Journal::open_to_read(fixture("v1").to_str().unwrap()).unwrap());
}

#[test]
fn version_1_can_be_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["manifest", "parts"] {
        std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        for file in std::fs::read_dir(fixture("v1").join(folder)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(folder).join(file.file_name())).unwrap();
        }
    }
    let mut keeper = Keeper::open(Journal::open(dir.path().to_str().unwrap()).unwrap()).unwrap();
    assert_eq!((keeper.state().run, keeper.state().sealed), (70, 1067));
    keeper.append(epoch_entry(&keeper, 1068, &[(0, key(1), Some(b"new".to_vec()))], true)).unwrap();
    assert_eq!(rows_at(&read_all(keeper.journal(), keeper.state()), 1068)[&(0, key(1))], b"new");
}

/// What is written today reads the same, too.
#[test]
fn todays_format_is_read() {
    let journal = Journal::in_memory();
    write(&journal);
    check(&journal);
}

/// Once for each format version: `cargo test -p flowstone-journal --test fixtures -- --ignored`, in an empty directory.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixture() {
    let dir = fixture("v1");
    assert!(!dir.exists(), "a fixture is never written again");
    write(&Journal::open(dir.to_str().unwrap()).unwrap());
}
