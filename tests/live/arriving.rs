//! What is sent arrives: in the table, after it in the index, and in what a search finds.

use std::collections::BTreeMap;

use flowstone_services::proxy::Proxy;
use serde_json::{Value, json};

use crate::archive::{FILE, TANTIVY};
use crate::support::{Documents, SECOND, changes, folded, tantivy};
use crate::watch::watched;
use crate::world::{Addresses, Feed, World};

#[test]
fn what_is_generated_arrives_in_both_stores_and_is_never_found_before_it_is_stored() {
    // What the real stores hold is compared with what embedded ones do, too.
    let embedded = TANTIVY.replace("search:", "embedded:");
    let shared = Addresses::shared();
    let world = World::at(&shared, "", &format!("{embedded}{FILE}"));
    // A slow table: if the index did not wait for it, that would show.
    let table = Proxy::to(shared.cassandra.parse().unwrap()).unwrap();
    table.slow(400_000);
    let pipeline = std::fs::read_to_string(world.place.path("pipeline.yaml")).unwrap();
    world.place.write("pipeline.yaml", pipeline.replace(&shared.cassandra, &table.address().to_string()));
    let mut feed = Feed::new(&world.place, 1);
    feed.send(&world.topic, 400);
    let run = world.run(2);
    let ((), seen) = watched(&world, || {
        while feed.send(&world.topic, 50) {
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        world.holds(&feed.expected());
    });
    run.signal("TERM");
    let summary = run.wait().summary();
    assert_eq!(summary["tables"]["annotations"]["records"], feed.sent(), "each once");
    let (expected, changes) = (feed.expected(), changes(&world.place.path("changes")));
    seen.judge(&changes);
    assert_eq!(folded(changes), expected);
    assert_eq!(tantivy(&world.place.path("index")), expected);
    assert!(expected.len() > 300, "{} moments", expected.len());
    world.keyspace.assert_timestamps();
    children_are_searched_one_by_one(&world, &expected);
    searches_find_what_the_embedded_index_finds(&world);
}

/// Type and label of each child.
fn children(document: &str) -> Vec<[String; 2]> {
    let document: Value = serde_json::from_str(document).unwrap();
    let of = |child: &Value| ["annotation_type", "label"].map(|name| child[name].as_str().unwrap().to_owned());
    document["source_annotations"].as_array().unwrap().iter().map(of).collect()
}

/// An annotation's fields are matched on one child and not across children: as many moments have a child of a type *and* a
/// label as the oracle says, and more have one of the type and one of the label.
fn children_are_searched_one_by_one(world: &World, expected: &Documents) {
    let children: Vec<Vec<[String; 2]>> = expected.values().map(|document| children(document)).collect();
    let mut labels: BTreeMap<&String, &String> = BTreeMap::new();
    children.iter().flatten().for_each(|[kind, label]| {
        labels.insert(label, kind);
    });
    let kinds: std::collections::BTreeSet<&String> = labels.values().copied().collect();
    let mut across = 0;
    for label in labels.keys().take(12) {
        for kind in &kinds {
            let term = |name: &str, value: &str| json!({ "term": { format!("source_annotations.{name}"): value } });
            let (is_kind, is_label) = (term("annotation_type", kind), term("label.exact", label));
            let one = json!({ "bool": { "filter": [is_kind, is_label] } });
            let query = json!({ "query": { "nested": { "path": "source_annotations", "query": one } } });
            let found = world.index.ask("POST", "/_count", &query)["count"].as_u64().unwrap() as usize;
            let both = |of: &&Vec<[String; 2]>| of.iter().any(|[k, l]| k == *kind && l == *label);
            let each =
                |of: &&Vec<[String; 2]>| of.iter().any(|[k, _]| k == *kind) && of.iter().any(|[_, l]| l == *label);
            assert_eq!(found, children.iter().filter(both).count(), "{kind} {label}");
            across += usize::from(children.iter().filter(each).count() > found);
        }
    }
    assert!(across > 10, "most labels stand beside children of other types, and not only in these");
}

fn searches_find_what_the_embedded_index_finds(world: &World) {
    let hits = |args: &[&str]| world.place.flowstone(&[&["query", "--json"], args].concat()).summary();
    let (name, url, fixture) = (world.index.name.as_str(), world.index.url.as_str(), "the-one-with-the-fixture");
    let in_the_fixture = |clauses: &[&str]| {
        hits(&[&[name, "--elasticsearch", url, "--asset", fixture], clauses].concat()).as_array().unwrap().clone()
    };
    let found = in_the_fixture(&["--all", "CHARACTER_SEARCH:Joey", "--all", "SCENE_SEARCH:kitchen"]);
    let range = |hit: &Value| ["start_ns", "end_ns"].map(|name| hit[name].as_i64().unwrap());
    assert_eq!(found.iter().map(range).collect::<Vec<_>>(), [[4 * SECOND, 8 * SECOND]]);
    assert!(in_the_fixture(&["--all", "SCENE_SEARCH:Joey"]).is_empty(), "no scene is called Joey");
    let questions: [&[&str]; 5] = [
        &["--all", "CHARACTER_SEARCH", "--all", "SCENE_SEARCH:kitchen", "--mode", "union"],
        &["--any", "CHARACTER_SEARCH:Joey", "--any", "CHARACTER_SEARCH:Monica", "--all", "OBJECT_SEARCH"],
        &["--all", "DIALOGUE_SEARCH", "--min-confidence", "0.6", "--top", "2"],
        &["--all", "OBJECT_SEARCH", "--from", "20s", "--to", "50s"],
        &["--all", "SCENE_SEARCH", "--all", "DIALOGUE_SEARCH:the"],
    ];
    let mut answered = 0;
    for question in questions {
        let asked = hits(&[&[name, "--elasticsearch", url], question].concat());
        assert_eq!(asked, hits(&[&["index"], question].concat()), "{question:?}");
        answered += usize::from(!asked.as_array().unwrap().is_empty());
    }
    assert!(answered > 3, "the questions are not all about nothing: {answered}");
}
