//! Histories of a counter whose values are in a table: each is exact in the end, whatever was killed, and whatever was written twice.
//!
//! `COUNTER_HISTORIES` and `COUNTER_EVENTS` make them more, and longer.

use std::collections::BTreeMap;

use flowstone_services::shared;
use scylla::value::CqlValue;
use serde_json::Value;

use super::counter::History;
use super::failpoints;
use super::table::Keyspace;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn each_value_of_a_counter_is_exact_whatever_was_killed() {
    let failpoints = failpoints::names();
    for seed in 0..number("COUNTER_HISTORIES", 2) {
        let dir = tempfile::tempdir().unwrap();
        let keyspace = Keyspace::new(shared::cassandra());
        let Keyspace { node, name } = &keyspace;
        let sink = format!("cassandra: {{ nodes: \"{node}\", keyspace: {name}, table: counts, create: true }}");
        let contents = || -> BTreeMap<String, String> {
            let documents = keyspace.rows(&format!("SELECT document FROM {name}.counts")).into_iter();
            let row = |row: Vec<Option<CqlValue>>| {
                let document = row[0].as_ref().and_then(CqlValue::as_text).unwrap().clone();
                let key = serde_json::from_str::<Value>(&document).unwrap()["k"].to_string();
                (format!("[{key}]"), document)
            };
            documents.map(row).collect()
        };
        let events = number("COUNTER_EVENTS", 5_000);
        History { seed, events, dir: dir.path(), sink: &sink, windows: None, failpoints: &failpoints }.run(contents);
    }
}
