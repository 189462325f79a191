//! `flowstone generate`, and the archive of `examples/video-search` that it made.

// Clippy takes only the test functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn flowstone(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
    command.args(args);
    command
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/video-search")
}

/// The lines of all files of an archive, compressed with gzip or not, by file name.
fn lines(directory: &Path) -> Vec<(String, Vec<String>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<String>)> = entries
        .map(|entry| {
            let bytes = fs::read(entry.path()).unwrap();
            let mut text = String::new();
            if bytes.starts_with(&[0x1f, 0x8b]) {
                flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            (entry.file_name().into_string().unwrap(), text.lines().map(str::to_owned).collect())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_command_prints_a_summary_for_people_and_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("new/archive");
    let out = out.to_str().unwrap();
    let output = flowstone(&["generate", out, "--style", "uniform", "--annotations", "1000", "--seed", "7"]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("1,000 lines, ") && text.contains("OBJECT_SEARCH") && text.contains("200 assets"),
        "{text}"
    );
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");

    let again = ["generate", out, "--style", "uniform", "--annotations", "1000", "--seed", "7", "--force", "--json"];
    let summary: Value = serde_json::from_slice(&flowstone(&again).unwrap().stdout).unwrap();
    assert_eq!(summary["lines"], 1_000);
    assert_eq!(summary["types"].as_array().unwrap().len(), 4);
    assert_eq!(summary["files"][0]["bytes"], fs::metadata(Path::new(out).join("part-000.ndjson")).unwrap().len());
}

#[test]
fn wrong_use_is_told_apart_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let refused = |args: &[&str]| {
        let output = flowstone(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["generate", out, "--mean-length", "3"]).contains("a whole number and a unit"));
    assert!(refused(&["generate", out, "--modalities", "13"]).contains("modalities: it must be a number from 1 to 12"));
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    assert!(refused(&["generate", out]).contains("is not empty; choose another, or overwrite"));
    assert_eq!(fs::read_dir(out).unwrap().count(), 1);
}

#[test]
fn the_example_s_archive_is_what_the_command_in_its_readme_makes() {
    let readme = fs::read_to_string(example().join("README.md")).unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("flowstone generate annotations ")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut args = vec!["generate", directory.path().to_str().unwrap()];
    args.extend(command.split(' '));
    flowstone(&args).assert().success();
    let (made, kept) = (lines(directory.path()), lines(&example().join("annotations")));
    assert_eq!(made.len(), 2);
    // Whole archives are too long to print.
    assert!(made == kept, "make it again: flowstone generate annotations --force {command}");
}

/// What the example's README promises to those who search it, by the plainest reading of its lines.
#[test]
fn the_example_has_moments_to_find_and_talk_to_tell_apart() {
    let (mut rows, mut bad): (HashMap<String, Value>, usize) = (HashMap::new(), 0);
    let files = lines(&example().join("annotations"));
    for line in files.iter().flat_map(|(_, lines)| lines) {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            bad += 1;
            continue;
        };
        let id = value["annotation_id"].as_str().unwrap().to_owned();
        if value["deleted"] == true {
            rows.remove(&id);
        } else if start_ns(&value) > end_ns(&value) || value["associated_ids"]["ASSET_ID"].is_null() {
            bad += 1;
        } else {
            rows.insert(id, value);
        }
    }
    assert_eq!(bad, 3);
    assert!(rows.len() >= 20_000, "{}", rows.len());
    let select = |kind: &str, label: &str| -> Vec<&Value> {
        rows.values().filter(|row| row["type"] == kind && (row["label"] == label || label.is_empty())).collect()
    };
    let (joey, kitchens) = (select("CHARACTER_SEARCH", "Joey"), select("SCENE_SEARCH", "kitchen"));
    let (scenes, talk) = (select("SCENE_SEARCH", ""), select("DIALOGUE_SEARCH", ""));
    let together: Vec<&Value> =
        joey.iter().copied().filter(|joey| kitchens.iter().any(|kitchen| overlap(joey, kitchen))).collect();
    let episodes: BTreeSet<&str> = together.iter().map(|row| asset(row)).collect();
    assert!(together.len() >= 12 && episodes.len() >= 3, "{} in {episodes:?}", together.len());

    let says_kitchen = |row: &Value| row["text"].as_str().unwrap().contains("kitchen");
    let elsewhere = |row: &Value| {
        !scenes.iter().any(|scene| scene["label"] == "kitchen" && overlap(scene, row))
            && joey.iter().any(|joey| overlap(joey, row))
    };
    assert!(talk.iter().filter(|row| says_kitchen(row) && elsewhere(row)).count() >= 3);

    let mut fixture: Vec<(i64, i64)> = rows
        .values()
        .filter(|row| asset(row) == "the-one-with-the-fixture")
        .map(|row| (start_ns(row), end_ns(row)))
        .collect();
    fixture.sort_unstable();
    assert_eq!(fixture, [(2_000_000_000, 8_000_000_000), (4_000_000_000, 9_000_000_000)]);
}

fn asset(row: &Value) -> &str {
    row["associated_ids"]["ASSET_ID"].as_str().unwrap()
}

fn start_ns(row: &Value) -> i64 {
    row["time_range"]["start_time_ns"].as_i64().unwrap()
}

fn end_ns(row: &Value) -> i64 {
    row["time_range"]["end_time_ns"].as_i64().unwrap()
}

fn overlap(a: &Value, b: &Value) -> bool {
    asset(a) == asset(b) && start_ns(a) < end_ns(b) && start_ns(b) < end_ns(a)
}
