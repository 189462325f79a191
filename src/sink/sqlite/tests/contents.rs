//! What the store holds after any history, and what its readers see meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

#[test]
fn an_epoch_is_visible_with_its_upper_when_it_is_closed() {
    let store = Store::new();
    let (mut writer, above) = store.open();
    assert_eq!((above, writer.durable_upper()), (0, 0));
    writer.write(7, &mut vec![upsert("a", "{\"n\":1}")]).unwrap();
    writer.write(7, &mut vec![upsert("b", "{}")]).unwrap();
    assert_eq!((store.rows(), store.upper()), (vec![], 0));
    writer.close(7, Sweep::Keep).unwrap();
    assert_eq!(store.rows(), [stored("a", "{\"n\":1}", 7), stored("b", "{}", 7)]);
    assert_eq!((store.upper(), writer.durable_upper()), (8, 8));
}

#[test]
fn writing_drains_the_changes() {
    let (store, mut changes) = (Store::new(), vec![upsert("a", "{}"), delete("b")]);
    store.open().0.write(1, &mut changes).unwrap();
    assert_eq!(changes, []);
}

#[test]
fn a_row_is_replaced_and_deleted_by_its_key() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    epoch(&mut writer, 1, &[upsert("a", "1"), upsert("b", "2"), upsert("c", "3")], Sweep::Keep);
    epoch(&mut writer, 2, &[upsert("a", "4"), delete("b"), delete("never there")], Sweep::Keep);
    assert_eq!(store.rows(), [stored("a", "4", 2), stored("c", "3", 1)]);
}

#[test]
fn a_fill_sweeps_what_is_older() {
    let store = Store::new();
    epoch(&mut store.open().0, 5, &[upsert("a", "1"), upsert("b", "2")], Sweep::Older);
    let (mut writer, above) = store.open();
    assert_eq!(above, 6);
    epoch(&mut writer, 9, &[upsert("b", "2"), upsert("c", "3")], Sweep::Older);
    assert_eq!(store.rows(), [stored("b", "2", 9), stored("c", "3", 9)]);
    epoch(&mut writer, 10, &[upsert("d", "4")], Sweep::Keep);
    epoch(&mut writer, 11, &[upsert("c", "3")], Sweep::Older);
    assert_eq!(store.rows(), [stored("c", "3", 11)], "also what this run wrote before");
}

#[test]
fn a_fill_without_rows_empties_the_table() {
    let store = Store::new();
    epoch(&mut store.open().0, 1, &[upsert("a", "1")], Sweep::Keep);
    store.open().0.close(2, Sweep::Older).unwrap();
    assert_eq!((store.rows(), store.upper()), (vec![], 3));
}

#[test]
fn an_unfinished_epoch_leaves_nothing() {
    let store = Store::new();
    epoch(&mut store.open().0, 1, &[upsert("a", "1")], Sweep::Keep);
    let (mut writer, _) = store.open();
    writer.write(2, &mut vec![upsert("b", "2")]).unwrap();
    drop(writer);
    let (mut writer, above) = store.open();
    assert_eq!(above, 2);
    writer.write(3, &mut vec![delete("a")]).unwrap();
    writer.finish().unwrap();
    assert_eq!((store.rows(), store.upper()), (vec![stored("a", "1", 1)], 2));
}

#[test]
fn epochs_go_on_above_those_of_the_rows_also_if_the_upper_was_lost() {
    let store = Store::new();
    epoch(&mut store.open().0, 41, &[upsert("a", "1")], Sweep::Keep);
    store.reader().execute_batch("DROP TABLE flowstone_meta").unwrap();
    assert_eq!(store.open().1, 42);
}

#[test]
fn a_table_that_was_dropped_has_a_new_identity_and_keeps_its_upper() {
    let store = Store::new();
    let id = |store: &Store| -> String {
        store.reader().query_row("SELECT store_id FROM flowstone_meta", (), |r| r.get(0)).unwrap()
    };
    epoch(&mut store.open().0, 41, &[upsert("a", "1")], Sweep::Keep);
    let first = id(&store);
    assert_eq!(first.len(), 32);
    store.open();
    assert_eq!(id(&store), first);
    store.reader().execute_batch("DROP TABLE moments").unwrap();
    assert_eq!(store.open().1, 42);
    assert_ne!(id(&store), first);
}

#[test]
fn further_columns_hold_values_of_the_document() {
    let store = Store::with(&[("start", "/time/start_ns"), ("labels", "/children/*/label"), ("Odd \"name\"", "/x")]);
    let document = r#"{"time":{"start_ns":9007199254740993},"children":[{"label":"Joey"},{"label":"kitchen"}]}"#;
    let (mut writer, _) = store.open();
    epoch(&mut writer, 1, &[upsert("a", document), upsert("b", "{\"x\":0.5}")], Sweep::Keep);
    epoch(&mut writer, 2, &[upsert("b", "{\"x\":\"now text\"}")], Sweep::Keep);
    let found: Vec<(Option<i64>, String, Option<String>)> = store
        .reader()
        .prepare("SELECT start, labels, \"Odd \"\"name\"\"\" FROM moments ORDER BY key")
        .unwrap()
        .query_map((), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let expected = [
        (Some((1 << 53) + 1), r#"["Joey","kitchen"]"#.to_owned(), None),
        (None, "[]".to_owned(), Some("now text".to_owned())),
    ];
    assert_eq!(found, expected);
}

#[test]
fn several_tables_of_a_file_have_uppers_of_their_own() {
    let mut store = Store::new();
    epoch(&mut store.open().0, 5, &[upsert("a", "1")], Sweep::Keep);
    store.spec.table = "a \"quoted\"; DROP TABLE moments --".to_owned();
    let (mut writer, above) = store.open();
    assert_eq!(above, 0);
    epoch(&mut writer, 1, &[upsert("a", "2"), delete("b")], Sweep::Older);
    epoch(&mut writer, 2, &[upsert("c", "2")], Sweep::Older);
    assert_eq!(store.open().1, 3);
    assert_eq!((store.rows(), store.upper()), (vec![stored("a", "1", 5)], 6));
}

#[test]
fn a_table_keeps_its_identity_and_knows_its_upper() {
    let store = Store::new();
    let new = opened(&store).store.unwrap();
    assert_eq!((new.upper, new.id.len()), (0, 32));
    let (mut writer, _) = store.open();
    writer.write(7, &mut vec![upsert("a", "1")]).unwrap();
    drop(writer);
    assert_eq!(opened(&store).store, Some(new.clone()), "an unfinished fill is not in it");
    // It starts again, at the same epoch.
    epoch(&mut store.open().0, 7, &[upsert("b", "1")], Sweep::Older);
    let filled = opened(&store);
    assert_eq!((filled.above, filled.store), (8, Some(StoreState { upper: 8, ..new.clone() })));
    assert_eq!(store.rows(), [stored("b", "1", 7)]);
    store.reader().execute_batch("DROP TABLE moments").unwrap();
    assert_ne!(opened(&store).store.unwrap().id, new.id);
}

#[test]
fn one_file_is_left_when_the_sink_is_finished() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 2, &[upsert("a", "1")], Sweep::Keep);
    let log = store.dir.path().join("moments.db-wal");
    assert!(log.metadata().unwrap().len() > 0);
    writer.finish().unwrap();
    assert_eq!(log.metadata().unwrap().len(), 0);
    drop(writer);
    let left: Vec<_> = store.dir.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["moments.db"]);
}

#[test]
fn only_the_first_epoch_of_a_new_file_is_written_without_a_log() {
    let mode = |store: &Store| -> String { store.reader().query_row("PRAGMA journal_mode", (), |r| r.get(0)).unwrap() };
    let store = Store::new();
    let (mut writer, _) = store.open();
    writer.write(1, &mut vec![upsert("a", "1")]).unwrap();
    assert_eq!(mode(&store), "delete");
    drop(writer);
    let (mut writer, _) = store.open();
    assert_eq!(mode(&store), "delete", "it is still new");
    epoch(&mut writer, 2, &[upsert("a", "1")], Sweep::Older);
    assert_eq!(mode(&store), "wal");

    let shared = Store::new();
    shared.reader().execute_batch("CREATE TABLE mine (x)").unwrap();
    shared.open();
    assert_eq!(mode(&shared), "wal", "other tables have readers of their own");
}

#[test]
fn the_directory_of_the_file_is_made() {
    let mut store = Store::new();
    store.spec.path = "new/dir/moments.db".to_owned();
    store.open();
    assert!(store.path().is_file());
}

/// Looks at the store until `stop`; checks each look, and counts the uppers that it saw.
fn watch(reader: &Connection, stop: &AtomicBool, uppers_seen: &AtomicUsize) {
    let query = "SELECT count(*), min(epoch), max(epoch), (SELECT upper FROM flowstone_meta) FROM moments";
    reader.busy_timeout(Duration::from_secs(10)).unwrap();
    let mut last = None;
    while !stop.load(Ordering::Acquire) {
        let (rows, oldest, newest, upper) = reader
            .query_row(query, (), |r| Ok((number(r, 0), number(r, 1), number(r, 2), number(r, 3))))
            .expect("readers are not blocked");
        assert_eq!((oldest, newest, rows), (upper - 1, upper - 1, 100 + newest));
        if last.replace(upper) != Some(upper) {
            uppers_seen.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[test]
fn a_concurrent_reader_sees_whole_epochs_only() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    let (stop, uppers_seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Epoch e holds e + 100 rows, all of them its own: half of them with new keys; the rest of the epoch before is swept.
    let mut fill = |e: u64| {
        for n in 0..e + 100 {
            let key = if n % 2 == 0 { n } else { 1_000_000 * e + n };
            writer.write(e, &mut vec![upsert(&key.to_string(), "{}")]).unwrap();
        }
        writer.close(e, Sweep::Older).unwrap();
    };
    fill(0);
    std::thread::scope(|scope| {
        let reader = store.reader();
        let reading = scope.spawn(|| watch(&{ reader }, &stop, &uppers_seen));
        let mut e = 1;
        while e <= 30 || (uppers_seen.load(Ordering::Acquire) < 5 && !reading.is_finished()) {
            fill(e);
            e += 1;
        }
        stop.store(true, Ordering::Release);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, u8),
    Delete(u8),
    Close,
    Fill,
    Reopen,
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..20u8, any::<u8>()).prop_map(|(key, value)| Step::Upsert(key, value)),
        5 => (0..20u8).prop_map(Step::Delete),
        4 => Just(Step::Close),
        1 => Just(Step::Fill),
        1 => Just(Step::Reopen),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Ordinary epochs, fills, restarts, and runs that end in the middle of an epoch.
    #[test]
    fn contents_are_those_of_a_map(steps in proptest::collection::vec(step(), 0..80)) {
        let store = Store::with(&[("value", "/value")]);
        let (mut writer, mut now) = store.open();
        let mut closed: BTreeMap<String, (String, u64)> = BTreeMap::new();
        // One change a key and epoch, as the gate hands them over.
        let mut open: BTreeMap<u8, Option<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(key, value) => drop(open.insert(key, Some(value))),
                Step::Delete(key) => drop(open.insert(key, None)),
                Step::Close | Step::Fill => {
                    let fill = matches!(step, Step::Fill);
                    for (key, value) in std::mem::take(&mut open) {
                        let key = key.to_string();
                        let document = value.map(|value| format!("{{\"value\":{value}}}"));
                        let change = document.as_ref().map_or_else(|| delete(&key), |d| upsert(&key, d));
                        writer.write(now, &mut vec![change]).unwrap();
                        match document {
                            Some(document) => drop(closed.insert(format!("[\"{key}\"]"), (document, now))),
                            None => drop(closed.remove(&format!("[\"{key}\"]"))),
                        }
                    }
                    if fill {
                        closed.retain(|_, (_, epoch)| *epoch == now);
                    }
                    writer.close(now, if fill { Sweep::Older } else { Sweep::Keep }).unwrap();
                    now += 3;
                }
                Step::Reopen | Step::Lose => {
                    if matches!(step, Step::Lose) {
                        writer.write(now, &mut vec![upsert("lost", "{}"), delete("1")]).unwrap();
                    } else {
                        writer.finish().unwrap();
                    }
                    drop(writer);
                    let above;
                    (writer, above) = store.open();
                    prop_assert_eq!(above, now.saturating_sub(2));
                    open.clear();
                }
            }
        }
        let expected: Vec<_> = closed.iter().map(|(k, (d, e))| (k.clone(), d.clone(), *e)).collect();
        prop_assert_eq!(store.rows(), expected);
        let wrong = "SELECT count(*) FROM moments WHERE value IS NOT json_extract(document, '$.value')";
        prop_assert_eq!(store.reader().query_row(wrong, (), |r| Ok(number(r, 0))).unwrap(), 0);
    }
}
