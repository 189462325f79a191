//! OpenSearch holds and finds what Elasticsearch does.

use flowstone_services::opensearch::OpenSearch;
use serde_json::{Value, json};

use super::archive::{TANTIVY, deletion, pipeline, text};
use super::expected;
use super::index::Index;
use super::round;
use super::support::Place;

#[test]
fn an_index_of_opensearch_is_filled_followed_swept_and_searched() {
    let server = OpenSearch::start().unwrap();
    let index = Index::new(&server.url());
    let place = Place::with(&pipeline("", &format!("{}{TANTIVY}", remote(&index))));
    let mut lines: Vec<String> = (0..4).flat_map(|n| ["a7", "b8"].map(|asset| round(asset, n))).flatten().collect();
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));

    let more = vec![deletion("b8-joey")];
    lines.extend(more.clone());
    place.write("in/b.ndjson", text(more));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));

    // A sweep goes through all that is there, page by page.
    let foreign: String =
        (0..2_500).map(|n| format!("{{\"index\":{{\"_id\":\"foreign-{n}\"}}}}\n{{\"mine\":1}}\n")).collect();
    index.bulk(&foreign);
    assert_eq!(place.flowstone(&["sinks", "reset", "remote", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));

    let hits = |args: &[&str]| place.flowstone(&[&["query", "--json"], args].concat()).summary();
    let questions: [&[&str]; 3] = [
        &["--all", "CHARACTER_SEARCH"],
        &["--all", "SCENE_SEARCH", "--asset", "a7"],
        &["--all", "OBJECT_SEARCH", "--top", "1"],
    ];
    for question in questions {
        let embedded = hits(&[&["index"], question].concat());
        assert_eq!(hits(&[&[index.name.as_str(), "--elasticsearch", &index.url], question].concat()), embedded);
        assert!(!embedded.as_array().unwrap().is_empty(), "{question:?}");
    }
    let said = place.flowstone(&["query", "no-such-index", "--elasticsearch", &index.url, "--all", "SCENE_SEARCH"]);
    assert!(said.code == Some(1) && said.stderr.contains("no-such-index"), "{}", said.stderr);
    assert_eq!(index.ask("GET", "/_count", &Value::Null)["count"], json!(expected(&lines).len()));
}

fn remote(index: &Index) -> String {
    index.sink(", create: true").replace("  search:", "  remote:")
}
