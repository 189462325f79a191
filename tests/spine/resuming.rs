//! Further runs on one state: no gap, no duplicate, whatever the number of workers; and sources that are not what they were.

use std::fs;

use crate::archive::{annotation, joey, kitchen, text};
use crate::support::{Place, SECOND, eventually, sqlite_upper};
use crate::world::{assert_sinks, bounded, expected, filled, follow, growing, lines, records, says, stop};

#[test]
fn a_backfill_then_a_run_leave_no_gap_and_no_duplicate() {
    let mut all = lines(0, 60);
    all[7] = "junk".to_owned();
    let place = filled(&growing(), &all);
    all.extend(lines(60, 60));
    all[77] = "more junk".to_owned();
    place.append("in/a.ndjson", text(&all[60..100]));
    let run = follow(&place, "2", &expected(&all[..100]));
    place.append("in/a.ndjson", text(&all[100..]));
    place.write("in/b.ndjson", text([joey(), kitchen()]));
    all.extend([joey(), kitchen()]);
    eventually("it reads on", || place.rows() == expected(&all));
    let summary = stop(run).summary();
    assert_eq!(records(&summary), 62, "{summary}");
    assert_sinks(&place, &expected(&all));
    let letters: Vec<String> = place.dead_letters().iter().map(|letter| letter["payload"].to_string()).collect();
    assert_eq!(letters, ["\"junk\"", "\"more junk\""]);
    assert_eq!(records(&place.backfill()), 0);
    assert_eq!(place.dead_letters().len(), 2);
}

/// Law L7: no step by the user, and each row once.
#[test]
fn the_number_of_workers_may_change_with_every_run() {
    let mut all = Vec::new();
    let place = Place::with(&bounded());
    for (n, workers) in ["1", "3", "2", "1", "3", "1", "2"].iter().enumerate() {
        let next = lines(n as i64 * 30, 30);
        fs::create_dir_all(place.path("in")).unwrap();
        place.append("in/a.ndjson", text(&next));
        all.extend(next);
        let ran = place.flowstone(&["backfill", "pipeline.yaml", "--json", "--workers", workers]);
        assert_eq!(records(&ran.summary()), 30);
        assert_sinks(&place, &expected(&all));
    }
}

/// Law L3: epochs grow, also when nothing else does.
#[test]
fn uppers_never_go_back() {
    let place = filled(&bounded(), &lines(0, 30));
    let mut upper = sqlite_upper(&place.path("moments.sqlite"));
    for n in 0..3 {
        place.append("in/a.ndjson", text([annotation(&format!("x{n}"), "a1", "SCENE_SEARCH", 0, 9 * SECOND)]));
        place.backfill();
        let now = sqlite_upper(&place.path("moments.sqlite"));
        assert!(now > upper, "{now:?} after {upper:?}");
        upper = now;
    }
}

/// Law L5, for files: what was read may not change behind our back.
#[test]
fn a_file_that_was_changed_cut_or_removed_below_the_sealed_offset_is_refused() {
    let all = lines(0, 60);
    let place = filled(&bounded(), &all);
    let path = place.path("in/a.ndjson");
    let whole = fs::read(&path).unwrap();
    let changed = {
        let mut bytes = whole.clone();
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [("cut", &whole[..whole.len() - 200]), ("changed", &changed), ("emptied", &[])] {
        fs::write(&path, bytes).unwrap();
        let said = place.refused(1);
        says(&said, &["\"annotations\"", "a.ndjson"]);
        assert_sinks(&place, &expected(&all));
        assert!(said.len() > 60, "{what}: the choices are named: {said}");
    }
    fs::write(&path, &whole).unwrap();
    place.append("in/a.ndjson", text(lines(60, 10)));
    assert_eq!(records(&place.backfill()), 10);
    let all: Vec<String> = all.into_iter().chain(lines(60, 10)).collect();
    assert_sinks(&place, &expected(&all));
}

#[test]
fn offsets_say_how_far_each_file_is_read() {
    let all = lines(0, 60);
    let place = filled(&bounded(), &all);
    let ran = place.flowstone(&["offsets", "pipeline.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let length = fs::metadata(place.path("in/a.ndjson")).unwrap().len();
    let said: String = ran.stdout.replace([',', '_'], "");
    assert!(said.contains("a.ndjson") && said.contains(&length.to_string()), "{length}: {}", ran.stdout);
}

#[test]
fn journal_ls_and_show_say_what_is_sealed() {
    let place = filled(&bounded(), &lines(0, 60));
    for command in ["ls", "show"] {
        let ran = place.flowstone(&["journal", command, "pipeline.yaml"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(!ran.stdout.is_empty());
    }
}
