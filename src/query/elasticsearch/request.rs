//! A question as the server takes it.

use serde_json::{Value, json};

use super::Fields;
use crate::query::{Clause, Near, Query, Text};
use crate::record::CHILDREN;
use crate::sink::elasticsearch::schema::{KIND, dotted};

/// Of a fuzzy word so many spellings are tried.
const MAX_EXPANSIONS: u32 = 1_000;

/// The server looks at so many moments for each vector, if it is not to look at all.
const CANDIDATES: usize = 2_000;

/// Finds every moment that may meet the query; of those near a vector, if approximately, the nearest.
pub(super) fn request(query: &Query, fields: &Fields) -> Value {
    let mut all = vec![
        json!({ "range": { "time_bucket_start_ns": { "lt": query.window.to_ns } } }),
        json!({ "range": { "time_bucket_end_ns": { "gt": query.window.from_ns } } }),
    ];
    if !query.assets.is_empty() {
        all.push(json!({ "terms": { dotted(&fields.asset): query.assets } }));
    }
    // In a search for vectors the server filters by nothing that is said of children.
    let of_moments = all.clone();
    all.extend(query.all.iter().map(|clause| nested(clause, query, fields)));
    if !query.any.is_empty() {
        let any: Vec<Value> = query.any.iter().map(|clause| nested(clause, query, fields)).collect();
        all.push(any_of(&any));
    }
    all.extend(query.near.iter().filter_map(|near| vector(near, query, fields, &of_moments)));
    json!({ "bool": { "filter": all, "must_not": { "term": { "_deleted": true } } } })
}

/// A child with a vector; if approximately, one of the nearest in `of_moments`.
fn vector(near: &Near, query: &Query, fields: &Fields, of_moments: &[Value]) -> Option<Value> {
    let field = format!("{CHILDREN}.{}", dotted(&fields.vector.as_ref()?.path));
    let wanted = if query.approximate {
        json!({ "knn": {
            "field": field, "query_vector": near.vector, "k": CANDIDATES, "num_candidates": CANDIDATES,
            "filter": of_moments,
        } })
    } else {
        let mut all = eligible(near.kind.as_deref(), query, fields);
        all.push(json!({ "exists": { "field": field } }));
        json!({ "bool": { "filter": all } })
    };
    Some(json!({ "nested": { "path": CHILDREN, "query": wanted } }))
}

/// What a child must be to meet any clause of this type.
fn eligible(kind: Option<&str>, query: &Query, fields: &Fields) -> Vec<Value> {
    let field = |name: &str| format!("{CHILDREN}.{name}");
    // The bounds of a range that includes its end are one apart: too many are found, and checked afterwards.
    let mut all = vec![
        json!({ "range": { field(&dotted(&fields.start)): { "lt": query.window.to_ns } } }),
        json!({ "range": { field(&dotted(&fields.end)): { "gte": query.window.from_ns } } }),
    ];
    if let Some(kind) = kind {
        all.push(json!({ "term": { field(KIND): kind } }));
    }
    if let Some(least) = query.min_confidence {
        all.push(json!({ "range": { field(&dotted(&fields.confidence)): { "gte": least } } }));
    }
    all
}

/// A clause is met by one child.
fn nested(clause: &Clause, query: &Query, fields: &Fields) -> Value {
    let field = |name: &str| format!("{CHILDREN}.{name}");
    let mut all = eligible(clause.kind.as_deref(), query, fields);
    let label = field(&dotted(&fields.label));
    let texts: Vec<String> =
        std::iter::once(label.clone()).chain(fields.text.iter().map(|path| field(&dotted(path)))).collect();
    let everywhere = |query: &dyn Fn(&str) -> Value| any_of(&texts.iter().map(|text| query(text)).collect::<Vec<_>>());
    match &clause.text {
        Text::Any => {}
        Text::Label(exact) => all.push(label_query(&label, exact)),
        Text::Phrase(words) if query.fuzzy == 0 => {
            let phrase = json!({ "query": words.join(" "), "slop": query.slop });
            all.push(everywhere(&|text| json!({ "match_phrase": { text: phrase } })));
        }
        Text::Words(words) | Text::Phrase(words) => all.extend(words.iter().map(|word| {
            let mut wanted = json!({ "query": word, "operator": "and" });
            if query.fuzzy > 0 {
                wanted["fuzziness"] = json!(query.fuzzy);
                wanted["max_expansions"] = json!(MAX_EXPANSIONS);
            }
            everywhere(&|text| json!({ "match": { text: wanted } }))
        })),
    }
    json!({ "nested": { "path": CHILDREN, "query": { "bool": { "filter": all } } } })
}

/// Labels that are too long for an exact term are found by their words.
fn label_query(field: &str, label: &str) -> Value {
    if label.len() <= 8_000 {
        json!({ "term": { format!("{field}.exact"): label } })
    } else {
        json!({ "match": { field: { "query": label, "operator": "and" } } })
    }
}

fn any_of(queries: &[Value]) -> Value {
    json!({ "bool": { "should": queries, "minimum_should_match": 1 } })
}
