//! What the sinks of a case hold in the end, and whether two contents are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use rusqlite::types::Value as Cell;
use serde_json::Value;

use crate::oracle::labels;
use crate::support::{Documents, changes, sqlite, tantivy};

/// The contents of all sinks. Versions are left out.
#[derive(PartialEq)]
pub struct Contents {
    store: BTreeMap<String, (String, Vec<Cell>)>,
    index: Documents,
    files: Documents,
    /// How many moments show each label.
    counts: Documents,
    /// The lines of the dead letters' file, sorted: each letter is there once.
    letters: Vec<String>,
    /// The same letters in an SQLite table, if the case has one.
    stored_letters: BTreeMap<String, (String, Vec<Cell>)>,
}

impl Contents {
    pub fn of(dir: &Path) -> Self {
        let letters = dir.join("letters.sqlite");
        Contents {
            store: sqlite(&dir.join("moments.sqlite"), "moments"),
            index: tantivy(&dir.join("index")),
            files: folded(&dir.join("changes")),
            counts: sqlite(&dir.join("counts.sqlite"), "labels").into_iter().map(|(key, row)| (key, row.0)).collect(),
            letters: dead_letters(dir),
            stored_letters: if letters.exists() { sqlite(&letters, "letters") } else { BTreeMap::new() },
        }
    }

    /// Panics if a sink of documents holds anything else than these.
    pub fn assert_documents(&self, expected: &Documents) {
        let store = self.store.iter().map(|(key, row)| (key.clone(), row.0.clone())).collect();
        assert_same("SQLite", &store, expected);
        assert_same("Tantivy", &self.index, expected);
        assert_same("the file sink", &self.files, expected);
        assert_same("the counts", &self.counts, &labels(expected));
    }

    /// Panics if it differs.
    pub fn assert_equal(&self, expected: &Contents) {
        assert_same("SQLite", &self.store, &expected.store);
        assert_same("Tantivy", &self.index, &expected.index);
        assert_same("the file sink", &self.files, &expected.files);
        assert_same("the counts", &self.counts, &expected.counts);
        let counted = |letters: &[String]| {
            let mut counts = BTreeMap::<String, usize>::new();
            letters.iter().for_each(|letter| *counts.entry(letter.clone()).or_default() += 1);
            counts
        };
        assert_same("the file of dead letters", &counted(&self.letters), &counted(&expected.letters));
        assert_same("the table of dead letters", &self.stored_letters, &expected.stored_letters);
    }
}

fn dead_letters(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("state/dead-letters.ndjson")).unwrap_or_default();
    let mut letters: Vec<String> = text
        .lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).expect("a line is a letter");
            letter.to_string()
        })
        .collect();
    letters.sort();
    letters
}

/// What the change records of a file sink amount to.
fn folded(dir: &Path) -> Documents {
    let mut documents = Documents::new();
    for change in changes(dir) {
        match change.document {
            Some(document) => documents.insert(change.key, document),
            None => documents.remove(&change.key),
        };
    }
    documents
}

/// Panics with the first differences.
#[track_caller]
fn assert_same<V: PartialEq + Debug>(what: &str, found: &BTreeMap<String, V>, expected: &BTreeMap<String, V>) {
    let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let different: Vec<&String> = keys.into_iter().filter(|key| found.get(*key) != expected.get(*key)).collect();
    if different.is_empty() {
        return;
    }
    for key in different.iter().take(3) {
        eprintln!("{what}, {key}:\n  found    {:?}\n  expected {:?}", found.get(*key), expected.get(*key));
    }
    panic!("{what} differs at {} of {} keys", different.len(), expected.len());
}
