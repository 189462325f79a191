//! Golden cases: each `tests/cases/aggregate/NAME.case` is the settings of an `aggregate`, an empty line, and blocks of records
//! with empty lines between them; `NAME.txt` is what each block changes. `REWRITE=1` writes those anew. Those in
//! `tests/cases/events` are the same of records without a key.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use flowstone::runtime::{Mode, Outcome};

use super::support::{Change, Place, changes, run};

/// What the blocks of a case change, one after the other, each in a run of its own with other workers than the one before.
fn outcome(case: &str, rows: &str, unusable_rows: &str) -> String {
    let (settings, blocks) = case.split_once("\n\n").unwrap();
    let settings = settings.replace('\n', "\n      ");
    let place = Place::with(&format!(
        "name: case\nsources:\n  rows: {{ file: {{ paths: [in.ndjson] }}{rows} }}\noperators:\n  groups:\n    \
         aggregate:\n      from: rows\n      {settings}\nsinks:\n  out: {{ from: groups, file: {{ path: out }} }}\n  \
         unusable: {{ from: {unusable_rows}, file: {{ path: unusable }} }}\n"
    ));
    let (mut seen, mut unusable, mut out) = (0, 0, String::new());
    for ((n, block), workers) in (1..).zip(blocks.split("\n\n")).zip([2, 1, 3].into_iter().cycle()) {
        place.append("in.ndjson", format!("{}\n", block.trim_end()));
        assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
        writeln!(out, "{}block {n}", if n > 1 { "\n" } else { "" }).unwrap();
        for (name, seen) in [("out", &mut seen), ("unusable", &mut unusable)] {
            let path = place.path(name);
            // A stream has no file before its first row.
            let changes = if path.exists() { changes(&path) } else { Vec::new() };
            write_changes(&changes, seen, &mut out);
        }
    }
    out
}

/// Those that were not seen before, by key.
pub(super) fn write_changes(changes: &[Change], seen: &mut usize, out: &mut String) {
    let news: BTreeMap<&str, &Change> = changes[*seen..].iter().map(|change| (change.key.as_str(), change)).collect();
    *seen = changes.len();
    for (key, change) in news {
        match &change.document {
            Some(document) => writeln!(out, "+ {key} {document}").unwrap(),
            None => writeln!(out, "- {key}").unwrap(),
        }
    }
}

#[test]
fn each_function_gives_what_is_written_down() {
    compare("aggregate", ", key: /id, delete: /deleted", "groups.rejected");
}

#[test]
fn each_function_of_events_gives_what_is_written_down() {
    compare("events", "", "dead_letters");
}

fn compare(folder: &str, rows: &str, unusable: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    assert!(files.len() >= 3, "the cases are gone: {}", folder.display());
    for file in files {
        let found = outcome(&std::fs::read_to_string(&file).unwrap(), rows, unusable);
        let expected = file.with_extension("txt");
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{}", file.display());
    }
}
