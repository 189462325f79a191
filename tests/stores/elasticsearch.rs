//! An index holds what the moments are, whatever happened on the way.

use std::time::Duration;

use flowstone_services::elasticsearch::{Elasticsearch, ElasticsearchOptions};
use flowstone_services::shared;
use serde_json::{Value, json};

use super::archive::{annotation, following, from_source, joey, kitchen, pipeline, text};
use super::index::Index;
use super::support::{Place, SECOND};
use super::{at_last, expected, round};

fn shared_index() -> Index {
    Index::new(shared::elasticsearch())
}

/// Lines of several assets, and a place that reads them.
fn archived(index: &Index, more: &str) -> (Place, Vec<String>) {
    let place = Place::with(&pipeline("", &index.sink(more)));
    let lines: Vec<String> = (0..4).flat_map(|n| ["a7", "b8"].map(|asset| round(asset, n))).flatten().collect();
    place.write("in/a.ndjson", text(&lines));
    (place, lines)
}

#[test]
fn an_index_holds_the_moments_with_the_epoch_as_their_version() {
    let index = shared_index();
    let (place, mut lines) = archived(&index, &format!(", create: true, alias: {}-all", index.name));
    place.backfill();
    let (first, before) = (index.versions(), expected(&lines));
    assert_eq!(index.documents(), before);
    let fill = first.values().next().unwrap().0;
    assert!(first.values().all(|(version, _)| *version == fill), "a fill is one epoch");

    // Only what changes gets a new version.
    let more = vec![
        annotation("late", "a7", "DIALOGUE_SEARCH", 30 * SECOND, 31 * SECOND),
        super::archive::deletion("b8-joey"),
    ];
    lines.extend(more.clone());
    place.write("in/b.ndjson", text(more));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));
    let second = index.versions();
    let now = expected(&lines);
    for (key, (version, _)) in &second {
        assert_eq!(*version == fill, before.get(key) == now.get(key), "{key}");
    }
    assert!(second.values().any(|(version, _)| *version > fill));

    let settings = index.ask("GET", "/_settings", &Value::Null);
    let settings = &settings[&index.name]["settings"]["index"];
    assert_eq!((&settings["gc_deletes"], settings.get("refresh_interval")), (&json!("3600000ms"), None), "restored");
    let alias = index.call("GET", &format!("/{}-all/_count", index.name), &Value::Null).1;
    assert_eq!(alias["count"].as_u64().unwrap(), second.len() as u64);
}

#[test]
fn a_reset_fills_again_and_sweeps_what_somebody_else_has_written() {
    let index = shared_index();
    let (place, lines) = archived(&index, ", create: true");
    place.backfill();
    index.ask("PUT", "/_doc/foreign", &json!({ "mine": 1 }));
    let a_key = expected(&lines).keys().next().unwrap().clone();
    let encoded: String = a_key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    index.ask("DELETE", &format!("/_doc/{encoded}"), &Value::Null);
    assert_ne!(index.documents(), expected(&lines));
    assert_eq!(place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));
}

#[test]
fn lost_state_is_built_again_in_epochs_above_those_of_the_index() {
    let index = shared_index();
    let (place, mut lines) = archived(&index, ", create: true");
    place.backfill();
    std::fs::remove_dir_all(place.path("state")).unwrap();
    lines.truncate(7);
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines), "what the new input lacks is swept");
}

#[test]
fn an_index_that_was_made_anew_is_refused_until_it_is_reset() {
    let index = shared_index();
    let (place, lines) = archived(&index, ", create: true");
    place.backfill();
    index.ask("DELETE", "", &Value::Null);
    let said = place.refused(1);
    assert!(said.contains("its store is not the one that it wrote") && said.contains("sinks reset search"), "{said}");
    assert_eq!(place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));
}

#[test]
fn an_index_that_was_restored_from_an_older_copy_is_refused_until_it_is_reset() {
    let index = shared_index();
    let (place, mut lines) = archived(&index, ", create: true");
    place.backfill();
    let mapping = index.ask("GET", "/_mapping", &Value::Null);
    lines.push(annotation("late", "a7", "DIALOGUE_SEARCH", 30 * SECOND, 31 * SECOND));
    place.write("in/b.ndjson", text(&lines[lines.len() - 1..]));
    place.backfill();
    // The copy is of the same index, and has lost what came after it.
    index.ask("PUT", "/_mapping", &json!({ "_meta": mapping[&index.name]["mappings"]["_meta"] }));
    let (key, _) = expected(&lines).into_iter().find(|(_, document)| document.contains("\"late\"")).unwrap();
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    index.ask("DELETE", &format!("/_doc/{encoded}"), &Value::Null);
    let said = place.refused(1);
    assert!(said.contains("its store lost data") && said.contains("sinks reset search"), "{said}");
    assert_eq!(place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));
}

#[test]
fn a_missing_index_a_foreign_one_and_one_of_another_shape_are_refused_with_what_helps() {
    let index = shared_index();
    let (place, _) = archived(&index, "");
    let said = place.refused(1);
    assert!(said.contains("there is no such index") && said.contains("create: true"), "{said}");

    index.ask("PUT", "", &json!({ "mappings": { "properties": { "source_annotations": { "type": "object" } } } }));
    let said = place.refused(1);
    assert!(
        said.contains("\"source_annotations\" of its mapping is of type \"object\", and \"nested\" is needed"),
        "{said}"
    );
    index.ask("DELETE", "", &Value::Null);

    index.ask("PUT", "/_doc/1?refresh=true", &json!({ "theirs": 1 }));
    let (place, _) = archived(&index, ", create: true");
    let said = place.refused(1);
    assert!(said.contains("1 documents that flowstone has not written"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let index =
        Index { url: format!("http://127.0.0.1:{}", flowstone_services::free_port().unwrap()), ..shared_index() };
    let (place, _) = archived(&index, ", create: true");
    let said = place.refused(1);
    assert!(said.contains("could not reach elasticsearch sink \"search\"") && said.contains(&index.url), "{said}");
}

#[test]
fn a_document_that_the_server_refuses_is_a_dead_letter_and_the_others_are_written() {
    let index = shared_index();
    let (place, mut lines) = archived(&index, ", create: true");
    place.backfill();
    // An object where the mapping has a text: of the moments that it is in there is none, rather than an old one.
    let poison = kitchen().replace("\"kitchen\",\"assoc", "{\"no\":\"text\"},\"assoc").replace("\"a7\"", "\"p9\"");
    assert!(poison.contains("{\"no\":\"text\"}"), "{poison}");
    let joey = joey().replace("\"a7\"", "\"p9\"");
    let fine = annotation("fine", "p9", "SCENE_SEARCH", 6 * SECOND, 7 * SECOND).replace("\"p9\"", "\"q1\"");
    let more = vec![joey, poison, fine, annotation("also", "q1", "CHARACTER_SEARCH", 6 * SECOND, 7 * SECOND)];
    lines.extend(more.clone());
    place.write("in/b.ndjson", text(more));
    place.backfill();
    let mut content = expected(&lines);
    let refused: Vec<String> = content.keys().filter(|key| key.contains("p9")).cloned().collect();
    content.retain(|key, _| !key.contains("p9"));
    assert_eq!(index.documents(), content);
    let letters = std::fs::read_to_string(place.path("state/dead-letters.search.ndjson")).unwrap();
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut keys: Vec<&str> = letters.iter().map(|letter| letter["origin"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!((keys.len(), keys), (4, refused.iter().map(String::as_str).collect()));
    assert!(letters[0]["reason"].as_str().unwrap().contains("label"), "{}", letters[0]);
}

#[test]
fn a_read_only_index_is_waited_for() {
    let index = shared_index();
    let place = Place::with(&following("", &index.sink(", create: true")));
    let mut lines = round("a7", 0);
    place.write("in/live.ndjson", text(&lines));
    let mut run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || index.documents_if_any() == expected(&lines));
    // As the server does it itself when a disk is nearly full.
    index.ask("PUT", "/_settings", &json!({ "index.blocks.read_only_allow_delete": true }));
    lines.extend(round("b8", 1));
    place.append("in/live.ndjson", text(round("b8", 1)));
    run.wait_for("does not take what is written");
    assert!(run.is_running());
    index.ask("PUT", "/_settings", &json!({ "index.blocks.read_only_allow_delete": null }));
    at_last("the update", || index.documents() == expected(&lines));
    run.signal("TERM");
    assert_eq!(run.wait().code, Some(0));
}

#[test]
fn a_server_that_is_killed_under_load_costs_time_and_nothing_else() {
    let mut server = Elasticsearch::start(&ElasticsearchOptions::default()).unwrap();
    let index = Index::new(&server.url());
    let place = Place::with(&following("", &index.sink(", create: true")));
    let mut lines = round("a0", 0);
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || index.documents_if_any() == expected(&lines));
    for n in 0..60 {
        let update = round(&format!("a{}", n % 5), n / 5 + 1);
        place.append("in/live.ndjson", text(&update));
        lines.extend(update);
        match n {
            20 => server.kill(),
            40 => server.restart().unwrap(),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    at_last("everything", || index.documents_if_any() == expected(&lines));
    run.signal("TERM");
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    place.backfill();
    assert_eq!(index.documents(), expected(&lines));
}

#[test]
fn an_index_that_is_deleted_while_it_is_written_ends_the_run() {
    let index = shared_index();
    let place = Place::with(&following("", &index.sink(", create: true")));
    let lines = round("a7", 0);
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || index.documents_if_any() == expected(&lines));
    index.ask("DELETE", "", &Value::Null);
    // The next proof of ownership is due.
    std::thread::sleep(Duration::from_secs(6));
    place.append("in/live.ndjson", text(round("b8", 1)));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("it is gone"), "{}", ran.stderr);
    assert_eq!(index.call("GET", &format!("/{}", index.name), &Value::Null).0, 404, "nothing is made in its place");
}

#[test]
fn with_tombstones_nothing_older_comes_back_after_the_server_has_forgotten_and_restarted() {
    let mut server = Elasticsearch::start(&ElasticsearchOptions::default()).unwrap();
    let index = Index::new(&server.url());
    let live = format!("{}-live", index.name);
    let settings = format!(", create: true, deletes: tombstone, gc_deletes: 1s, alias: {live}");
    let (place, mut lines) = archived(&index, &settings);
    place.backfill();
    let old = index.versions();
    lines.push(super::archive::deletion("a7-joey"));
    lines.push(super::archive::deletion("b8-joey"));
    place.write("in/b.ndjson", text(&lines[lines.len() - 2..]));
    place.backfill();
    let gone: Vec<&String> = old.keys().filter(|key| !expected(&lines).contains_key(*key)).collect();
    assert!(!gone.is_empty());
    std::thread::sleep(Duration::from_millis(1_500));
    server.kill();
    server.restart().unwrap();
    // A write of the first run that comes only now.
    let (version, document) = &old[gone[0]];
    let encoded: String = gone[0].bytes().map(|byte| format!("%{byte:02x}")).collect();
    let late = format!("/{}/_doc/{encoded}?version={version}&version_type=external_gte", index.name);
    assert_eq!(index.call("PUT", &late, document).0, 409);
    let live = Index { name: live, ..index };
    assert_eq!(live.documents(), expected(&lines), "the alias hides tombstones");
}

#[test]
fn rows_of_a_table_are_documents_as_they_came() {
    let index = shared_index();
    let sink = index.sink(", create: true").replace("from: moments", "from: annotations");
    let source = "file: { paths: [\"in/*.ndjson\"] }, key: /annotation_id, delete: /deleted";
    let place = Place::with(&from_source(source, "", &sink));
    place.write(
        "in/a.ndjson",
        text([joey(), kitchen(), annotation("gone", "a7", "X", 0, 1), super::archive::deletion("gone")]),
    );
    place.backfill();
    let expected = [("[\"Joey\"]".to_owned(), joey()), ("[\"kitchen\"]".to_owned(), kitchen())].into();
    assert_eq!(index.documents(), expected);
}
