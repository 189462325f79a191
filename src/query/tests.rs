use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::sink::tantivy::testing::{Made, SECOND, indexed, labelled, moments, spoken};

const MS: i64 = 1_000_000;

fn clauses(texts: &[&str]) -> Vec<Clause> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn all(texts: &[&str]) -> Query {
    Query { all: clauses(texts), ..Query::default() }
}

/// The ranges found, in seconds.
fn seconds(dir: &Path, query: &Query) -> Vec<(i64, i64)> {
    let hits = search(dir, query).unwrap();
    hits.iter().map(|hit| (hit.start_ns, hit.end_ns)).map(|(a, b)| (a / SECOND, b / SECOND)).collect()
}

/// The ranges found in ns.
fn exact(dir: &Path, query: &Query) -> Vec<(i64, i64)> {
    search(dir, query).unwrap().iter().map(|hit| (hit.start_ns, hit.end_ns)).collect()
}

fn fixture() -> Vec<Made> {
    vec![labelled("CHARACTER", "Joey", 2, 8).sure(0.9), labelled("SCENE", "kitchen", 4, 9).sure(0.72)]
}

#[test]
fn joey_in_the_kitchen_is_the_exact_overlap_or_the_full_span() {
    // Capability 21 of the source design.
    for min_kinds in [1, 2] {
        let dir = indexed(moments(&fixture(), min_kinds));
        let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
        assert_eq!(seconds(dir.path(), &query), [(4, 8)]);
        assert_eq!(seconds(dir.path(), &Query { mode: Mode::Union, ..query.clone() }), [(2, 9)]);

        let hit = search(dir.path(), &query).unwrap().remove(0);
        assert_eq!(hit.asset, Scalar::from("a7"));
        assert_eq!(hit.confidence, Some(0.72), "as sure as the weakest clause");
        let labels: Vec<_> = hit.annotations.iter().map(|a| (a.kind.as_str(), a.labels[0].as_str())).collect();
        assert_eq!(labels, [("CHARACTER", "Joey"), ("SCENE", "kitchen")], "each once, from however many buckets");
        assert_eq!(hit.annotations[0].key, r#"["n0"]"#);
    }
}

#[test]
fn a_clause_is_met_by_one_child_and_not_by_several_together() {
    let made = [labelled("CHARACTER", "Joey", 0, 5), spoken("in the kitchen", 0, 5), labelled("SCENE", "hall", 0, 5)];
    let dir = indexed(moments(&made, 1));
    let found = |text: &str| !search(dir.path(), &all(&[text])).unwrap().is_empty();
    assert!(!found("SCENE:kitchen"), "the type of one child, the word of another");
    assert!(!found("SCENE:=Joey") && !found("SCENE:\"the kitchen\""));
    assert!(!found("*:Joey kitchen"), "words of two children");
    assert!(!found("*:\"Joey in\""), "a phrase across children");
    assert!(found("DIALOGUE:kitchen") && found("*:kitchen") && found("SCENE:hall") && found("CHARACTER"));
}

#[test]
fn an_exact_label_differs_from_a_text() {
    let made = [labelled("SCENE", "Kitchen table", 0, 1), labelled("SCENE", "kitchen", 5, 6)];
    let dir = indexed(moments(&made, 1));
    let found = |text: &str| seconds(dir.path(), &all(&[text]));
    assert_eq!(found("SCENE:kitchen"), [(0, 1), (5, 6)], "a word in any case");
    assert_eq!(found("SCENE:table KITCHEN"), [(0, 1)], "in any order");
    assert_eq!(found("SCENE:=kitchen"), [(5, 6)]);
    assert_eq!(found("*:=Kitchen table"), [(0, 1)]);
    assert_eq!(found("SCENE:=Kitchen"), []);
}

#[test]
fn phrases_allow_as_many_moves_as_the_slop() {
    let dir = indexed(moments(&[spoken("We were really on a break", 0, 3)], 1));
    let found = |text: &str, slop| !search(dir.path(), &Query { slop, ..all(&[text]) }).unwrap().is_empty();
    assert!(found("DIALOGUE:\"on a break\"", 0));
    assert!(!found("DIALOGUE:\"were on a break\"", 0));
    assert!(found("DIALOGUE:\"were on a break\"", 1));
    assert!(!found("DIALOGUE:\"break a\"", 1) && found("DIALOGUE:\"break a\"", 2));
    assert!(found("DIALOGUE:break a", 0), "without quotes the order does not matter");
}

#[test]
fn fuzzy_finds_words_with_so_many_other_letters() {
    let made = [labelled("SCENE", "kitchen", 0, 1), labelled("SCENES", "hall", 0, 1), spoken("on a break", 0, 1)];
    let dir = indexed(moments(&made, 1));
    let found = |text: &str, fuzzy| !search(dir.path(), &Query { fuzzy, ..all(&[text]) }).unwrap().is_empty();
    assert!(!found("SCENE:kichen", 0) && found("SCENE:kichen", 1));
    assert!(!found("SCENE:kichn", 1) && found("SCENE:kichn", 2));
    assert!(!found("SCENE:hall", 1), "the type is never fuzzy");
    assert!(!found("SCENE:=kichen", 2), "and an exact label neither");
    assert!(!found("DIALOGUE:\"on a braek\"", 1) && found("DIALOGUE:\"on a braek\"", 2));
    assert!(found("*:kichen", 1));
}

#[test]
fn fuzziness_and_slop_together_apply_to_phrases() {
    let dir = indexed(moments(&[spoken("on a short break", 0, 1)], 1));
    let query = |slop, fuzzy| Query { slop, fuzzy, ..all(&["DIALOGUE:\"on a brek\""]) };
    assert_eq!(exact(dir.path(), &query(1, 0)), []);
    assert_eq!(exact(dir.path(), &query(0, 1)), []);
    assert_eq!(seconds(dir.path(), &query(1, 1)), [(0, 1)]);
}

#[test]
fn confidence_is_asked_of_the_annotation_that_meets_the_clause() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 2).sure(0.4),
        labelled("CHARACTER", "Ross", 0, 2).sure(0.9),
        labelled("CHARACTER", "Joey", 10, 12).sure(0.5),
        labelled("CHARACTER", "Joey", 20, 22),
    ];
    let dir = indexed(moments(&made, 1));
    let query = |min_confidence| Query { min_confidence, ..all(&["CHARACTER:Joey"]) };
    assert_eq!(seconds(dir.path(), &query(None)), [(0, 2), (10, 12), (20, 22)]);
    assert_eq!(seconds(dir.path(), &query(Some(0.5))), [(10, 12)], "none is not enough, and Ross is not Joey");
    assert_eq!(seconds(dir.path(), &query(Some(0.0))), [(0, 2), (10, 12)]);
}

#[test]
fn the_best_ranges_of_each_asset_are_kept() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 1).sure(0.5),
        labelled("CHARACTER", "Joey", 5, 7).sure(0.8),
        labelled("CHARACTER", "Joey", 10, 13).sure(0.8),
        labelled("CHARACTER", "Joey", 20, 29),
        labelled("CHARACTER", "Joey", 3, 4).sure(0.1).on("a8"),
    ];
    let dir = indexed(moments(&made, 1));
    let found = |top, limit| seconds(dir.path(), &Query { top, limit, ..all(&["CHARACTER:Joey"]) });
    assert_eq!(found(None, None), [(0, 1), (5, 7), (10, 13), (20, 29), (3, 4)]);
    assert_eq!(found(Some(2), None), [(10, 13), (5, 7), (3, 4)], "surer, then longer");
    assert_eq!(found(Some(9), None), [(10, 13), (5, 7), (0, 1), (20, 29), (3, 4)], "unknown comes last");
    assert_eq!(found(Some(2), Some(1)), [(10, 13)]);
}

#[test]
fn assets_are_filtered_as_strings_and_as_integers() {
    let joey = |asset: Scalar, from| labelled("CHARACTER", "Joey", from, from + 1).on(asset);
    let long: String = "x".repeat(70_000);
    let made = [joey("7".into(), 0), joey(7.into(), 1), joey("a\"b".into(), 2), joey(long.as_str().into(), 3)];
    let dir = indexed(moments(&made, 1));
    let found = |assets: &[&str]| {
        let assets = assets.iter().map(|asset| (*asset).to_owned()).collect();
        search(dir.path(), &Query { assets, ..all(&["CHARACTER:Joey"]) }).unwrap()
    };
    let names = |hits: &[Hit]| hits.iter().map(|hit| hit.asset.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found(&["7"])), [Scalar::Int(7), "7".into()], "two assets, never one range");
    assert_eq!(names(&found(&["a\"b"])), [Scalar::from("a\"b")]);
    assert_eq!(names(&found(&["a\"b", "7"])).len(), 3);
    assert_eq!(names(&found(&["07"])), []);
    assert_eq!(names(&found(&[long.as_str()])), [Scalar::from(long.as_str())], "too long for a term");
    assert_eq!(found(&[]).len(), 4);
}

#[test]
fn a_window_cuts_intersections_and_selects_unions() {
    let dir = indexed(moments(&fixture(), 2));
    let query = |from_ns, to_ns, mode| Query {
        window: Window { from_ns, to_ns },
        mode,
        ..all(&["CHARACTER:Joey", "SCENE:kitchen"])
    };
    let (half, seven) = (5 * SECOND + 500 * MS, 7 * SECOND);
    assert_eq!(exact(dir.path(), &query(half, seven, Mode::Intersection)), [(half, seven)]);
    assert_eq!(seconds(dir.path(), &query(half, seven, Mode::Union)), [(2, 9)]);
    assert_eq!(exact(dir.path(), &query(8 * SECOND, i64::MAX, Mode::Intersection)), [], "half-open");
    assert_eq!(exact(dir.path(), &query(0, 4 * SECOND, Mode::Union)), []);
}

#[test]
fn an_annotation_outside_the_window_does_not_count_though_its_moment_does() {
    let made = [labelled("CHARACTER", "Joey", 0, 0).at_ms(0, 300), labelled("SCENE", "kitchen", 0, 1)];
    let dir = indexed(moments(&made, 1));
    let window = Window { from_ns: 500 * MS, to_ns: SECOND };
    for mode in [Mode::Intersection, Mode::Union] {
        assert_eq!(exact(dir.path(), &Query { window, mode, ..all(&["CHARACTER:Joey"]) }), []);
        assert_eq!(search(dir.path(), &Query { window, mode, ..all(&["SCENE:kitchen"]) }).unwrap().len(), 1);
    }
}

#[test]
fn ranges_below_a_bucket_are_exact() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 0).at_ms(2_400, 4_600),
        labelled("SCENE", "kitchen", 0, 0).at_ms(3_250, 3_750),
        labelled("SCENE", "kitchen", 0, 0).at_ms(4_500, 9_000),
    ];
    let dir = indexed(moments(&made, 2));
    let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
    assert_eq!(exact(dir.path(), &query), [(3_250 * MS, 3_750 * MS), (4_500 * MS, 4_600 * MS)]);
    assert_eq!(exact(dir.path(), &Query { mode: Mode::Union, ..query }), [(2_400 * MS, 9_000 * MS)]);
}

#[test]
fn annotations_that_share_a_bucket_but_no_time_are_a_union_and_no_intersection() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 0).at_ms(2_000, 2_300),
        labelled("SCENE", "kitchen", 0, 0).at_ms(2_600, 3_500),
    ];
    let dir = indexed(moments(&made, 2));
    let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
    assert_eq!(exact(dir.path(), &query), []);
    assert_eq!(exact(dir.path(), &Query { mode: Mode::Union, ..query }), [(2_000 * MS, 3_500 * MS)]);
}

#[test]
fn several_annotations_that_meet_a_clause_count_as_one_stretch() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 4),
        labelled("CHARACTER", "Joey", 3, 6),
        labelled("CHARACTER", "Joey", 6, 8),
        labelled("SCENE", "kitchen", 1, 7),
        labelled("CHARACTER", "Joey", 20, 22),
        labelled("SCENE", "kitchen", 30, 32),
    ];
    let dir = indexed(moments(&made, 1));
    let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
    assert_eq!(seconds(dir.path(), &query), [(1, 7)], "overlapping and touching ones are one piece");
    assert_eq!(seconds(dir.path(), &Query { mode: Mode::Union, ..query }), [(0, 8)]);
}

#[test]
fn a_long_annotation_gives_one_range_a_meeting_and_one_union() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 30),
        labelled("SCENE", "kitchen", 4, 6),
        labelled("SCENE", "kitchen", 20, 22),
        labelled("SCENE", "hall", 6, 20),
    ];
    let dir = indexed(moments(&made, 2));
    let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
    assert_eq!(seconds(dir.path(), &query), [(4, 6), (20, 22)]);
    assert_eq!(seconds(dir.path(), &Query { mode: Mode::Union, ..query }), [(0, 30)]);
}

#[test]
fn a_missing_moment_splits_an_intersection() {
    let mut rows = moments(&fixture(), 2);
    rows.remove(1);
    let dir = indexed(rows);
    assert_eq!(seconds(dir.path(), &all(&["CHARACTER:Joey", "SCENE:kitchen"])), [(4, 5), (6, 8)]);
}

#[test]
fn any_asks_for_one_of_its_clauses() {
    let made = [
        labelled("CHARACTER", "Joey", 0, 10),
        labelled("SCENE", "kitchen", 1, 3),
        labelled("SCENE", "hall", 5, 6),
        labelled("SCENE", "roof", 8, 9),
    ];
    let dir = indexed(moments(&made, 1));
    let query = Query { any: clauses(&["SCENE:kitchen", "SCENE:hall"]), ..all(&["CHARACTER:Joey"]) };
    assert_eq!(seconds(dir.path(), &query), [(1, 3), (5, 6)]);
    assert_eq!(seconds(dir.path(), &Query { all: Vec::new(), ..query }), [(1, 3), (5, 6)]);
    let both = Query { any: clauses(&["SCENE:kitchen", "CHARACTER"]), ..all(&["CHARACTER:Joey"]) };
    assert_eq!(seconds(dir.path(), &both), [(0, 10)]);
}

#[test]
fn an_inclusive_end_is_in_the_range() {
    // What `end: inclusive` makes of [2 s, 8 s] and [4 s, 9 s].
    let made = fixture().into_iter().map(|made| Made { range: (made.range.0, made.range.1 + 1), ..made });
    let dir = indexed(moments(&made.collect::<Vec<_>>(), 2));
    let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
    assert_eq!(exact(dir.path(), &query), [(4 * SECOND, 8 * SECOND + 1)]);
    assert_eq!(exact(dir.path(), &Query { mode: Mode::Union, ..query }), [(2 * SECOND, 9 * SECOND + 1)]);
}

#[test]
fn labels_and_texts_of_any_length_and_shape_are_found() {
    let long = format!("{} needle", "hay ".repeat(30_000));
    let list =
        Made { members: r#""label":["one",2,true,null,{"x":1}],"text":["uno","dos tres"]"#.into(), ..spoken("", 5, 6) };
    let label = "L".repeat(100_000);
    let made = [spoken(&long, 0, 2), list, labelled("SCENE", &label, 8, 9), labelled("SCENE", "\\u0000 nul", 10, 11)];
    let dir = indexed(moments(&made, 1));
    let found = |text: &str| seconds(dir.path(), &all(&[text]));
    assert_eq!(found("DIALOGUE:needle"), [(0, 2)], "a text that is too long for a column");
    assert_eq!(found("DIALOGUE:\"hay needle\""), [(0, 2)]);
    assert_eq!(found("DIALOGUE:=one"), [(5, 6)]);
    assert_eq!(found("DIALOGUE:=2"), [(5, 6)]);
    assert_eq!(found("DIALOGUE:true tres"), [(5, 6)]);
    assert_eq!(found("DIALOGUE:\"uno dos\""), [], "phrases stay within one text");
    assert_eq!(found(&format!("SCENE:={label}")), [(8, 9)]);
    assert_eq!(found(&format!("SCENE:={label}L")), []);
    assert_eq!(found("SCENE:=\0 nul"), [(10, 11)]);
}

#[test]
fn every_type_of_the_index_is_listed() {
    let dir = indexed(moments(&fixture(), 1));
    assert_eq!(types(dir.path()).unwrap(), ["CHARACTER", "SCENE"]);
}

#[test]
fn what_is_no_index_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| search(path, &all(&["CHARACTER"])).unwrap_err().to_string();
    assert!(error(&dir.path().join("nowhere")).contains("no such directory"));
    assert!(error(dir.path()).contains("holds no index"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "looking changes nothing");
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(error(&file).contains("not a directory"));

    let mut other = ::tantivy::schema::Schema::builder();
    other.add_text_field("title", ::tantivy::schema::TEXT);
    let foreign = tempfile::tempdir().unwrap();
    ::tantivy::Index::create_in_dir(foreign.path(), other.build()).unwrap();
    assert!(error(foreign.path()).contains("no field \"key\""));
}

#[test]
fn intersections_are_those_of_a_look_at_each_millisecond() {
    let mut random = ChaCha8Rng::seed_from_u64(21);
    for _ in 0..20 {
        let made: Vec<Made> = (0..30)
            .map(|_| {
                let (kind, label) =
                    [("CHARACTER", "Joey"), ("CHARACTER", "Ross"), ("SCENE", "kitchen"), ("SCENE", "hall")]
                        [random.random_range(0..4)];
                let start_ms = random.random_range(0..15_000);
                labelled(kind, label, 0, 1).at_ms(start_ms, start_ms + random.random_range(1..2_500))
            })
            .collect();
        let covered = |label: &str, ms: i64| {
            let label = format!("\"{label}\"");
            let covers = |made: &&Made| made.range.0 <= ms * MS && ms * MS < made.range.1;
            made.iter().filter(covers).any(|made| made.members.contains(&label))
        };
        let mut expected: Vec<(i64, i64)> = Vec::new();
        for ms in (0..18_000).filter(|ms| covered("Joey", *ms) && covered("kitchen", *ms)) {
            match expected.last_mut() {
                Some(last) if last.1 == ms * MS => last.1 += MS,
                _ => expected.push((ms * MS, (ms + 1) * MS)),
            }
        }
        let query = all(&["CHARACTER:Joey", "SCENE:kitchen"]);
        for min_kinds in [1, 2] {
            let dir = indexed(moments(&made, min_kinds));
            assert_eq!(exact(dir.path(), &query), expected);
        }
    }
}
