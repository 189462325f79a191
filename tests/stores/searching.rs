//! `query --elasticsearch` finds what the embedded index finds, and what is close to a vector.

use flowstone_services::shared;
use serde_json::Value;

use super::archive::{TANTIVY, annotation, pipeline, text};
use super::index::Index;
use super::support::{Place, SECOND};

fn hits(place: &Place, args: &[&str]) -> Value {
    let mut all = vec!["query", "--json"];
    all.extend(args);
    place.flowstone(&all).summary()
}

#[test]
fn the_same_questions_have_the_same_answers() {
    let index = Index::new(shared::elasticsearch());
    let place = Place::with(&pipeline(
        "",
        &format!("{}{TANTIVY}", index.sink(", create: true").replace("  search:", "  remote:")),
    ));
    let mut lines = Vec::new();
    for (n, asset) in ["a7", "b8", "7"].into_iter().enumerate() {
        let at = n as i64 * 3 * SECOND;
        let line = |label: &str, kind: &str, from: i64, to: i64, confidence: f64| {
            let line = annotation(&format!("{asset} {label}"), asset, kind, at + from * SECOND, at + to * SECOND);
            let label = format!("\"label\":\"{label}\",\"confidence_score\":{confidence}");
            line.replace(&format!("\"label\":\"{asset} {}\"", &label[9..label.find("\",").unwrap()]), &label)
        };
        lines.extend([
            line("Joey", "CHARACTER_SEARCH", 2, 8, 0.9),
            line("Monica", "CHARACTER_SEARCH", 6, 12, 0.4),
            line("the kitchen table", "SCENE_SEARCH", 4, 9, 0.7),
            line("the cellar", "SCENE_SEARCH", 9, 14, 0.8),
            line("we were on a break", "DIALOGUE_SEARCH", 5, 7, 0.6),
        ]);
    }
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    index.ask("POST", "/_refresh", &Value::Null);

    let questions: [&[&str]; 14] = [
        &["--all", "CHARACTER_SEARCH:joey"],
        &["--all", "CHARACTER_SEARCH:Joey", "--all", "SCENE_SEARCH:kitchen"],
        // No scene is called Joey: a clause is met by one annotation.
        &["--all", "SCENE_SEARCH:joey"],
        &["--all", "SCENE_SEARCH:=the cellar"],
        &["--all", "SCENE_SEARCH:=cellar"],
        &["--all", "*:\"on a break\""],
        &["--all", "*:\"break a on\""],
        &["--all", "DIALOGUE_SEARCH:\"were a break\"", "--slop", "1"],
        &["--all", "SCENE_SEARCH:kitchn", "--fuzzy", "1"],
        &["--any", "CHARACTER_SEARCH:joey", "--any", "CHARACTER_SEARCH:monica", "--all", "SCENE_SEARCH"],
        &["--all", "CHARACTER_SEARCH", "--min-confidence", "0.5", "--mode", "union"],
        &["--all", "CHARACTER_SEARCH", "--asset", "7", "--asset", "b8"],
        &["--all", "CHARACTER_SEARCH", "--from", "7s", "--to", "10s"],
        &["--all", "SCENE_SEARCH", "--top", "1"],
    ];
    let mut found = 0;
    for question in questions {
        let embedded = hits(&place, &[&["index"], question].concat());
        let asked = hits(&place, &[&[index.name.as_str(), "--elasticsearch", &index.url], question].concat());
        assert_eq!(asked, embedded, "{question:?}");
        found += usize::from(!embedded.as_array().unwrap().is_empty());
    }
    assert_eq!(found, questions.len() - 3, "the questions are not all about nothing");
    let nothing = place.flowstone(&["query", &index.name, "--elasticsearch", &index.url, "--all", "NOBODY"]);
    assert!(
        nothing.stderr.contains("there are: CHARACTER_SEARCH, DIALOGUE_SEARCH, SCENE_SEARCH"),
        "{}",
        nothing.stderr
    );
}

/// Scenes of two assets, ten seconds each, whose vectors turn from one direction to another; and Joey in some of them.
fn scenes(asset: &str, count: i64) -> Vec<String> {
    let scene = |n: i64| {
        let (at, angle) = (n * 10 * SECOND, n as f64 / count as f64);
        let line = annotation(&format!("{asset}-s{n}"), asset, "SCENE_SEARCH", at, at + 10 * SECOND);
        let vector = format!("\"embedding_vector\":[{:.4},{:.4},0.5],\"label\"", 1.0 - angle, angle);
        let joey =
            annotation(&format!("{asset}-j{n}"), asset, "CHARACTER_SEARCH", at + 2 * SECOND, at + (3 + n) * SECOND);
        let extra = annotation(&format!("{asset}-o{n}"), asset, "OBJECT_SEARCH", at, at + 9 * SECOND);
        let mut lines = vec![line.replacen("\"label\"", &vector, 1), extra];
        lines.extend((n % 2 == 0).then_some(joey));
        lines
    };
    (0..count).flat_map(scene).collect()
}

/// Assets and seconds of what was found.
fn found(place: &Place, index: &Index, args: &[&str]) -> Vec<(String, i64, i64)> {
    let hits = hits(place, &[&[index.name.as_str(), "--elasticsearch", &index.url], args].concat());
    let hit = |hit: &Value| {
        let seconds = |name: &str| hit[name].as_i64().unwrap() / SECOND;
        (hit["asset"].as_str().unwrap().to_owned(), seconds("start_ns"), seconds("end_ns"))
    };
    hits.as_array().unwrap().iter().map(hit).collect()
}

#[test]
fn what_is_close_to_a_vector_is_found_exactly_or_approximately_and_together_with_words() {
    for (metric, approximate) in [("cosine", true), ("euclidean", true), ("cosine", false)] {
        let index = Index::new(shared::elasticsearch());
        let vector = format!(", create: true, vector: {{ dims: 3, metric: {metric}, approximate: {approximate} }}");
        let place = Place::with(&pipeline("", &index.sink(&vector)));
        place.write("in/a.ndjson", text([scenes("a7", 8), scenes("b8", 6)].concat()));
        place.backfill();
        index.ask("POST", "/_refresh", &Value::Null);
        place.write("like.json", "[1.0, 0.0, 0.5]");
        let asset = |name: &str, start, end| (name.to_owned(), start, end);

        let near = ["--near", "SCENE_SEARCH:like.json"];
        let ways: &[&[&str]] = if approximate { &[&[], &["--approximate"]] } else { &[&[]] };
        for way in ways {
            let found = |more: &[&str]| found(&place, &index, &[&near, *way, more].concat());
            // The nearest annotations, however many moments each of them is in.
            let two = found(&["--nearest", "2", "--mode", "union"]);
            assert_eq!(two, [asset("a7", 0, 10), asset("b8", 0, 10)], "{metric} {way:?}");
            let three = found(&["--nearest", "3", "--mode", "union"]);
            assert_eq!(three, [asset("a7", 0, 20), asset("b8", 0, 10)], "{metric} {way:?}: the next one is 1/8 away");
            // Only those together with Joey count.
            let joey = found(&["--nearest", "3", "--all", "CHARACTER_SEARCH"]);
            assert_eq!(joey, [asset("a7", 2, 3), asset("a7", 22, 25), asset("b8", 2, 3)], "{metric} {way:?}");
            let one = found(&["--nearest", "9", "--all", "CHARACTER_SEARCH", "--top", "1", "--asset", "a7"]);
            assert_eq!(one, [asset("a7", 2, 3)], "the most similar is the surest");
            assert_eq!(found(&["--min-similarity", "0.9999", "--mode", "union"]).len(), 2);
        }
        if !approximate {
            let ran = place.flowstone(&[
                "query",
                &index.name,
                "--elasticsearch",
                &index.url,
                "--near",
                near[1],
                "--approximate",
            ]);
            assert!(ran.code == Some(1) && ran.stderr.contains("approximate: true"), "{}", ran.stderr);
        }
        place.write("other.json", "[1.0]");
        let ran = place.flowstone(&["query", &index.name, "--elasticsearch", &index.url, "--near", "*:other.json"]);
        assert!(ran.stderr.contains("its vectors have 3 numbers, and one of 1 is asked for"), "{}", ran.stderr);
    }
}

#[test]
fn a_document_with_a_vector_of_another_length_is_a_dead_letter() {
    let index = Index::new(shared::elasticsearch());
    let place = Place::with(&pipeline("", &index.sink(", create: true, vector: { dims: 4 }")));
    place.write("in/a.ndjson", text(scenes("a7", 1)));
    place.backfill();
    assert!(index.documents().is_empty());
    let letters = std::fs::read_to_string(place.path("state/dead-letters.search.ndjson")).unwrap();
    assert!(letters.contains("embedding_vector"), "{letters}");
}
