//! `flowstone bench`, through the program.

// Clippy takes only the test functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

/// `flowstone bench fusion` on a few annotations.
fn fusion(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
    command.args(["bench", "fusion", "--annotations", "3000", "--assets", "7", "--span", "5m", "--repetitions", "2"]);
    command.args(args).timeout(LIMIT);
    command
}

fn report(args: &[&str]) -> Value {
    let output = fusion(args).arg("--json").unwrap();
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_bulk_and_epochs_are_measured_and_agree_with_one_sweep() {
    let changes = ["--bulk", "2000", "--batch", "100", "--corrections", "0.3", "--deletions", "0.1", "--compare"];
    let one = report(&changes);
    let two = report(&[&changes[..], &["--workers", "2"]].concat());
    for report in [&one, &two] {
        let phases = report["phases"].as_array().unwrap();
        let names: Vec<_> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["bulk", "epochs"]);
        assert_eq!((&phases[0]["annotations"], &phases[1]["annotations"]), (&2000.into(), &1000.into()));
        assert_eq!(phases[1]["epochs"], 10);
        assert_eq!(report["floor"]["results"], report["results_left"]);
        assert!(report["floor"]["ratio"].is_null(), "they do not do the same");
        assert!(phases[1]["p99_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(report["repetitions"].as_array().unwrap().len(), 2);
        if cfg!(target_os = "linux") {
            assert!(report["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
            assert!(report["state_bytes_per_annotation"].is_number());
        }
    }
    for counted in ["written", "retracted"] {
        for phase in 0..2 {
            assert_eq!(one["phases"][phase][counted], two["phases"][phase][counted], "whatever the number of workers");
        }
    }
    assert_ne!(report(&["--seed", "2"])["results_left"], report(&["--seed", "3"])["results_left"]);
}

#[test]
fn people_get_a_table_and_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("epochs.svg");
    let output = fusion(&["--batch", "200", "--plot", path.to_str().unwrap(), "--emit", "runs"]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().find(|line| line.trim_start().starts_with("epochs") && line.contains("3,000")).unwrap();
    assert!(row.contains(" 15 ") && row.contains(" ms"), "{text}");
    assert!(text.contains("3,000 annotations and ") && text.contains("1 worker, seed 1"), "{text}");
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("p99") && svg.contains("200 annotations an epoch"), "{svg}");

    let text = String::from_utf8(fusion(&["--compare", "--backfill"]).unwrap().stdout).unwrap();
    assert!(text.contains("sort and sweep") && text.contains("times the time of one sort and sweep"), "{text}");
}

#[test]
fn the_join_of_intervals_is_measured_too() {
    let overlap = |args: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
        command.args(["bench", "overlap", "--annotations", "4000", "--assets", "5", "--repetitions", "1", "--compare"]);
        command.args(args).timeout(LIMIT).unwrap().stdout
    };
    let report: Value =
        serde_json::from_slice(&overlap(&["--batch", "400", "--corrections", "0.2", "--workers", "2", "--json"]))
            .unwrap();
    assert_eq!((&report["phases"][0]["epochs"], &report["settings"]["modalities"]), (&10.into(), &2.into()));
    assert!(report["results_left"].as_u64().unwrap() > 1_000);
    assert_eq!(report["floor"]["results"], report["results_left"]);
    let text = String::from_utf8(overlap(&[])).unwrap();
    assert!(
        text.contains("pairs/s") && text.contains("4,000 annotations and ") && text.contains(" pairs left"),
        "{text}"
    );
}

#[test]
fn wrong_usage_ends_with_2_and_names_the_option() {
    for (args, said) in [
        (&["--corrections", "0.8", "--deletions", "0.8"][..], "could not use the setting deletions"),
        (&["--bulk", "3001"], "could not use the setting bulk: it must be a number from 0 to 3000, not 3001"),
        (&["--mean-length", "6m"], "mean-length"),
        (&["--plot", "out.svg"], "--batch"),
        (&["--emit", "moments"], "buckets, runs, segments"),
    ] {
        let assert = fusion(args).assert().code(2);
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    let missing = fusion(&["--batch", "500", "--plot", "/nowhere/out.svg"]).assert().code(1);
    let stderr = String::from_utf8_lossy(&missing.get_output().stderr).into_owned();
    assert!(stderr.starts_with("error: could not write the plot \"/nowhere/out.svg\""), "{stderr}");
}

#[test]
fn aggregation_is_measured_too() {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
    command.args(["bench", "aggregate", "--annotations", "4000", "--assets", "500", "--repetitions", "1", "--compare"]);
    command.args(["--batch", "400", "--corrections", "0.2", "--workers", "2", "--json"]);
    let report: Value = serde_json::from_slice(&command.timeout(LIMIT).unwrap().stdout).unwrap();
    assert_eq!(report["phases"][0]["epochs"], 10);
    assert_eq!(report["floor"]["results"], report["results_left"]);
}

/// `flowstone bench nexmark` on a few events.
fn nexmark(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
    command.args(["bench", "nexmark", "--events", "1000", "--rate", "20", "--repetitions", "1"]);
    command.args(args).timeout(LIMIT);
    command
}

#[test]
fn queries_of_nexmark_are_measured_and_their_files_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("events");
    let kept = ["--queries", "q2,q5", "--workers", "1,2", "--dir", dir.to_str().unwrap(), "--json"];
    let report: Value = serde_json::from_slice(&nexmark(&kept).unwrap().stdout).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let of: Vec<_> =
        runs.iter().map(|run| (run["query"].as_str().unwrap(), run["workers"].as_u64().unwrap())).collect();
    assert_eq!(of, [("q2", 1), ("q2", 2), ("q5", 1), ("q5", 2)]);
    assert!(runs.iter().all(|run| run["events"] == 920 && run["events_per_s"].as_f64().unwrap() > 0.0), "{report}");
    assert_eq!(runs[2]["rows"], runs[3]["rows"]);

    let mut backfill = Command::new(assert_cmd::cargo::cargo_bin!("flowstone"));
    let output = backfill.arg("backfill").arg(dir.join("q5.yaml")).arg("--json").timeout(LIMIT).unwrap().stdout;
    let summary: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(summary["sinks"]["out"]["upserts"], runs[2]["rows"], "{summary}");

    let text = String::from_utf8(nexmark(&["--queries", "q11"]).unwrap().stdout).unwrap();
    assert!(text.contains(" q11 ") && text.contains("all rows are those of the oracle; 1,000 events"), "{text}");
    let unknown = nexmark(&["--queries", "q6"]).assert().code(2);
    let stderr = String::from_utf8_lossy(&unknown.get_output().stderr).into_owned();
    assert!(stderr.contains("could not use the setting queries: it must be some of q1, q2,"), "{stderr}");
}
