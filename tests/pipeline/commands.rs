//! `validate`, `graph`, `schema` and `completion`, through the real binary.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use super::{golden, repository};

fn flowstone(arguments: &[&str]) -> Output {
    let folder = repository("tests/cases/pipeline");
    let mut command = Command::cargo_bin("flowstone").unwrap();
    command.args(arguments).current_dir(folder).timeout(Duration::from_secs(60)).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_file_is_ok() {
    let output = flowstone(&["validate", "good_main.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expected = "ok: video-search\n  sources    annotations\n  operators  moments\n  sinks      store, search\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn warnings_do_not_make_a_file_bad() {
    let output = flowstone(&["validate", "warn_unused.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\nwarning: warn_unused.yaml:"), "{}", text(&output.stdout));
}

#[test]
fn a_bad_file_is_a_usage_error() {
    let output = flowstone(&["validate", "bad_many.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.lines().all(|line| line.starts_with("bad_many.yaml:") || line.ends_with(" problems")), "{said}");
    assert!(said.contains("unknown field \"buckt\" in operators.moments.fuse; did you mean \"bucket\"?"), "{said}");
    for command in [["graph", "bad_many.yaml"], ["validate", "no-such-file.yaml"]] {
        assert_eq!(flowstone(&command).status.code(), Some(2), "{command:?}");
    }
}

#[test]
fn programs_get_json() {
    let output = flowstone(&["validate", "bad_many.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["valid"], false);
    let problems = answer["problems"].as_array().unwrap();
    assert!(problems.len() > 5, "{answer:#}");
    let first = &problems[0];
    assert_eq!(first["file"], "bad_many.yaml");
    assert!(first["line"].as_u64().unwrap() > 0 && first["column"].as_u64().unwrap() > 0);
    assert!(first["message"].is_string() && first["path"].is_string());

    let output = flowstone(&["--json", "validate", "warn_unused.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["problems"], Value::Array(Vec::new()));
    assert!(!answer["warnings"].as_array().unwrap().is_empty());
}

#[test]
fn variables_come_from_the_environment() {
    let validate = |width: Option<&str>| {
        let mut command = Command::cargo_bin("flowstone").unwrap();
        command.args(["validate", "good_variables.yaml"]).current_dir(repository("tests/cases/pipeline"));
        command.env("ARCHIVE", "/archive").env("MODALITIES", "2").env("YEAR", "2024").env_remove("WIDTH");
        if let Some(width) = width {
            command.env("WIDTH", width);
        }
        command.output().unwrap()
    };
    assert_eq!(validate(Some("1s")).status.code(), Some(0));
    assert!(text(&validate(None).stderr).contains("the variable WIDTH is not set"));
    assert!(text(&validate(Some("wide")).stderr).contains("expected a duration"));
}

fn drawn(file: &str, format: &str, expected: &Path) {
    let output = flowstone(&["graph", file, "--format", format]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    golden(expected, text(&output.stdout)).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn drawings_are_as_written_down() {
    for name in ["good_aggregate", "good_reshaping", "good_main", "good_everything", "good_operations"] {
        drawn(&format!("{name}.yaml"), "mermaid", &repository(&format!("tests/cases/pipeline/{name}.mmd")));
        drawn(&format!("{name}.yaml"), "dot", &repository(&format!("tests/cases/pipeline/{name}.dot")));
    }
    let by_default = flowstone(&["graph", "good_main.yaml"]);
    let mermaid = flowstone(&["graph", "good_main.yaml", "--format", "mermaid"]);
    assert_eq!(by_default.stdout, mermaid.stdout);
    assert_eq!(flowstone(&["graph", "good_main.yaml", "--format", "png"]).status.code(), Some(2));
}

#[test]
fn the_schema_is_printed() {
    let output = flowstone(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, flowstone::pipeline::schema());
    assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = flowstone(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("validate"), "{shell}");
    }
    assert_eq!(flowstone(&["completion", "tcsh"]).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    // The reading end is closed before anything is written: the write is answered with a broken pipe.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flowstone"));
    let output = command.arg("schema").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
