//! `query --elasticsearch` finds what the embedded index finds.

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
