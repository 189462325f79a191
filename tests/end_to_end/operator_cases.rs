//! Golden cases of operators that make rows of rows: each `tests/cases/operators/NAME.case` is the operators of a pipeline, of which
//! `out` is written, an empty line, and blocks of records with empty lines between them; those after `>` are of the source
//! `others`. `NAME.txt` is what each block changes. `REWRITE=1` writes those anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use flowstone::runtime::{Mode, Outcome};

use super::aggregate_cases::write_changes;
use super::support::{Place, changes, run};

/// What the blocks of a case change, one after the other, each in a run of its own with other workers than the one before.
fn outcome(case: &str) -> String {
    let (operators, blocks) = case.split_once("\n\n").unwrap();
    let source = |name: &str| {
        if !case.contains(name) {
            return String::new();
        }
        format!("  {name}: {{ file: {{ paths: [{name}.ndjson] }}, key: /id, delete: /deleted }}\n")
    };
    let place = Place::with(&format!(
        "name: case\nsources:\n{}{}operators:\n  {}\nsinks:\n  written: {{ from: out, file: {{ path: out }} }}\n  \
         unusable: {{ from: out.rejected, file: {{ path: unusable }} }}\n",
        source("rows"),
        source("others"),
        operators.replace('\n', "\n  "),
    ));
    let (mut seen, mut unusable, mut out) = (0, 0, String::new());
    for ((n, block), workers) in (1..).zip(blocks.split("\n\n")).zip([2, 1, 3].into_iter().cycle()) {
        for line in block.lines() {
            match line.strip_prefix("> ") {
                Some(line) => place.append("others.ndjson", format!("{line}\n")),
                None => place.append("rows.ndjson", format!("{line}\n")),
            }
        }
        assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
        writeln!(out, "{}block {n}", if n > 1 { "\n" } else { "" }).unwrap();
        write_changes(&changes(&place.path("out")), &mut seen, &mut out);
        write_changes(&changes(&place.path("unusable")), &mut unusable, &mut out);
    }
    out
}

#[test]
fn each_operator_gives_what_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/operators");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    assert!(files.len() >= 6, "the cases are gone: {}", folder.display());
    for file in files {
        let found = outcome(&std::fs::read_to_string(&file).unwrap());
        let expected = file.with_extension("txt");
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{}", file.display());
    }
}
