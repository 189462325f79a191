//! Law L8: what was changed in the pipeline is noticed. Additions are free; the rest is refused with the choices.

use crate::archive::{FILE, SQLITE, TANTIVY, from_source, pipeline, text};
use crate::oracle::{Emit, Rules, documents};
use crate::support::{Place, changes, folded, sqlite, tantivy};
use crate::world::{assert_sinks, bounded, chain, expected, filled, lines, records, says};

fn backfill(place: &Place, flags: &[&str]) -> serde_json::Value {
    let args: Vec<&str> =
        ["backfill", "pipeline.yaml", "--json", "--workers", "2"].iter().chain(flags).copied().collect();
    place.flowstone(&args).summary()
}

#[test]
fn another_bucket_width_is_refused_until_it_is_accepted() {
    let all = lines(0, 90);
    let place = filled(&bounded(), &all[..60]);
    place.append("in/a.ndjson", text(&all[60..]));
    let cases = [
        ("bucket: 2s", Rules { bucket_ns: 2_000_000_000, ..Rules::default() }),
        ("emit: runs", Rules { emit: Emit::Runs, ..Rules::default() }),
        ("min_modalities: 1", Rules { min_modalities: 1, ..Rules::default() }),
    ];
    let mut before = expected(&all[..60]);
    for (settings, rules) in cases {
        place.write("pipeline.yaml", pipeline(settings, &chain()));
        says(&place.refused(1), &["moments", "--accept-changes"]);
        assert_sinks(&place, &before);
        let summary = backfill(&place, &["--accept-changes"]);
        before = documents(all.iter().map(String::as_str), &rules);
        assert_sinks(&place, &before);
        assert!(records(&summary) <= 30, "from state, not from the source: {summary}");
        assert_eq!(records(&place.backfill()), 0, "it is accepted once and for all");
        assert_sinks(&place, &before);
    }
}

#[test]
fn another_key_is_refused_until_the_source_is_read_again() {
    let all = lines(0, 90);
    let place = filled(&bounded(), &all);
    place.write("pipeline.yaml", bounded().replace("key: /annotation_id", "key: [/annotation_id, /type]"));
    let said = place.refused(1);
    says(&said, &["annotations", "--rebuild annotations"]);
    // That changes of operators are accepted is not enough.
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--accept-changes"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    says(&ran.stderr, &["--rebuild annotations"]);
    assert_sinks(&place, &expected(&all));
    // Deletions have no type: they are no good any more.
    let summary = backfill(&place, &["--rebuild", "annotations"]);
    assert_eq!(records(&summary), 90, "everything is read again");
    let kept: Vec<&String> = all.iter().filter(|line| !line.contains("deleted")).collect();
    let fresh = Place::with(&bounded().replace("key: /annotation_id", "key: [/annotation_id, /type]"));
    fresh.write("in/a.ndjson", text(&all));
    fresh.backfill();
    assert_sinks(&place, &fresh.rows());
    assert_eq!(place.dead_letters().len(), 90 - kept.len());
}

#[test]
fn an_added_sink_is_filled_from_state_and_a_removed_one_is_forgotten() {
    let all = lines(0, 120);
    let place = filled(&pipeline("", SQLITE), &[]);
    place.append("in/a.ndjson", text(&all[..60]));
    place.backfill();
    assert_eq!(place.rows(), expected(&all[..60]));
    place.write("pipeline.yaml", pipeline("", &format!("{SQLITE}{FILE}")));
    assert_eq!(records(&place.backfill()), 0, "nothing is read again");
    assert_eq!(folded(changes(&place.path("changes"))), expected(&all[..60]));
    // The store goes out of the pipeline, and what is written meanwhile does not reach it.
    place.write("pipeline.yaml", pipeline("", &format!("{TANTIVY}{FILE}")));
    place.append("in/a.ndjson", text(&all[60..]));
    assert_eq!(records(&place.backfill()), 60);
    assert_eq!(tantivy(&place.path("index")), expected(&all));
    assert_eq!(folded(changes(&place.path("changes"))), expected(&all));
    assert_eq!(place.rows(), expected(&all[..60]));
    // It comes back: a new sink, with old rows in it.
    place.write("pipeline.yaml", bounded());
    assert_eq!(records(&place.backfill()), 0);
    assert_sinks(&place, &expected(&all));
}

#[test]
fn an_added_operator_is_filled_from_state() {
    let all = lines(0, 90);
    let place = filled(&bounded(), &all);
    let range = "{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }";
    let runs = format!(
        "operators:\n  runs: {{ fuse: {{ from: annotations, by: /associated_ids/ASSET_ID, type: /type, range: {range}, \
         emit: runs }} }}\n"
    );
    let sink = "  spans: { from: runs, sqlite: { path: runs.sqlite, table: runs } }\n";
    place.write("pipeline.yaml", format!("{}{sink}", bounded().replace("operators:\n", &runs)));
    assert_eq!(records(&place.backfill()), 0, "nothing is read again");
    assert_sinks(&place, &expected(&all));
    let rules = Rules { emit: Emit::Runs, ..Rules::default() };
    let found = sqlite(&place.path("runs.sqlite"), "runs").into_iter().map(|(key, row)| (key, row.0)).collect();
    let expected = documents(all.iter().map(String::as_str), &rules);
    assert!(expected == found && !expected.is_empty());
}

#[test]
fn what_changes_nothing_is_no_change() {
    let all = lines(0, 60);
    let place = filled(&bounded(), &all);
    let same = bounded().replace("name: test", "name: renamed\ndrain: 3s").replace("epoch: 20ms", "epoch: 70ms");
    place.write("pipeline.yaml", format!("# a comment\n{same}"));
    assert_eq!(records(&place.backfill()), 0);
    // Defaults may be written down, and paths of a source be extended.
    let spelled = pipeline("emit: buckets, bucket: 1000ms, min_modalities: 2, end: exclusive", &chain());
    place.write("pipeline.yaml", spelled.replace("\"in/*.ndjson*\"", "\"in/*.ndjson*\", \"more/*.ndjson\""));
    place.write("more/b.ndjson", text(lines(60, 20)));
    assert_eq!(records(&place.backfill()), 20);
    let all: Vec<String> = all.into_iter().chain(lines(60, 20)).collect();
    assert_sinks(&place, &expected(&all));
}

/// Two sources, one of which goes: its rows go with it, and are swept.
#[test]
fn a_source_that_is_taken_out_is_a_change() {
    let two = |from: &str| {
        let upsert = format!("  all: {{ upsert: {{ from: [{from}], key: /annotation_id, delete: /deleted }} }}\n");
        from_source("file: { paths: [\"in/*.ndjson\"] }", "", &chain())
            .replace(
                "operators:\n",
                &format!("  more: {{ file: {{ paths: [\"more/*.ndjson\"] }} }}\noperators:\n{upsert}"),
            )
            .replace("from: annotations,", "from: all,")
    };
    let all = lines(0, 50);
    let place = Place::with(&two("annotations, more"));
    place.write("in/a.ndjson", text(&all[..25]));
    place.write("more/a.ndjson", text(&all[25..]));
    place.backfill();
    assert_sinks(&place, &expected(&all));
    place.write("pipeline.yaml", two("annotations"));
    says(&place.refused(1), &["--rebuild all"]);
    backfill(&place, &["--rebuild", "all"]);
    assert_sinks(&place, &expected(&all[..25]));
}
