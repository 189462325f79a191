//! `verify`, and reading, of journals with damaged, missing and foreign objects.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{epoch_entry, settle, sink};
use flowstone_journal::{Entry, Epoch};
use flowstone_journal::{Journal, JournalError, Keeper, Standing, TableInfo, verify};
use proptest::prelude::*;

/// A journal of `entries` entries after the opening one, with carried and stored parts.
fn sample(dir: &Path, entries: Epoch) {
    let mut keeper = Keeper::open(Journal::open(dir.to_str().unwrap()).unwrap()).unwrap();
    let table = TableInfo { name: "rows".into(), tail: false, awaits_reveal: false };
    let sinks = [("store".to_owned(), sink(Standing::Upper(1)))].into();
    keeper.append(Entry { new_tables: vec![(0, table)], sinks, ..Entry::default() }).unwrap();
    for epoch in 1..entries {
        let rows = [(0, vec![epoch as u8], Some(vec![3; 20])), (0, vec![200], Some(vec![epoch as u8]))];
        keeper.append(epoch_entry(&keeper, epoch, &rows, epoch % 3 != 0)).unwrap();
    }
    settle(&mut keeper);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = ["manifest", "parts"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(dir.join(folder)).unwrap().map(|file| file.unwrap().path()))
        .collect();
    files.sort();
    files
}

fn object(dir: &Path, file: &Path) -> String {
    file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()
}

fn problems(dir: &Path) -> Vec<String> {
    let report = verify(&Journal::open_to_read(dir.to_str().unwrap()).unwrap()).unwrap();
    report.problems.into_iter().map(|problem| problem.object).collect()
}

#[test]
fn each_flipped_byte_of_a_journal_is_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 4);
    assert_eq!(problems(dir.path()), Vec::<String>::new());
    for file in files(dir.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let name = object(dir.path(), &file);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&file, flipped).unwrap();
            assert!(problems(dir.path()).contains(&name), "byte {at} of {name}");
        }
        std::fs::write(&file, bytes).unwrap();
    }
    assert_eq!(problems(dir.path()), Vec::<String>::new());
}

#[test]
fn truncated_missing_and_foreign_objects_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 8);
    let other = tempfile::tempdir().unwrap();
    sample(other.path(), 9);
    let files = files(dir.path());
    for (i, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        let name = object(dir.path(), file);
        let last_entry = name.ends_with("000000000008");
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(file, &bytes[..len]).unwrap();
            assert!(problems(dir.path()).contains(&name), "{name} of {len} bytes");
        }
        std::fs::remove_file(file).unwrap();
        // The last entry missing is a journal that ends before: nobody can tell.
        assert_eq!(problems(dir.path()).contains(&name), !last_entry, "{name} is missing");
        let foreign = std::fs::read(other.path().join(&name)).unwrap();
        std::fs::write(file, foreign).unwrap();
        let found = problems(dir.path());
        // A first entry of another journal is noticed by the second, which does not follow it.
        let first_entry = name.ends_with("manifest/000000000000");
        let reported = found.contains(&name) || (first_entry && found.contains(&object(dir.path(), &files[i + 1])));
        // Parts of equal bytes are equal parts.
        let equal = std::fs::read(file).unwrap() == bytes;
        assert!(reported || equal, "{name} of another journal: {found:?}");
        std::fs::write(file, bytes).unwrap();
    }
    std::fs::write(dir.path().join("manifest/notes.txt"), b"hello").unwrap();
    assert_eq!(problems(dir.path()), ["manifest/notes.txt"]);
    let journal = Journal::open_to_read(dir.path().to_str().unwrap()).unwrap();
    assert!(matches!(journal.read(), Err(JournalError::Foreign { .. })));
}

#[test]
fn a_gap_is_an_error_by_name() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 80);
    for (number, text) in [(70, "manifest/000000000070"), (64, "manifest/000000000064")] {
        let file = dir.path().join(format!("manifest/{number:012}"));
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let error = Journal::open_to_read(dir.path().to_str().unwrap()).unwrap().read().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        std::fs::write(&file, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any bytes as an entry, with or without a proper beginning: an error, never a panic, never a state.
    #[test]
    fn any_bytes_as_an_entry_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), begin in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
        let mut entry = bytes;
        if begin {
            entry.splice(0..0, *b"FLJM\x01\0\0\0");
            if entry.len() >= 32 {
                let len = entry.len() as u64;
                entry[8..16].copy_from_slice(&len.to_le_bytes());
            }
        }
        std::fs::write(dir.path().join("manifest/000000000000"), entry).unwrap();
        let error = journal.read().unwrap_err();
        prop_assert!(error.to_string().contains("manifest/000000000000"));
        prop_assert!(Keeper::open(journal).is_err());
    }
}
