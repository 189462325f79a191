//! Exit codes, and what goes to which stream.

use serde_json::Value;

use super::archive::{SQLITE, TANTIVY, joey, kitchen, pipeline, text};
use super::support::Place;

fn place() -> Place {
    let place = Place::with(&pipeline("", &format!("{SQLITE}{TANTIVY}")));
    place.write("in/a.ndjson", text([joey(), kitchen(), "junk".to_owned()]));
    place
}

#[test]
fn a_summary_for_people_shows_how_the_counts_add_up() {
    let ran = place().flowstone(&["backfill", "pipeline.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "no progress bar without a terminal");
    let words: Vec<&str> =
        ran.stdout.lines().filter(|line| line.contains("annotations")).flat_map(str::split_whitespace).collect();
    assert_eq!(words[..6], ["annotations", "3", "2", "0", "1", "0"], "{}", ran.stdout);
    for part in ["= rows applied", "+ deletions", "+ dead letters", "1 dead letter in state/dead-letters.ndjson"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }
    for sink in ["store", "search"] {
        let line = ran.stdout.lines().find(|line| line.contains(sink)).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("4"), "{line}");
    }
}

#[test]
fn json_is_alone_on_standard_output_and_logs_are_on_the_other() {
    let ran = place().flowstone(&["backfill", "pipeline.yaml", "--json", "-vv"]);
    assert!(ran.stderr.contains("running test"), "{}", ran.stderr);
    let summary = ran.summary();
    assert_eq!(summary["pipeline"], "test");
    assert_eq!(summary["outcome"], "complete");
    assert_eq!(summary["sinks"]["store"]["upserts"], 4);
    assert!(summary["seconds"].as_f64().unwrap() > 0.0 && summary["workers"].as_u64().unwrap() > 0);
    // `-vv` also says what a warning would.
    let place = place();
    let mut text = std::fs::read_to_string(place.path("pipeline.yaml")).unwrap();
    text = text.replace("sources:\n", "sources:\n  unused: { file: { paths: [in/a.ndjson] } }\n");
    place.write("pipeline.yaml", text);
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json"]);
    assert!(ran.stderr.contains("WARN") && ran.stderr.contains("unused"), "{}", ran.stderr);
    assert_eq!(ran.summary()["outcome"], "complete");
}

#[test]
fn wrong_usage_and_invalid_pipelines_exit_with_2() {
    let place = place();
    place.write("bad.yaml", "name: bad\nsources: { a: { file: {} } }\nsinks: {}\n");
    let cases: [(&[&str], &str); 9] = [
        (&["backfill"], "PIPELINE.yaml"),
        (&["backfill", "no-such.yaml"], "could not read the pipeline file"),
        (&["backfill", "in"], "it is a directory: name the pipeline file in it"),
        (&["backfill", "bad.yaml"], "bad.yaml:2:"),
        (&["run", "bad.yaml", "--json"], "bad.yaml:2:"),
        (&["backfill", "pipeline.yaml", "--workers", "0"], "--workers"),
        (&["backfill", "pipeline.yaml", "--fast"], "--fast"),
        (&["query", "index"], "--all"),
        (&["query", "index", "--all", "SCENE_SEARCH", "--from", "9s", "--to", "3s"], "is not after --from"),
    ];
    for (args, part) in cases {
        let ran = place.flowstone(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(part), "{args:?}: {}{}", ran.stdout, ran.stderr);
    }
    assert!(!place.path("moments.sqlite").exists() && !place.path("state").exists(), "nothing is made before that");
}

#[test]
fn what_fails_while_it_runs_exits_with_1() {
    let place = place();
    for (args, part) in [
        (&["query", "no-such-index", "--all", "SCENE_SEARCH"][..], "no search index"),
        (&["query", "in", "--all", "SCENE_SEARCH"], "is not a search index of moments"),
    ] {
        let ran = place.flowstone(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stderr);
        assert!(
            ran.stdout.is_empty() && ran.stderr.starts_with("error: ") && ran.stderr.contains(part),
            "{}",
            ran.stderr
        );
    }
    place.write(
        "memory.yaml",
        "name: m\nsources: { a: { memory: {}, key: /k } }\nsinks: { b: { from: a, discard: {} } }\n",
    );
    let ran = place.flowstone(&["backfill", "memory.yaml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("source \"a\" is a memory source"), "{}", ran.stderr);
}

#[test]
fn a_query_without_an_answer_succeeds_and_says_so_aside() {
    let place = place();
    place.backfill();
    let ran = place.flowstone(&["query", "index", "--json", "--all", "SCENE_SERCH:kitchen"]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "[]"));
    assert!(ran.stderr.contains("nothing found") && ran.stderr.contains("SCENE_SEARCH"), "{}", ran.stderr);
    let answer: Value = place.flowstone(&["query", "index", "--json", "--all", "SCENE_SEARCH:kitchen"]).summary();
    assert_eq!(answer[0]["annotations"][0]["labels"][0], "kitchen");
}

/// Paths in a pipeline file start at its folder, wherever the program is started.
#[test]
fn relative_paths_start_at_the_pipeline_file() {
    let place = Place::new();
    place.write("there/pipeline.yaml", pipeline("", SQLITE));
    place.write("there/in/a.ndjson", text([joey(), kitchen(), "junk".to_owned()]));
    let summary = place.flowstone(&["backfill", "there/pipeline.yaml", "--json"]).summary();
    assert_eq!(summary["sinks"]["store"]["upserts"], 4);
    assert_eq!(super::support::sqlite(&place.path("there/moments.sqlite"), "moments").len(), 4);
    assert!(place.path("there/state/dead-letters.ndjson").exists());
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1);
}
