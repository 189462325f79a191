//! What a pipeline's nodes are, for the journal: a changed one is noticed at the next start (law L8).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::pipeline::Pipeline;
use crate::pipeline::compile::{Collection, Plan};
use crate::pipeline::model::{AsOf, OperationFields, OperationsSpec, OperatorSpec, RetentionSpec, SinkSpec};

/// Raised when a table folds the same records to other rows than before.
const TABLE_SEMANTICS: u32 = 1;

/// Raised when `fuse` makes other documents of the same rows than before.
const FUSE_SEMANTICS: u32 = 1;

/// Raised when `aggregate` makes other documents of the same rows than before.
const AGGREGATE_SEMANTICS: u32 = 1;

/// Raised when the table of an `aggregate` of events makes other groups of the same events than before.
const ACCUMULATE_SEMANTICS: u32 = 1;

/// Raised when `distinct` makes other documents of the same rows than before.
const DISTINCT_SEMANTICS: u32 = 1;

/// Raised when `filter`, `map` or an expression makes other rows of the same rows than before.
const EXPRESSION_SEMANTICS: u32 = 1;

/// Raised when `join` makes other documents of the same rows than before.
const JOIN_SEMANTICS: u32 = 1;

/// Raised when a `join` as of a row's arrival finds other documents for the same rows than before.
const LOOKUP_SEMANTICS: u32 = 1;

/// The settings of each node that its results depend on, as JSON text: `table NAME`, `sink NAME`, or the kind of
/// an operator and its name.
pub(super) fn nodes(pipeline: &Pipeline) -> BTreeMap<String, String> {
    let mut nodes = BTreeMap::new();
    for (name, source) in &pipeline.sources {
        let mut settings = json!({ "key": source.key, "version": source.version, "delete": source.delete });
        add_time(&mut settings, source.retention.as_ref());
        add_operations(&mut settings, source.operation.as_ref(), source.operations.as_ref());
        nodes.insert(format!("table {name}"), text(settings, TABLE_SEMANTICS));
    }
    for (name, operator) in &pipeline.operators {
        if let Some(upsert) = &operator.upsert {
            let mut settings = without(upsert, &["tombstones", "retention", "operation", "operations"]);
            add_time(&mut settings, upsert.retention.as_ref());
            add_operations(&mut settings, upsert.operation.as_ref(), upsert.operations.as_ref());
            nodes.insert(format!("table {name}"), text(settings, TABLE_SEMANTICS));
        }
        if let Some(fuse) = &operator.fuse {
            nodes.insert(format!("fuse {name}"), text(without(fuse, &[]), FUSE_SEMANTICS));
        }
        if let Some(aggregate) = &operator.aggregate {
            let is_table = pipeline.sources.get(&aggregate.from).is_some_and(|source| source.key.is_none());
            let (kind, semantics) =
                if is_table { ("table", ACCUMULATE_SEMANTICS) } else { ("aggregate", AGGREGATE_SEMANTICS) };
            let mut settings = without(aggregate, &[]);
            // Only decides how long a partition is waited for.
            settings.get_mut("window").and_then(Value::as_object_mut).map(|window| window.remove("idle"));
            settings.get_mut("id").and_then(Value::as_object_mut).map(|id| id.remove("keep"));
            nodes.insert(format!("{kind} {name}"), text(settings, semantics));
        }
        if let Some(distinct) = &operator.distinct {
            nodes.insert(format!("distinct {name}"), text(without(distinct, &[]), DISTINCT_SEMANTICS));
        }
        if let Some(filter) = &operator.filter {
            nodes.insert(format!("filter {name}"), text(without(filter, &[]), EXPRESSION_SEMANTICS));
        }
        if let Some(map) = &operator.map {
            nodes.insert(format!("map {name}"), text(without(map, &[]), EXPRESSION_SEMANTICS));
        }
        if let Some(join) = &operator.join {
            let (kind, semantics) = match join.as_of {
                AsOf::Arrival => ("table", LOOKUP_SEMANTICS),
                AsOf::Now => ("join", JOIN_SEMANTICS),
            };
            nodes.insert(format!("{kind} {name}"), text(without(join, &[]), semantics));
        }
    }
    add_left_sides(pipeline, &mut nodes);
    for (name, sink) in &pipeline.sinks {
        nodes.insert(format!("sink {name}"), sink_settings(sink).to_string());
    }
    nodes
}

/// What a row has found is not looked up again when another row would come of the same record: so a `join` as of a row's arrival
/// is another one if anything is that makes the rows of its left side.
fn add_left_sides(pipeline: &Pipeline, nodes: &mut BTreeMap<String, String>) {
    let own = nodes.clone();
    for (name, operator) in &pipeline.operators {
        let Some(join) = operator.join.as_ref().filter(|join| join.as_of == AsOf::Arrival) else { continue };
        let settings = nodes.get_mut(&format!("table {name}")).expect("it is a table");
        let mut all: Value = serde_json::from_str(settings).expect("it was written here");
        let mut from = Some(&join.from);
        while let Some(read) = from {
            let operator = pipeline.operators.get(read);
            let kind = match operator {
                Some(OperatorSpec { filter: Some(_), .. }) => "filter",
                Some(OperatorSpec { map: Some(_), .. }) => "map",
                _ => "table",
            };
            let left = format!("{kind} {read}");
            if let Some(settings) = own.get(&left) {
                all[format!("left {left}")] = serde_json::from_str(settings).expect("it was written here");
            }
            from = operator.and_then(|operator| match operator {
                OperatorSpec { filter: Some(filter), .. } => Some(&filter.from),
                OperatorSpec { map: Some(map), .. } => Some(&map.from),
                OperatorSpec { join: Some(join), .. } => Some(&join.from),
                _ => None,
            });
        }
        *settings = all.to_string();
    }
}

/// The time is kept with each row; how long rows stay is not, and may be changed. A table without retention is what it was
/// before there was any.
fn add_time(settings: &mut Value, retention: Option<&RetentionSpec>) {
    if let Some(retention) = retention {
        settings["time"] = json!(retention.time);
    }
}

/// All fields, whether they are given or not. A table without operations is what it was before there were any.
fn add_operations(settings: &mut Value, fields: Option<&OperationFields>, operations: Option<&OperationsSpec>) {
    if let (Some(fields), Some(operations)) = (fields, operations) {
        settings["operation"] = json!(fields);
        settings["operations"] = json!(operations.fields(fields));
    }
}

/// What a sink writes; where it writes is known by the store's identity.
fn sink_settings(sink: &SinkSpec) -> Value {
    let mut settings = Map::from_iter([("from".to_owned(), json!(sink.from))]);
    if let Some(sqlite) = &sink.sqlite {
        settings.insert("sqlite".to_owned(), without(sqlite, &["path"]));
    }
    if let Some(tantivy) = &sink.tantivy {
        settings.insert("tantivy".to_owned(), without(tantivy, &["path", "commit"]));
    }
    if let Some(elasticsearch) = &sink.elasticsearch {
        settings.insert("elasticsearch".to_owned(), only(elasticsearch, &["deletes"]));
    }
    if let Some(cassandra) = &sink.cassandra {
        settings.insert("cassandra".to_owned(), only(cassandra, &["partition", "clustering", "columns", "ttl"]));
    }
    if let Some(kafka) = &sink.kafka {
        settings.insert("kafka".to_owned(), without(kafka, &["brokers", "topic", "transactional_id", "options"]));
    }
    let kind = |name: &str, is_there: bool| is_there.then(|| (name.to_owned(), json!({})));
    settings.extend(kind("file", sink.file.is_some()).into_iter().chain(kind("discard", sink.discard.is_some())));
    Value::Object(settings)
}

fn without(spec: &impl Serialize, left_out: &[&str]) -> Value {
    let mut value = serde_json::to_value(spec).expect("settings are plain data");
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, value| !left_out.contains(&name.as_str()) && !value.is_null());
    }
    value
}

/// Of a server's settings only what decides about content: the rest may be changed.
fn only(spec: &impl Serialize, kept: &[&str]) -> Value {
    let mut value = without(spec, &[]);
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| kept.contains(&name.as_str()));
    }
    value
}

fn text(mut settings: Value, semantics: u32) -> String {
    settings["semantics"] = json!(semantics);
    settings.to_string()
}

/// A node that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedNode {
    /// `table NAME`, `sink NAME`, or the kind of an operator and its name.
    pub node: String,
    /// What differs, for people: `bucket: "1s", was "2s"`.
    pub differences: Vec<String>,
}

impl ChangedNode {
    /// Its name, if its results are kept in the journal, so that it must be built anew.
    pub fn table(&self) -> Option<&str> {
        self.node.strip_prefix("table ")
    }
}

/// The nodes that are in both and differ: in settings, or in what they are.
pub(super) fn changed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<ChangedNode> {
    let differences = |node: &str, now: &str| match before.get(node) {
        Some(before) if before == now => None,
        Some(before) => Some(differences(before, now)),
        None => {
            let (kind, name) = node.split_once(' ').filter(|(kind, _)| *kind != "sink")?;
            let others = before.keys().filter_map(|other| other.split_once(' '));
            let (was, _) = others.filter(|(kind, _)| *kind != "sink").find(|(_, other)| *other == name)?;
            Some(vec![format!("it is a {kind}, and was a {was}")])
        }
    };
    let changed = |(node, now): (&String, &String)| {
        Some(ChangedNode { node: node.clone(), differences: differences(node, now)? })
    };
    now.iter().filter_map(changed).collect()
}

fn differences(before: &str, now: &str) -> Vec<String> {
    let fields = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap_or_default();
    let (before, now) = (fields(before), fields(now));
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| format!("{name}: {}, was {}", shown(now.get(name)), shown(before.get(name))))
        .collect()
}

/// The sinks that hold something else than they should if `node` is not what it was.
pub(super) fn sinks_below(plan: &Plan, node: &str) -> Vec<usize> {
    let reads = |from: Collection| is_below(plan, from, node);
    let is_itself = |name: &str| node.strip_prefix("sink ") == Some(name);
    let sinks = plan.sinks.iter().enumerate();
    sinks.filter(|(_, sink)| reads(sink.from) || is_itself(&sink.name)).map(|(at, _)| at).collect()
}

fn is_below(plan: &Plan, collection: Collection, node: &str) -> bool {
    match collection {
        Collection::Table(at) => node.strip_prefix("table ") == Some(&plan.tables[at].name),
        Collection::Moments(at) | Collection::Rejected(at) => {
            let fuse = &plan.fuses[at];
            node.strip_prefix("fuse ") == Some(&fuse.name) || is_below(plan, Collection::Table(fuse.table), node)
        }
        Collection::Groups(at) | Collection::Unusable(at) => {
            let aggregate = &plan.aggregates[at];
            let is_it = |kind: &str| node.strip_prefix(kind) == Some(&aggregate.name);
            let is_named =
                if aggregate.is_table() { is_it("table ") } else { is_it("aggregate ") || is_it("distinct ") };
            is_named || is_below(plan, aggregate.from, node)
        }
        Collection::Reshaped(at) | Collection::Unshaped(at) => {
            let of = &plan.nodes[at];
            let is_it = node.split_once(' ') == Some((of.kind_name(), &of.name));
            // What was found stays; that of a left side which is another one is built anew.
            if of.is_table() && matches!(collection, Collection::Reshaped(_)) {
                return is_it;
            }
            is_it || of.reads().any(|from| is_below(plan, from, node))
        }
        Collection::Events(_) | Collection::DeadLetters => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_retention(retention: &str) -> BTreeMap<String, String> {
        let text = format!(
            "name: a\nsources:\n  t: {{ memory: {{}}, key: /id{retention} }}\n  s: {{ memory: {{}} }}\noperators:\n  \
             u: {{ upsert: {{ from: s, key: /id{retention} }} }}\nsinks:\n  out: {{ from: t, discard: {{}} }}\n"
        );
        nodes(&crate::pipeline::parse(&text, std::path::Path::new("/"), &|_| None).unwrap().pipeline)
    }

    #[test]
    fn how_long_rows_stay_may_be_changed_and_by_which_time_may_not() {
        let before = with_retention(", retention: { time: /at, keep: 1d }");
        assert_eq!(before["table t"], r#"{"key":"/id","version":null,"delete":null,"time":"/at","semantics":1}"#);
        assert_eq!(changed(&before, &with_retention(", retention: { time: /at, keep: 2d }")), []);
        let changed = |now: &str| -> Vec<_> {
            let changed = changed(&before, &with_retention(now)).into_iter();
            changed.flat_map(|node| [vec![node.node], node.differences].concat()).collect()
        };
        let other = r#"time: "/of", was "/at""#;
        assert_eq!(changed(", retention: { time: /of, keep: 1d }"), ["table t", other, "table u", other]);
        assert_eq!(changed("")[1], r#"time: nothing, was "/at""#);
        assert_eq!(
            with_retention("")["table t"],
            r#"{"key":"/id","version":null,"delete":null,"semantics":1}"#,
            "as before"
        );
    }

    #[test]
    fn operations_are_the_same_however_they_are_written_down() {
        let with = |operations: &str| {
            let text = format!(
                "name: a\nsources:\n  t: {{ memory: {{}}, key: /id, operation: {{ type: /t, pivot: /p, number: /n }}, \
                 operations: {operations} }}\n  s: {{ memory: {{}} }}\nsinks:\n  out: {{ from: t, discard: {{}} }}\n"
            );
            nodes(&crate::pipeline::parse(&text, std::path::Path::new("/"), &|_| None).unwrap().pipeline)
        };
        let before = with("s");
        assert_eq!(
            before["table t"],
            concat!(
                r#"{"key":"/id","version":null,"delete":null,"operation":{"type":"/t","pivot":"/p","number":"/n"},"#,
                r#""operations":{"from":"s","type":"/t","pivot":"/p","number":"/n","status":"/status","#,
                r#""annotations":"/annotations"},"semantics":1}"#
            )
        );
        assert_eq!(changed(&before, &with("{ from: s, pivot: /p, status: /status }")), []);
        assert_eq!(changed(&before, &with("{ from: s, pivot: /q }"))[0].node, "table t");
    }

    #[test]
    fn a_changed_setting_is_named() {
        let node = |bucket: &str| BTreeMap::from([("fuse moments".to_owned(), format!(r#"{{"bucket":"{bucket}"}}"#))]);
        let changed = changed(&node("1s"), &node("2s"));
        assert_eq!(changed[0].node, "fuse moments");
        assert_eq!(changed[0].differences, [r#"bucket: "2s", was "1s""#]);
        assert!(super::changed(&node("1s"), &node("1s")).is_empty());
        assert!(super::changed(&BTreeMap::new(), &node("1s")).is_empty(), "what is added is free");
        let filter = BTreeMap::from([("filter moments".to_owned(), "{}".to_owned())]);
        assert_eq!(super::changed(&filter, &node("1s"))[0].differences, ["it is a fuse, and was a filter"]);
        let sink = BTreeMap::from([("sink moments".to_owned(), "{}".to_owned())]);
        assert!(super::changed(&sink, &node("1s")).is_empty(), "sinks have names of their own");
    }
}
