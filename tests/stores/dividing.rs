//! One sink, several indexes: together they hold what the moments are, and none of them can go unnoticed.

use std::collections::BTreeSet;

use flowstone_services::shared;
use serde_json::{Value, json};

use super::archive::{annotation, following, pipeline, text};
use super::index::Index;
use super::support::{Place, SECOND};
use super::{at_last, expected, unique};

const HOUR: i64 = 3_600 * SECOND;

/// Indexes of one sink, and how they are divided.
struct Divided {
    /// All of them, as one.
    all: Index,
    prefix: String,
}

impl Divided {
    fn new() -> Self {
        let prefix = unique("divided");
        Divided { all: Index { url: shared::elasticsearch().to_owned(), name: format!("{prefix}-*") }, prefix }
    }

    fn sink(&self, bucket: &str) -> String {
        let Divided { all, prefix } = self;
        format!(
            "  search: {{ from: moments, elasticsearch: {{ url: \"{}\", index: \"{prefix}-{bucket}\", create: true, alias: {prefix} }} }}\n",
            all.url
        )
    }

    fn archived(&self, bucket: &str) -> (Place, Vec<String>) {
        let place = Place::with(&pipeline("", &self.sink(bucket)));
        let lines = lines(0..6);
        place.write("in/a.ndjson", text(&lines));
        (place, lines)
    }

    /// What the indexes are called, without what all are called.
    fn names(&self) -> BTreeSet<String> {
        let found = self.all.ask("GET", "?filter_path=*.settings.index.uuid", &Value::Null);
        let names = found.as_object().unwrap().keys().map(|name| name[self.prefix.len() + 1..].to_owned());
        names.filter(|name| name != "meta").collect()
    }

    fn one(&self, name: &str) -> Index {
        Index { url: self.all.url.clone(), name: format!("{}-{name}", self.prefix) }
    }

    /// Each document is in one index only, and all are found by the alias.
    fn is_whole(&self, lines: &[String]) {
        let expected = expected(lines);
        assert_eq!(self.all.documents(), expected);
        for name in [&self.all.name, &self.prefix] {
            let count = self.all.call("GET", &format!("/{name}/_count"), &Value::Null).1;
            assert_eq!(count["count"].as_u64().unwrap(), expected.len() as u64, "{name}");
        }
    }
}

/// Two annotations of some seconds in each of these hours.
fn lines(hours: std::ops::Range<i64>) -> Vec<String> {
    let hour = |n: i64| {
        let at = n * HOUR;
        [
            annotation(&format!("joey{n}"), "a7", "CHARACTER_SEARCH", at, at + 5 * SECOND),
            annotation(&format!("kitchen{n}"), "a7", "SCENE_SEARCH", at + 2 * SECOND, at + 9 * SECOND),
        ]
    };
    hours.flat_map(hour).collect()
}

#[test]
fn indexes_by_hash_and_by_time_hold_the_moments_together() {
    let hours = ["1970-01-01-00", "1970-01-01-01", "1970-01-01-02", "1970-01-01-03", "1970-01-01-04", "1970-01-01-05"];
    for (bucket, names) in [("{hash:3}", &["0", "1", "2"][..]), ("{hour}", &hours), ("{day}", &["1970-01-01"])] {
        let divided = Divided::new();
        let (place, mut lines) = divided.archived(bucket);
        place.backfill();
        divided.is_whole(&lines);
        assert_eq!(divided.names(), names.iter().map(|name| (*name).to_owned()).collect(), "{bucket}");
        let settings = divided.all.ask("GET", "/_settings", &Value::Null);
        let of_one = &settings[&divided.one(names[0]).name]["settings"]["index"];
        assert_eq!((&of_one["gc_deletes"], of_one.get("refresh_interval")), (&json!("3600000ms"), None), "restored");

        // Later runs know them, add to them, and delete from them.
        let more = [self::lines(30..31), vec![super::archive::deletion("joey3")]].concat();
        lines.extend(more.clone());
        place.write("in/b.ndjson", text(&more));
        place.backfill();
        divided.is_whole(&lines);
        assert_eq!(divided.names().contains("1970-01-02-06"), bucket == "{hour}");
    }
}

#[test]
fn all_indexes_are_swept() {
    let divided = Divided::new();
    let (place, mut lines) = divided.archived("{hour}");
    place.backfill();
    divided.one("1970-01-01-01").ask("PUT", "/_doc/foreign", &json!({ "mine": 1 }));
    std::fs::remove_dir_all(place.path("state")).unwrap();
    lines.truncate(6);
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    divided.is_whole(&lines);
    assert_eq!(divided.names().len(), 6, "those that are empty now stay");
}

#[test]
fn an_index_that_is_gone_or_was_made_anew_is_refused_until_all_are_filled_again() {
    for anew in [false, true] {
        let divided = Divided::new();
        let (place, lines) = divided.archived("{hour}");
        place.backfill();
        let victim = divided.one("1970-01-01-02");
        victim.ask("DELETE", "", &Value::Null);
        if anew {
            victim.ask("PUT", "", &Value::Null);
            let said = place.refused(1);
            assert!(said.contains("1970-01-01-02\" is called like its own") && said.contains("delete it"), "{said}");
            victim.ask("DELETE", "", &Value::Null);
        }
        let said = place.refused(1);
        assert!(said.contains("has lost indexes") && said.contains(&victim.name), "{said}");
        assert!(said.contains("sinks reset search"), "{said}");
        let said = place.refused(1);
        assert!(said.contains("sinks reset search"), "it stays so: {said}");
        assert_eq!(place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
        place.backfill();
        divided.is_whole(&lines);
        assert_eq!(place.backfill()["outcome"], "complete");
    }
}

#[test]
fn another_division_is_refused_until_all_are_filled_again() {
    let divided = Divided::new();
    let (place, lines) = divided.archived("{hash:4}");
    place.backfill();
    place.write("pipeline.yaml", pipeline("", &divided.sink("{hour}")));
    let said = place.refused(1);
    assert!(said.contains("was divided by {hash:4}, and is to be by {hour}"), "{said}");
    assert_eq!(place.flowstone(&["sinks", "reset", "search", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    divided.is_whole(&lines);
}

#[test]
fn an_index_of_somebody_else_is_refused_when_it_is_needed() {
    let divided = Divided::new();
    let (place, _) = divided.archived("{hour}");
    divided.one("1970-01-01-03").ask("PUT", "/_doc/1?refresh=true", &json!({ "theirs": 1 }));
    let said = place.refused(1);
    assert!(said.contains("1970-01-01-03\" is called like its own"), "{said}");
    assert!(divided.names().len() == 1, "nothing was made");
}

#[test]
fn a_later_run_fences_the_first_though_they_write_other_indexes() {
    let divided = Divided::new();
    let pipeline = following("", &divided.sink("{hour}"));
    let (first, second) = (Place::with(&pipeline), Place::with(&pipeline));
    let some = lines(0..2);
    first.write("in/live.ndjson", text(&some));
    let run = first.start(&["run", "pipeline.yaml", "--workers", "1"]);
    at_last("the fill", || divided.all.documents_if_any() == expected(&some));
    second.write("in/live.ndjson", text(&some));
    let other = second.start(&["run", "pipeline.yaml", "--workers", "1"]);
    at_last("the other one has it", || {
        let meta = divided.one("meta").ask("GET", "/_mapping", &Value::Null);
        let meta = &meta[&divided.one("meta").name]["mappings"]["_meta"]["flowstone"];
        meta["upper"].as_u64() > Some(0) && meta["members"].as_object().is_some_and(|members| members.len() == 2)
    });
    // Its last proof is too old by then.
    std::thread::sleep(std::time::Duration::from_secs(6));
    first.append("in/live.ndjson", text(lines(5..6)));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("another run has taken over"), "{}", ran.stderr);
    assert!(!divided.names().contains("1970-01-01-05"), "it makes no index any more");
    assert_eq!(divided.all.documents(), expected(&some));
    other.signal("TERM");
    other.wait();
}

#[test]
fn an_index_that_is_deleted_while_it_is_written_ends_the_run() {
    let divided = Divided::new();
    let place = Place::with(&following("", &divided.sink("{hour}")));
    let some = lines(0..2);
    place.write("in/live.ndjson", text(&some));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || divided.all.documents_if_any() == expected(&some));
    divided.one("1970-01-01-01").ask("DELETE", "", &Value::Null);
    std::thread::sleep(std::time::Duration::from_secs(6));
    place.append("in/live.ndjson", text(lines(5..6)));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    // Whichever call notices it first.
    let says_so = ["was deleted", "it is gone"].iter().any(|said| ran.stderr.contains(said));
    assert!(ran.stderr.contains("1970-01-01-01") && says_so, "{}", ran.stderr);
}
