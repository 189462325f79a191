//! The index: its settings and mapping when it is made, and whether one that exists fits.

use serde_json::{Map, Value, json};

use crate::pipeline::layout::{Layout, MomentLayout};
use crate::pipeline::remote::{Deletes, ElasticsearchSink, Metric, VectorField};
use crate::record::{CHILDREN, FieldPath, Segment};

/// The field of a child that holds its type.
pub(crate) const KIND: &str = "annotation_type";

/// Longer texts are not exact terms: the server could not index them at all.
const MAX_TERM: u32 = 8_000;

/// What a made index is like.
pub(super) fn index_body(spec: &ElasticsearchSink, layout: &Layout) -> Value {
    let mut settings = json!({ "gc_deletes": format!("{}ms", spec.gc_deletes.duration().as_millis()) });
    let given = [("number_of_shards", spec.shards), ("number_of_replicas", spec.replicas)];
    for (name, number) in given.into_iter().filter_map(|(name, number)| Some((name, number?))) {
        settings[name] = json!(number);
    }
    if let Some(refresh) = spec.refresh {
        settings["refresh_interval"] = json!(format!("{}ms", refresh.duration().as_millis()));
    }
    json!({ "settings": { "index": settings }, "mappings": mapping(spec, layout) })
}

/// Of moments every field that is searched is named, and no other one is indexed: what annotations carry can neither make
/// the mapping grow nor be refused. Of other rows nothing is known, so the server decides.
pub(super) fn mapping(spec: &ElasticsearchSink, layout: &Layout) -> Value {
    let Layout::Moments(moments) = layout else {
        return json!({ "dynamic": true, "properties": tombstones(Map::new()) });
    };
    let mut children = Map::new();
    for key in &moments.key {
        insert(&mut children, key, exact());
    }
    insert(&mut children, &moments.start, long());
    insert(&mut children, &moments.end, long());
    for text in &spec.text {
        insert(&mut children, text, json!({ "type": "text" }));
    }
    insert(&mut children, &spec.label, json!({ "type": "text", "fields": { "exact": exact() } }));
    insert(&mut children, &spec.confidence, json!({ "type": "double", "ignore_malformed": true }));
    if let Some(vector) = &spec.vector {
        insert(&mut children, &vector.path, dense(vector));
    }
    children.insert(KIND.to_owned(), exact());

    let mut properties = Map::new();
    insert(&mut properties, &moments.asset, exact());
    for bound in ["time_bucket_start_ns", "time_bucket_end_ns"] {
        properties.insert(bound.to_owned(), long());
    }
    properties.insert(CHILDREN.to_owned(), json!({ "type": "nested", "dynamic": false, "properties": children }));
    json!({ "dynamic": false, "properties": tombstones(properties) })
}

fn tombstones(mut properties: Map<String, Value>) -> Map<String, Value> {
    properties.insert("_deleted".to_owned(), json!({ "type": "boolean" }));
    properties.insert("_deleted_at".to_owned(), long());
    properties
}

fn exact() -> Value {
    json!({ "type": "keyword", "ignore_above": MAX_TERM })
}

/// Vectors, and an index of them only if one is asked for: it is what makes them expensive.
fn dense(vector: &VectorField) -> Value {
    let mut field = json!({ "type": "dense_vector", "dims": vector.dims, "index": vector.approximate });
    if vector.approximate {
        field["similarity"] = json!(match vector.metric {
            Metric::Cosine => "cosine",
            Metric::Euclidean => "l2_norm",
        });
        field["index_options"] = json!({ "type": "hnsw" });
    }
    field
}

fn long() -> Value {
    json!({ "type": "long" })
}

/// Puts a field where the path leads. Lists need no step of their own.
fn insert(properties: &mut Map<String, Value>, path: &FieldPath, field: Value) {
    let names: Vec<&str> = names(path).collect();
    let (last, parents) = names.split_last().expect("paths name something");
    let mut here = properties;
    for parent in parents {
        let object = here.entry(*parent).or_insert_with(|| json!({}));
        if !object["properties"].is_object() {
            object["properties"] = json!({});
        }
        here = object["properties"].as_object_mut().expect("made above");
    }
    here.insert((*last).to_owned(), field);
}

fn names(path: &FieldPath) -> impl Iterator<Item = &str> {
    path.segments().iter().filter_map(|segment| match segment {
        Segment::Name(name) => Some(name.as_str()),
        Segment::Each => None,
    })
}

/// A path as the server writes it: `time_range.start_time_ns`.
#[cfg_attr(not(feature = "tantivy"), allow(dead_code, reason = "searches need it"))]
pub(crate) fn dotted(path: &FieldPath) -> String {
    names(path).collect::<Vec<_>>().join(".")
}

/// How a mapping differs from the one that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A field is not there. It may be added.
    Missing(String),
    /// A field has another type. That can not be changed.
    Type { field: String, expected: String, found: String },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::Missing(field) => write!(f, "its mapping has no field {field:?}"),
            Difference::Type { field, expected, found } => {
                write!(f, "the field {field:?} of its mapping is of type {found:?}, and {expected:?} is needed")
            }
        }
    }
}

/// All differences; fields that are there and not needed are none.
pub(super) fn differences(expected: &Value, found: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    compare(expected, found, "", &mut differences);
    differences
}

fn compare(expected: &Value, found: &Value, path: &str, differences: &mut Vec<Difference>) {
    let Some(properties) = expected["properties"].as_object() else { return };
    for (name, field) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let there = &found["properties"][name];
        if there.is_null() {
            differences.push(Difference::Missing(path));
            continue;
        }
        let kind = |field: &Value| match field["type"].as_str() {
            Some("dense_vector") => {
                let similarity = field["similarity"].as_str().map(|by| format!(" by {by}")).unwrap_or_default();
                format!("dense_vector of {}{similarity}", field["dims"])
            }
            kind => kind.unwrap_or("object").to_owned(),
        };
        if kind(field) != kind(there) {
            let (expected, found) = (kind(field), kind(there));
            differences.push(Difference::Type { field: path, expected, found });
            continue;
        }
        compare(field, there, &path, differences);
    }
}

/// What a search must know of the documents, kept with the index.
pub(super) fn described(spec: &ElasticsearchSink, layout: &Layout) -> Value {
    let Layout::Moments(MomentLayout { asset, key, start, end, includes_end }) = layout else { return Value::Null };
    json!({
        "asset": asset, "key": key, "start": start, "end": end, "includes_end": includes_end,
        "label": spec.label, "text": spec.text, "confidence": spec.confidence, "vector": spec.vector,
    })
}

/// What the alias for readers hides.
pub(super) fn alias_filter(spec: &ElasticsearchSink) -> Option<Value> {
    let hides = spec.deletes == Deletes::Tombstone;
    hides.then(|| json!({ "bool": { "must_not": { "term": { "_deleted": true } } } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ElasticsearchSink {
        serde_json::from_str(r#"{"url":"http://x","index":"moments","label":"/about/label","shards":2,"refresh":"5s"}"#)
            .unwrap()
    }

    fn layout() -> Layout {
        let path = FieldPath::literal;
        let (start, end) = (path("/time_range/start_time_ns"), path("/time_range/end_time_ns"));
        let (asset, key) = (path("/associated_ids/ASSET_ID"), vec![path("/annotation_id")]);
        Layout::Moments(MomentLayout { asset, key, start, end, includes_end: false })
    }

    #[test]
    fn a_made_index_has_nested_children_and_remembers_deletions() {
        let body = index_body(&spec(), &layout());
        let settings = &body["settings"]["index"];
        assert_eq!((&settings["gc_deletes"], &settings["number_of_shards"]), (&json!("3600000ms"), &json!(2)));
        assert_eq!(settings["refresh_interval"], "5000ms");
        let children = &body["mappings"]["properties"]["source_annotations"];
        assert_eq!((&children["type"], &children["dynamic"]), (&json!("nested"), &json!(false)));
        let of = |path: &str| children["properties"].pointer(path).unwrap().clone();
        assert_eq!(of("/about/properties/label/fields/exact/type"), "keyword");
        assert_eq!(of("/time_range/properties/start_time_ns/type"), "long");
        assert_eq!(of("/annotation_type/type"), "keyword");
        assert_eq!(dotted(&spec().label), "about.label");
    }

    #[test]
    fn vectors_are_indexed_only_if_that_is_asked_for() {
        let vector = |more: &str| {
            let vector = serde_json::from_str(&format!("{{\"dims\":512{more}}}")).unwrap();
            let spec = ElasticsearchSink { vector: Some(vector), ..spec() };
            mapping(&spec, &layout())["properties"]["source_annotations"]["properties"]["embedding_vector"].clone()
        };
        assert_eq!(vector(""), json!({ "type": "dense_vector", "dims": 512, "index": false }));
        let indexed = vector(",\"metric\":\"euclidean\",\"approximate\":true");
        assert_eq!((&indexed["index"], &indexed["similarity"]), (&json!(true), &json!("l2_norm")));
        let (expected, found) =
            (json!({ "properties": { "v": indexed } }), json!({ "properties": { "v": vector("") } }));
        let said = differences(&expected, &found)[0].to_string();
        assert!(said.contains("\"dense_vector of 512\", and \"dense_vector of 512 by l2_norm\" is needed"), "{said}");
    }

    #[test]
    fn what_differs_is_named_and_what_is_more_is_fine() {
        let expected = mapping(&spec(), &layout());
        let mut found = expected.clone();
        found["properties"]["more"] = json!({ "type": "geo_point" });
        assert_eq!(differences(&expected, &found), []);
        found["properties"]["source_annotations"]["type"] = Value::Null;
        let difference = &differences(&expected, &found)[0];
        let text = "the field \"source_annotations\" of its mapping is of type \"object\", and \"nested\" is needed";
        assert_eq!(difference.to_string(), text);
        found["properties"]["source_annotations"] = expected["properties"]["source_annotations"].clone();
        found["properties"]["source_annotations"]["properties"]["about"]["properties"] = json!({});
        let missing = Difference::Missing("source_annotations.about.label".to_owned());
        assert_eq!(differences(&expected, &found), [missing]);
    }
}
