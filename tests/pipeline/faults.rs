//! `docs/faults.md` names a test for each fault, and each test that it names exists.

use std::fs;
use std::path::Path;

use super::repository;

/// The source text of a file of this repository, or of all files of a folder; those below `tests/` and `src/` are named without that.
fn sources(name: &str) -> Option<String> {
    let places = ["tests", "src", "."].map(|root| repository(root).join(name));
    let place = places.iter().find(|place| place.exists())?;
    if place.is_file() {
        return Some(fs::read_to_string(place).unwrap());
    }
    let files = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    Some(texts.map(|path| fs::read_to_string(path).unwrap()).collect())
}

/// What the last cell of a row names: "`file`: `test`, `test`; `file`: `test`". A name that ends with … is a beginning.
fn problems(cell: &str) -> Vec<String> {
    let (mut problems, mut text, mut tests) = (Vec::new(), None, 0);
    for name in cell.split('`').skip(1).step_by(2) {
        if Path::new(name).extension().is_some() || name.contains('/') {
            text = sources(name);
            if text.is_none() {
                problems.push(format!("there is no {name}"));
            }
            continue;
        }
        tests += 1;
        let function = match name.strip_suffix('…') {
            Some(beginning) => format!("#[test]\nfn {beginning}"),
            None => format!("#[test]\nfn {name}()"),
        };
        let flat = |text: &String| text.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
        if !text.as_ref().is_some_and(|text| flat(text).contains(&function)) {
            problems.push(format!("there is no test {name}"));
        }
    }
    if tests == 0 && cell.trim() != "the same" {
        problems.push("no test is named".to_owned());
    }
    problems
}

#[test]
fn every_fault_that_is_described_names_a_test_that_exists() {
    let page = fs::read_to_string(repository("docs/faults.md")).unwrap();
    let mut rows = 0;
    let mut found = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        rows += 1;
        found.extend(problems(cells[2]).into_iter().map(|problem| format!("{}: {problem}", cells[0].trim())));
    }
    assert!(rows > 40, "{rows} rows");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_row_without_a_test_and_a_test_that_is_not_there_are_noticed() {
    let here =
        "`pipeline/faults.rs`: `a_row_without_a_test_and_…`, `every_fault_that_is_described_names_a_test_that_exists`";
    assert_eq!(problems(here), [""; 0]);
    assert_eq!(problems("the same"), [""; 0]);
    assert_eq!(problems("by the servers' own rule"), ["no test is named"]);
    assert_eq!(problems("`sink/cassandra/session.rs`"), ["no test is named"]);
    assert_eq!(problems("`pipeline/faults.rs`: `problems`"), ["there is no test problems"]);
    assert_eq!(problems("`pipeline/none.rs`: `x`"), ["there is no pipeline/none.rs", "there is no test x"]);
}
