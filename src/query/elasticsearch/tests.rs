use super::*;
use crate::query::Window;

fn fields() -> Fields {
    serde_json::from_value(json!({
        "asset": "/associated_ids/ASSET_ID", "key": ["/annotation_id"], "start": "/time_range/start", "end": "/time_range/end",
        "includes_end": true, "label": "/label", "text": ["/text"], "confidence": "/confidence_score",
    }))
    .unwrap()
}

#[test]
fn each_clause_becomes_one_nested_query_and_all_of_them_must_hold() {
    let query = Query {
        all: vec!["CHARACTER:Joey".parse().unwrap(), "SCENE:=Kitchen".parse().unwrap()],
        any: vec!["*:\"on a break\"".parse().unwrap()],
        assets: vec!["a7".to_owned()],
        window: Window { from_ns: 5, to_ns: 9 },
        min_confidence: Some(0.5),
        slop: 2,
        ..Query::default()
    };
    let request = request(&query, &fields());
    let filters = request["bool"]["filter"].as_array().unwrap();
    assert_eq!(filters[2], json!({ "terms": { "associated_ids.ASSET_ID": ["a7"] } }));
    let clause = |n: usize| filters[n]["nested"]["query"]["bool"]["filter"].as_array().unwrap().clone();
    assert_eq!(clause(3)[2], json!({ "term": { "source_annotations.annotation_type": "CHARACTER" } }));
    assert_eq!(clause(3)[3], json!({ "range": { "source_annotations.confidence_score": { "gte": 0.5 } } }));
    let words = &clause(3)[4]["bool"]["should"];
    assert_eq!(words[1], json!({ "match": { "source_annotations.text": { "query": "joey", "operator": "and" } } }));
    assert_eq!(clause(4)[4], json!({ "term": { "source_annotations.label.exact": "Kitchen" } }));
    let any = &filters[5]["bool"]["should"][0]["nested"]["query"]["bool"]["filter"][3]["bool"]["should"][0];
    assert_eq!(any, &json!({ "match_phrase": { "source_annotations.label": { "query": "on a break", "slop": 2 } } }));
}

#[test]
fn a_moment_is_read_as_the_embedded_index_reads_it() {
    let child = |id: &str, kind: &str, confidence: f64| {
        json!({ "annotation_id": id, "annotation_type": kind, "label": "Joey", "text": ["a", 7], "confidence_score": confidence,
                "time_range": { "start": 2_000_000_000_i64, "end": 8_000_000_000_i64 } })
    };
    let hit = json!({ "_id": "[\"a7\",4000000000]", "_source": {
        "time_bucket_start_ns": 4_000_000_000_i64, "time_bucket_end_ns": 5_000_000_000_i64,
        "source_annotations": [child("c1", "CHARACTER", 0.9), child("s1", "SCENE", 0.4)],
    } });
    let query = Query { all: vec!["CHARACTER:joey".parse().unwrap()], ..Query::default() };
    let mut scan = Scan::new(&query);
    take(&hit, &fields(), &mut scan).unwrap();
    let hits = ranges::hits(&query, scan.found);
    assert_eq!((hits.len(), &hits[0].asset, hits[0].confidence), (1, &Scalar::from("a7"), Some(0.9)));
    let found = &hits[0].annotations[0];
    assert_eq!((found.key.as_str(), found.interval.end_ns()), ("[\"c1\"]", 8_000_000_001), "the end is included");
    assert_eq!(found.texts, ["a", "7"]);
    // Clauses are met together by several children, and each by one.
    for (clauses, expected) in [(["CHARACTER:joey", "SCENE:joey"], 1), (["CHARACTER:joey", "SCENE:kitchen"], 0)] {
        let query = Query { all: clauses.iter().map(|clause| clause.parse().unwrap()).collect(), ..Query::default() };
        let mut scan = Scan::new(&query);
        take(&hit, &fields(), &mut scan).unwrap();
        assert_eq!(ranges::hits(&query, scan.found).len(), expected, "{clauses:?}");
    }
}

#[test]
fn vectors_are_all_looked_at_or_chosen_among_those_of_the_time_that_is_asked_for() {
    let fields = Fields {
        vector: Some(serde_json::from_str(r#"{"dims":2,"metric":"cosine","approximate":true}"#).unwrap()),
        ..fields()
    };
    let near = crate::query::Near { kind: Some("SCENE".to_owned()), vector: vec![1.0, 0.5] };
    let query = Query { all: vec!["CHARACTER".parse().unwrap()], near: vec![near], ..Query::default() };
    let exact = &request(&query, &fields)["bool"]["filter"][3]["nested"]["query"];
    let filters = exact["bool"]["filter"].as_array().unwrap();
    assert_eq!(filters[2], json!({ "term": { "source_annotations.annotation_type": "SCENE" } }));
    assert_eq!(filters[3], json!({ "exists": { "field": "source_annotations.embedding_vector" } }));
    let knn = &request(&Query { approximate: true, ..query }, &fields)["bool"]["filter"][3]["nested"]["query"]["knn"];
    assert_eq!(knn["query_vector"], json!([1.0, 0.5]));
    assert_eq!(knn["filter"].as_array().unwrap().len(), 2, "both ends of the window");
}
