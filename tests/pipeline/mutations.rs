//! Random damage to a good file: whatever comes of it, it is an answer and not a panic.

use std::path::Path;

use flowstone::pipeline::{Format, draw, parse};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::repository;

/// What is put into the text: what YAML, variables, paths and durations are made of.
const PIECES: [&str; 34] = [
    ":",
    "-",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!x ",
    "|\n",
    ">\n",
    "\"",
    "'",
    "#",
    "\t",
    "\n",
    "  ",
    "${",
    "${X}",
    "$",
    "*",
    "/",
    "~",
    "null",
    "1",
    "-1",
    "99999999999999999999",
    "1e999",
    "true",
    "é",
    "\u{0}",
    "from: moments",
    "---\n",
];

#[derive(Clone, Debug)]
enum Edit {
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index, usize),
    Copy(prop::sample::Index, prop::sample::Index, usize),
    SwapLines(prop::sample::Index, prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), prop::sample::select(&PIECES[..])).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at(), 1..12_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), at(), 1..40_usize).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
        (at(), at()).prop_map(|(a, b)| Edit::SwapLines(a, b)),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return String::new();
    }
    match edit {
        Edit::Insert(at, piece) => {
            let at = at.index(chars.len());
            chars.splice(at..at, piece.chars());
        }
        Edit::Remove(at, length) => {
            let at = at.index(chars.len());
            chars.drain(at..(at + length).min(chars.len()));
        }
        Edit::Copy(from, to, length) => {
            let (from, to) = (from.index(chars.len()), to.index(chars.len()));
            let copied = chars[from..(from + length).min(chars.len())].to_vec();
            chars.splice(to..to, copied);
        }
        Edit::SwapLines(a, b) => {
            let mut lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                lines.swap(a, b);
            }
            return lines.join("\n") + "\n";
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_answered(good in prop::sample::select(vec!["good_main", "good_everything", "good_operations"]), edits in prop::collection::vec(edit(), 1..6)) {
        let text = std::fs::read_to_string(repository(&format!("tests/cases/pipeline/{good}.yaml"))).unwrap();
        let damaged = edits.iter().fold(text, |text, edit| apply(&text, edit));
        match parse(&damaged, Path::new("."), &|_| None) {
            Ok(loaded) => {
                prop_assert!(draw(&loaded, Format::Mermaid).starts_with("flowchart"));
                prop_assert!(draw(&loaded, Format::Dot).starts_with("digraph"));
            }
            Err(problems) => {
                let lines = damaged.split('\n').count();
                let mut last = (0, 0);
                for problem in problems.as_slice() {
                    prop_assert!((1..=lines + 1).contains(&problem.line), "{problem} of {damaged}");
                    prop_assert!(problem.column >= 1 && !problem.message.is_empty());
                    prop_assert!((problem.line, problem.column) >= last, "in the order of the file");
                    // A problem that only serde finds is one that the schema should have said.
                    prop_assert!(!problem.message.starts_with("could not read the pipeline"), "{problem} of {damaged}");
                    last = (problem.line, problem.column);
                }
                prop_assert!(!problems.as_slice().is_empty());
            }
        }
    }
}
