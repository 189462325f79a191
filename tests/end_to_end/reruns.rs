//! Running again on stores whose state is lost, or with `state: none`: each run leaves exactly what its input gives, also when
//! there is less of it than before.

use flowstone::runtime::{Mode, Outcome};

use super::archive::{FILE, SQLITE, TANTIVY, annotation, deletion, joey, kitchen, pipeline, text};
use super::oracle::{Emit, Rules, documents};
use super::support::{Documents, Place, SECOND, changes, folded, run, tantivy};

fn place() -> Place {
    Place::with(&pipeline("", &format!("{SQLITE}{TANTIVY}{FILE}")))
}

/// A backfill over files with these lines and without a state, after which every sink must hold what the lines give.
fn fill(place: &Place, files: &[(&str, &[String])]) -> Documents {
    std::fs::remove_dir_all(place.path("in")).ok();
    std::fs::remove_dir_all(place.path("state")).ok();
    for (name, lines) in files {
        place.write(&format!("in/{name}"), text(*lines));
    }
    place.backfill();
    let expected = documents(files.iter().flat_map(|(_, lines)| lines.iter().map(String::as_str)), &Rules::default());
    assert_eq!(place.rows(), expected, "SQLite");
    assert_eq!(tantivy(&place.path("index")), expected, "Tantivy");
    assert_eq!(folded(changes(&place.path("changes"))), expected, "files");
    expected
}

fn archive() -> Vec<String> {
    let line = |n: i64, kind: &str, length: i64| {
        annotation(&format!("{kind}{n}"), "a7", kind, n * SECOND, (n + length) * SECOND)
    };
    (0..40).flat_map(|n| [line(n * 5, "CHARACTER_SEARCH", 4), line(n * 7, "SCENE_SEARCH", 5)]).collect()
}

fn found(place: &Place, clauses: [&str; 2]) -> usize {
    let args = ["query", "index", "--json", "--all", clauses[0], "--all", clauses[1]];
    place.flowstone(&args).summary().as_array().unwrap().len()
}

#[test]
fn running_twice_leaves_the_same() {
    let (place, lines) = (place(), archive());
    let first = fill(&place, &[("a.ndjson", &lines)]);
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(fill(&place, &[("a.ndjson", &lines)]), first);
    assert_eq!(fill(&place, &[("a.ndjson", &lines[..30]), ("b.ndjson", &lines[30..])]), first, "in other files");
}

#[test]
fn after_lines_and_files_have_gone_the_sinks_hold_the_smaller_input() {
    let (place, lines) = (place(), archive());
    let all =
        fill(&place, &[("a.ndjson", &lines[..40]), ("b.ndjson", &lines[40..]), ("c.ndjson", &[joey(), kitchen()])]);
    assert!(found(&place, ["CHARACTER_SEARCH:Joey", "SCENE_SEARCH:kitchen"]) > 0);
    let fewer_lines =
        fill(&place, &[("a.ndjson", &lines[..25]), ("b.ndjson", &lines[45..]), ("c.ndjson", &[joey(), kitchen()])]);
    let fewer_files = fill(&place, &[("a.ndjson", &lines[..25]), ("b.ndjson", &lines[45..])]);
    assert!(all.len() > fewer_lines.len() && fewer_lines.len() > fewer_files.len());
    assert_eq!(found(&place, ["CHARACTER_SEARCH:Joey", "SCENE_SEARCH:kitchen"]), 0, "the search forgets too");
    assert_eq!(
        fill(&place, &[("a.ndjson", &lines[..40]), ("b.ndjson", &lines[40..]), ("c.ndjson", &[joey(), kitchen()])]),
        all
    );
}

#[test]
fn an_emptied_input_empties_the_sinks() {
    let place = place();
    let lines = [joey(), kitchen(), deletion("nobody")];
    assert_eq!(fill(&place, &[("a.ndjson", &lines)]).len(), 4);
    assert!(fill(&place, &[("a.ndjson", &[])]).is_empty());
    assert_eq!(fill(&place, &[("a.ndjson", &lines)]).len(), 4);
    assert!(fill(&place, &[("a.ndjson", &[joey(), kitchen(), deletion("Joey")])]).is_empty());
    assert_eq!(found(&place, ["CHARACTER_SEARCH", "SCENE_SEARCH"]), 0);
}

#[test]
fn another_operator_behind_the_same_sinks_replaces_their_content() {
    let (place, lines) = (place(), archive());
    fill(&place, &[("a.ndjson", &lines)]);
    let sinks = format!("{SQLITE}{TANTIVY}{FILE}");
    place.write("pipeline.yaml", pipeline("emit: runs, min_modalities: 1", &sinks));
    std::fs::remove_dir_all(place.path("state")).unwrap();
    place.backfill();
    let rules = Rules { emit: Emit::Runs, min_modalities: 1, ..Rules::default() };
    let expected = documents(lines.iter().map(String::as_str), &rules);
    assert_eq!(place.rows(), expected);
    assert_eq!(tantivy(&place.path("index")), expected);
    assert_eq!(folded(changes(&place.path("changes"))), expected);
}

/// Without a journal, a file of dead letters is that of the last run: what was mended is no longer in it.
#[test]
fn dead_letters_that_were_mended_go_too() {
    let place = place();
    let letters = "state: none\ndead_letters: { path: letters.ndjson }\n";
    place.write("pipeline.yaml", format!("{letters}{}", pipeline("", SQLITE)));
    place.write("in/a.ndjson", text(["junk", &joey()]));
    assert_eq!(place.backfill()["dead_letters"]["count"], 1);
    place.write("in/a.ndjson", text([joey()]));
    assert_eq!(place.backfill()["dead_letters"]["count"], 0);
    assert!(!place.path("letters.ndjson").exists());
}

/// With one, a second run has nothing to do.
#[test]
fn running_again_on_the_same_state_writes_nothing() {
    let (place, lines) = (place(), archive());
    let first = fill(&place, &[("a.ndjson", &lines)]);
    let summary = place.backfill();
    assert_eq!(summary["sinks"]["store"]["upserts"], 0);
    assert_eq!(summary["tables"]["annotations"]["records"], 0);
    assert_eq!(place.rows(), first);
    place.append("in/a.ndjson", text([joey(), kitchen()]));
    let summary = place.backfill();
    assert_eq!(summary["tables"]["annotations"]["records"], 2);
    let upserts = summary["sinks"]["store"]["upserts"].as_u64().unwrap();
    assert!((1..10).contains(&upserts), "and then only what changes: {upserts}");
    let all = lines.iter().cloned().chain([joey(), kitchen()]).collect::<Vec<_>>();
    assert_eq!(place.rows(), documents(all.iter().map(String::as_str), &Rules::default()));
}

/// A job that has ended holds no store: no lock, and no log beside the file.
#[test]
fn jobs_of_one_process_can_follow_each_other_at_once() {
    let place = place();
    place.write("in/a.ndjson", text(archive()));
    for _ in 0..10 {
        assert_eq!(run(place.job(Mode::Backfill, 2)).unwrap(), Outcome::Complete);
        let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let log_bytes = std::fs::metadata(place.path("moments.sqlite-wal")).map_or(0, |metadata| metadata.len());
        assert_eq!(log_bytes, 0, "{left:?}");
    }
}
