//! The manifest through the keeper: what is appended is read, runs fence each other, nothing grows.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{binding, epoch_entry, read_all, rows_at, settle, sink};
use flowstone_journal::{
    Entry, Epoch, Journal, JournalError, Keeper, NewPart, PartBuilder, Seal, Standing, TableInfo, verify, verify_with,
};

fn seal(epoch: Epoch) -> Entry {
    Entry { seals: vec![Seal { epoch, bindings: Vec::new() }], ..Entry::default() }
}

fn objects(dir: &std::path::Path, folder: &str) -> usize {
    std::fs::read_dir(dir.join(folder)).unwrap().count()
}

#[test]
fn an_empty_journal_reads_as_none() {
    assert!(Journal::in_memory().read().unwrap().is_none());
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&format!("{}/a/b", dir.path().display())).unwrap();
    assert!(journal.read().unwrap().is_none());
    assert!(Journal::open_to_read(&format!("{}/missing", dir.path().display())).is_err());
}

#[test]
fn what_is_appended_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().to_str().unwrap();
    let mut keeper = Keeper::open(Journal::open(location).unwrap()).unwrap();
    let table = TableInfo { name: "rows".into(), tail: false, awaits_reveal: false };
    let first = Entry {
        new_sources: vec!["videos".into()],
        new_partitions: vec![(0, 0, "p0".into()), (0, 1, "p1".into())],
        new_tables: vec![(0, table)],
        sinks: [("store".to_owned(), sink(Standing::Upper(1)))].into(),
        nodes: [("fuse".to_owned(), Some("v1".to_owned()))].into(),
        ..Entry::default()
    };
    keeper.append(first).unwrap();
    let mut entry = epoch_entry(&keeper, 10, &[(0, b"a".to_vec(), Some(b"1".to_vec()))], true);
    entry.seals[0].bindings = vec![binding(0, 1, 77)];
    keeper.append(entry).unwrap();
    keeper
        .append(epoch_entry(&keeper, 12, &[(0, b"a".to_vec(), None), (0, b"b".to_vec(), Some(vec![7]))], false))
        .unwrap();

    let journal = Journal::open(&format!("file://{location}")).unwrap();
    let state = journal.read().unwrap().unwrap();
    assert_eq!(&state, keeper.state());
    assert_eq!((state.run, state.next_entry, state.sealed), (0, 4, 12));
    assert_eq!(state.sources[0].partitions[1].upper, 77);
    assert_eq!(state.source("videos"), Some(0));
    assert_eq!(state.hydrate_at(), 0);
    let history = read_all(&journal, &state);
    assert_eq!(rows_at(&history, 10), [((0, b"a".to_vec()), b"1".to_vec())].into());
    assert_eq!(rows_at(&history, 12), [((0, b"b".to_vec()), vec![7])].into());
    let report = verify(&journal).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.entries, report.parts, report.rows), (4, 2, 3));
    assert_eq!(journal.entries().unwrap(), [0, 1, 2, 3]);
    let entry = journal.entry(2).unwrap();
    assert_eq!((&entry["number"], &entry["seals"][0]["epoch"]), (&2.into(), &10.into()));
    assert!(matches!(journal.entry(4), Err(JournalError::Missing { .. })));
    assert_eq!(journal.objects().unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>(), report.bytes);
}

#[test]
fn verifying_tells_how_far_it_is() {
    let mut keeper = Keeper::open(Journal::in_memory()).unwrap();
    for epoch in 1..=3 {
        let entry = epoch_entry(&keeper, epoch, &[(0, vec![epoch as u8], Some(vec![1]))], epoch == 2);
        keeper.append(entry).unwrap();
    }
    let mut steps = Vec::new();
    verify_with(keeper.journal(), &mut |done, total| steps.push((done, total))).unwrap();
    assert!(steps.is_sorted() && steps.len() == 4, "the entries, then each part: {steps:?}");
    let (done, total) = steps[3];
    assert!(done == total && steps.iter().all(|(_, of)| *of == total), "{steps:?}");
}

#[test]
fn contradictions_are_refused_and_nothing_is_written() {
    let mut keeper = Keeper::open(Journal::in_memory()).unwrap();
    keeper
        .append(Entry { new_sources: vec!["s".into()], new_partitions: vec![(0, 0, "p".into())], ..seal(5) })
        .unwrap();
    let bound =
        |epoch, upper| Entry { seals: vec![Seal { epoch, bindings: vec![binding(0, 0, upper)] }], ..Entry::default() };
    keeper.append(bound(6, 100)).unwrap();
    let part = || {
        let mut builder = PartBuilder::new();
        builder.add(0, 0, 6, b"k", None);
        builder.finish().inline()
    };
    let wrong = [
        seal(6),
        bound(7, 99),
        Entry { seals: vec![Seal { epoch: 7, bindings: vec![binding(0, 1, 5)] }], ..Entry::default() },
        Entry { new_partitions: vec![(1, 0, "p".into())], ..Entry::default() },
        Entry { new_partitions: vec![(0, 2, "p".into())], ..Entry::default() },
        Entry { catching_up: Some(6), ..Entry::default() },
        Entry { reveal: Some(7), ..seal(7) },
        Entry { parts: vec![(part(), 6, 6)], ..seal(7) },
        Entry { parts: vec![(part(), 7, 8)], ..seal(7) },
        Entry { sinks: [("late".to_owned(), sink(Standing::Upper(3)))].into(), ..Entry::default() },
    ];
    let next = keeper.state().next_entry;
    for entry in wrong {
        let text = format!("{entry:?}");
        assert!(matches!(keeper.append(entry), Err(JournalError::Invalid { .. })), "{text}");
    }
    assert_eq!(keeper.state().next_entry, next);
    keeper.append(Entry { rewound_sources: vec![0], ..bound(8, 3) }).unwrap();
    assert_eq!(keeper.state().sources[0].partitions[0].upper, 3);
}

#[test]
fn a_second_run_fences_the_first() {
    let journal = Journal::in_memory();
    let mut first = Keeper::open(journal.clone()).unwrap();
    first.append(seal(1)).unwrap();
    let mut second = Keeper::open(journal.clone()).unwrap();
    assert_eq!((second.state().run, second.state().sealed), (2, 1));
    assert!(matches!(first.append(seal(2)), Err(JournalError::Fenced { entry: 2 })));
    assert!(matches!(first.append(seal(2)), Err(JournalError::Broken)));
    second.append(seal(3)).unwrap();
    assert_eq!(journal.read().unwrap().unwrap().sealed, 3);
}

/// Without the openings that are kept, the zombie's number would be free once the snapshot has taken its place.
#[test]
fn a_zombie_is_fenced_after_snapshots_have_removed_old_entries() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
    let mut zombie = Keeper::open(journal.clone()).unwrap();
    zombie.append(seal(1)).unwrap();
    for run in 0..3u64 {
        let mut keeper = Keeper::open(journal.clone()).unwrap();
        keeper.hydrated();
        for epoch in 0..200 {
            keeper.append(seal(1000 * (run + 1) + epoch)).unwrap();
        }
        settle(&mut keeper);
    }
    assert!(objects(dir.path(), "manifest") <= 64 + 5);
    assert!(!dir.path().join("manifest/000000000001").exists());
    assert!(matches!(zombie.append(seal(2)), Err(JournalError::Fenced { entry: 2 })));
    assert_eq!(journal.read().unwrap().unwrap().sealed, 3199);
}

#[test]
fn what_a_crash_left_is_removed_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
    let mut first = Keeper::open(journal.clone()).unwrap();
    first.append(epoch_entry(&first, 1, &[(0, b"k".to_vec(), Some(b"v".to_vec()))], false)).unwrap();
    let mut builder = PartBuilder::new();
    builder.add(0, 0, 2, b"lost", None);
    journal.put_part("0-1-0", builder.finish().bytes).unwrap();
    std::fs::write(dir.path().join("parts/0-1-1#1"), b"staged").unwrap();
    std::fs::write(dir.path().join("manifest/000000000002#3"), b"staged").unwrap();
    drop(first);
    let mut second = Keeper::open(journal.clone()).unwrap();
    let run = second.state().run;
    journal.put_part(&format!("{run}-0-0"), bytes::Bytes::from_static(b"not named yet")).unwrap();
    settle(&mut second);
    assert_eq!(objects(dir.path(), "parts"), 2, "the named one, and the one of this run");
    assert_eq!(objects(dir.path(), "manifest"), 3);
    assert_eq!(verify(&journal).unwrap().unnamed, [format!("parts/{run}-0-0")]);
}

#[test]
fn nothing_is_removed_before_the_workers_have_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    for epoch in 1..=70 {
        keeper.append(epoch_entry(&keeper, epoch, &[(0, vec![1], Some(vec![epoch as u8]))], epoch % 2 == 0)).unwrap();
    }
    drop(keeper);
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    let opened = keeper.state().clone();
    for epoch in 71..=300 {
        keeper.append(epoch_entry(&keeper, epoch, &[(0, vec![1], Some(vec![epoch as u8]))], epoch % 2 == 0)).unwrap();
        keeper.idle().unwrap();
    }
    assert_eq!(rows_at(&read_all(&journal, &opened), 70), [((0, vec![1]), vec![70])].into());
    keeper.hydrated();
    settle(&mut keeper);
    assert!(objects(dir.path(), "parts") < 20, "merging begins");
    assert!(journal.open_part(&opened.parts[0]).is_err());
}

#[test]
fn a_part_name_keeps_its_bytes() {
    let journal = Journal::in_memory();
    journal.put_part("0-0-0", bytes::Bytes::from_static(b"one")).unwrap();
    journal.put_part("0-0-0", bytes::Bytes::from_static(b"one")).unwrap();
    let refused = journal.put_part("0-0-0", bytes::Bytes::from_static(b"two"));
    assert!(matches!(refused, Err(JournalError::Foreign { .. })));
}

#[test]
fn a_part_named_for_fewer_epochs_is_read_as_such() {
    let journal = Journal::in_memory();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    let keys: Vec<_> = (1..=9u64).map(u64::to_le_bytes).collect();
    let mut builder = PartBuilder::new();
    for (epoch, key) in (1..).zip(&keys) {
        builder.add(0, epoch << 60, epoch, key, Some(b"v"));
    }
    let part = builder.finish();
    journal.put_part("0-0-0", part.bytes.clone()).unwrap();
    let named = |part: NewPart, last, first| Entry { parts: vec![(part, first, last)], ..seal(last) };
    keeper.append(named(part.stored("0-0-0"), 4, 1)).unwrap();
    let keys = |state: &flowstone_journal::State| {
        read_all(&journal, state).into_keys().map(|(_, key)| key[0]).collect::<Vec<_>>()
    };
    assert_eq!(keys(keeper.state()), [1, 2, 3, 4]);
    keeper.append(named(part.stored("0-0-0"), 9, 5)).unwrap();
    assert_eq!(keys(keeper.state()), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// Entries and parts vanish behind snapshots and merges while somebody reads.
#[test]
fn a_reader_beside_a_run_sees_a_whole_state() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().to_str().unwrap().to_owned();
    let mut keeper = Keeper::open(Journal::open(&location).unwrap()).unwrap();
    keeper.hydrated();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let journal = Journal::open_to_read(&location).unwrap();
            let (mut sealed, mut reads) = (0, 0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let state = journal.read().unwrap().unwrap();
                assert!(state.sealed >= sealed);
                (sealed, reads) = (state.sealed, reads + 1);
            }
            reads
        });
        for epoch in 1..=600 {
            keeper.append(epoch_entry(&keeper, epoch, &[(0, vec![1], Some(vec![1]))], epoch % 5 != 0)).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 3);
    });
}
