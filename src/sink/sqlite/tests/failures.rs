//! Stores that can not be opened or written: the error says which, and who must act.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use super::*;

/// The error and its causes, as the command line prints them.
fn chain(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn assert_says(error: &SinkError, expected: &[&str]) {
    let text = chain(error);
    for part in expected.iter().chain(&["sqlite sink \"store\""]) {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[track_caller]
fn refused(store: &Store) -> SinkError {
    store.try_open().err().expect("it can not be opened")
}

#[test]
fn a_table_with_other_columns_is_refused_with_expected_and_found() {
    let mut store = Store::with(&[("label", "/label")]);
    store.open();
    let further = IndexMap::from([("asset".to_owned(), FieldPath::literal("/asset"))]);
    let before = std::mem::replace(&mut store.spec.columns, further);
    let error = refused(&store);
    assert!(matches!(error, SinkError::Mismatch { .. }));
    assert_says(
        &error,
        &[
            "expected the columns (key TEXT PRIMARY KEY, document TEXT, epoch INTEGER, asset)",
            "found (key TEXT PRIMARY KEY, document TEXT, epoch INTEGER, label)",
        ],
    );
    store.spec.columns = before;
    store.open();
}

#[test]
fn a_table_of_someone_else_is_refused_and_left_as_it_is() {
    for sql in [
        "CREATE TABLE moments (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO moments VALUES (1, 'kept')",
        "CREATE TABLE moments (key TEXT, document TEXT NOT NULL, epoch INTEGER NOT NULL)",
        "CREATE VIEW moments AS SELECT 1 AS key, 2 AS document, 3 AS epoch",
    ] {
        let store = Store::new();
        store.reader().execute_batch(sql).unwrap();
        let before: String = store.reader().query_row("SELECT sql FROM sqlite_schema", (), |r| r.get(0)).unwrap();
        assert!(matches!(refused(&store), SinkError::Mismatch { .. }), "{sql}");
        let after: String =
            store.reader().query_row("SELECT group_concat(sql) FROM sqlite_schema", (), |r| r.get(0)).unwrap();
        assert_eq!(before, after, "nothing was made beside it");
    }
}

#[test]
fn names_that_can_not_be_used_are_refused() {
    for table in ["flowstone_meta", "FLOWSTONE_META", "sqlite_master"] {
        let mut store = Store::new();
        store.spec.table = table.to_owned();
        assert_says(&refused(&store), &["reserved"]);
    }
    for column in ["Key", "epoch"] {
        assert_says(&refused(&Store::with(&[(column, "/x")])), &["twice", column]);
    }
    assert_says(&refused(&Store::with(&[("a", "/x"), ("A", "/y")])), &["twice"]);
}

#[test]
fn a_path_that_names_a_directory_is_an_error() {
    let store = Store::new();
    fs::create_dir(store.path()).unwrap();
    assert_says(&refused(&store), &["could not open", "check that the path names a file"]);
}

#[test]
fn a_path_below_a_file_is_an_error() {
    let mut store = Store::new();
    fs::write(store.dir.path().join("file"), "").unwrap();
    store.spec.path = "file/moments.db".to_owned();
    assert_says(&refused(&store), &["could not make the directory of"]);
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_left_as_it_is() {
    let store = Store::new();
    let junk = "{\"not\":\"a database\"}\n".repeat(100);
    fs::write(store.path(), &junk).unwrap();
    assert_says(&refused(&store), &["the file is no SQLite database"]);
    assert_eq!(fs::read_to_string(store.path()).unwrap(), junk);
}

#[test]
fn a_damaged_file_is_an_error() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    let document = format!("{{\"x\":\"{}\"}}", "x".repeat(500));
    let changes: Vec<Change> = (0..200).map(|n| upsert(&n.to_string(), &document)).collect();
    epoch(&mut writer, 1, &changes, Sweep::Keep);
    writer.finish().unwrap();
    drop(writer);
    let mut file = fs::OpenOptions::new().write(true).open(store.path()).unwrap();
    file.seek(SeekFrom::Start(3 * 4096)).unwrap();
    file.write_all(&vec![0xee; 20 * 4096]).unwrap();
    assert_says(&refused(&store), &["the file is damaged"]);
}

#[test]
fn a_full_disk_is_an_error_and_keeps_the_epochs_before() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    writer.connection.pragma_update(None, "max_page_count", 20).unwrap();
    let document = format!("\"{}\"", "x".repeat(10_000));
    let error = (0..100)
        .find_map(|n| writer.write(2, &mut vec![upsert(&n.to_string(), &document)]).err())
        .expect("twenty pages are not enough");
    assert_says(&error, &["could not write to", "no space is left"]);
    drop(writer);
    assert_eq!((store.rows(), store.open().1), (vec![stored("a", "1", 1)], 2));
}

#[test]
fn a_read_only_store_is_an_error() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    writer.connection.pragma_update(None, "query_only", true).unwrap();
    let error = writer.write(1, &mut vec![upsert("a", "1")]).expect_err("read-only");
    assert_says(&error, &["read-only"]);
}

#[test]
fn another_programs_lock_is_waited_for() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    writer.patience = Duration::from_secs(60);
    let other = store.reader();
    other.execute_batch("CREATE TABLE other (x); BEGIN IMMEDIATE; INSERT INTO other VALUES (1)").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            other.execute_batch("COMMIT").unwrap();
        });
        epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    });
    assert_eq!(store.rows(), [stored("a", "1", 1)]);
}

#[test]
fn a_lock_that_stays_is_an_error() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    let other = store.reader();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = writer.write(1, &mut vec![upsert("a", "1")]).expect_err("locked");
    assert_says(&error, &["another program holds its lock"]);
    other.execute_batch("COMMIT").unwrap();
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
}

#[test]
fn a_run_that_opens_a_table_fences_the_one_before() {
    let store = Store::new();
    let (mut first, _) = store.open();
    epoch(&mut first, 1, &[upsert("a", "first")], Sweep::Older);
    let (mut second, above) = store.open();
    assert_eq!(above, 2);
    // The first one is fenced before the second has written anything, at whatever epoch.
    let error = first.write(9, &mut vec![upsert("a", "late")]).expect_err("fenced");
    assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
    assert_says(&error, &["another run has taken over", "stop one of the two"]);
    drop(first);
    epoch(&mut second, 2, &[upsert("b", "second")], Sweep::Keep);
    assert_eq!(store.rows(), [stored("a", "first", 1), stored("b", "second", 2)]);
}

#[test]
fn an_empty_epoch_of_a_fenced_run_does_not_count() {
    let store = Store::new();
    let (mut first, _) = store.open();
    let (mut second, _) = store.open();
    epoch(&mut second, 3, &[upsert("a", "second")], Sweep::Older);
    let error = first.close(5, Sweep::Older).expect_err("fenced");
    assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
    drop(first);
    assert_eq!((store.rows(), store.upper()), (vec![stored("a", "second", 3)], 4));
}

#[test]
fn the_owner_of_one_table_leaves_the_others_of_the_file_alone() {
    let mut store = Store::new();
    let (mut first, _) = store.open();
    store.spec.table = "others".to_owned();
    let (mut second, _) = store.open();
    epoch(&mut first, 1, &[upsert("a", "1")], Sweep::Older);
    epoch(&mut second, 1, &[upsert("b", "1")], Sweep::Older);
    epoch(&mut first, 2, &[upsert("c", "1")], Sweep::Keep);
}

#[test]
fn an_entry_that_was_replaced_is_no_other_run() {
    for sql in [
        "UPDATE flowstone_meta SET store_id = 'other', owner = 'other'",
        "UPDATE flowstone_meta SET upper = 77",
        "DELETE FROM flowstone_meta",
    ] {
        let store = Store::new();
        let (mut writer, _) = store.open();
        store.reader().execute_batch(sql).unwrap();
        let error = writer.write(99, &mut vec![upsert("a", "1")]).expect_err("changed");
        assert!(matches!(error, SinkError::Mismatch { .. }), "{sql}: {error}");
        assert_says(&error, &["was changed while this run wrote it; start again"]);
    }
}

#[test]
fn a_file_of_a_version_without_owners_is_gone_on_with() {
    let store = Store::new();
    let (mut writer, _) = store.open();
    epoch(&mut writer, 4, &[upsert("a", "1")], Sweep::Older);
    let before = opened(&store).store;
    drop(writer);
    store.reader().execute_batch("ALTER TABLE flowstone_meta DROP COLUMN owner").unwrap();
    assert_eq!(opened(&store).store, before);
    let (mut writer, _) = store.open();
    epoch(&mut writer, 5, &[upsert("b", "1")], Sweep::Keep);
    assert_eq!(store.upper(), 6);
}

#[test]
fn a_document_that_is_not_utf8_is_an_error_that_shows_it() {
    let store = Store::new();
    let row = row_of("a", b"{\"x\":\"\xff\"}");
    let error = store.open().0.write(1, &mut vec![Change::Upsert(row)]).expect_err("not UTF-8");
    assert_says(&error, &["UTF-8", "{\\\"x\\\""]);
}
