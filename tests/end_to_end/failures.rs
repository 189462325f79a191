//! Stores, files and directories that can not be used: the run fails with a clear word, and the sinks are not harmed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::{FILE, SQLITE, TANTIVY, annotation, following, joey, kitchen, pipeline, text};
use super::support::{Place, SECOND};

fn place(sinks: &str) -> Place {
    let place = Place::with(&pipeline("", sinks));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

/// Root may read and write whatever the permissions say.
fn permissions_count() -> bool {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    fs::write(dir.path().join("probe"), "").is_err()
}

/// A file system of its own; unmounted when dropped. `None` if this user may not mount any.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Mount(at.to_owned()));
        }
        eprintln!("skipped: a file system with {options} can not be mounted here");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::with(&pipeline("", SQLITE));
    says(
        &place.refused(1),
        &["source \"annotations\"", "no file matches", "in/*.ndjson*", "relative to the pipeline file"],
    );
    place.write("pipeline.yaml", pipeline("", SQLITE).replace("in/*.ndjson*", "gone.ndjson"));
    says(&place.refused(1), &["no file matches", "gone.ndjson"]);
    assert!(!place.path("moments.sqlite").exists(), "sources are looked at first");
}

#[test]
fn an_unreadable_file_is_named_and_nothing_is_written() {
    let place = place(SQLITE);
    place.backfill();
    // A link to nothing is unreadable for root, too.
    symlink(place.path("nowhere"), place.path("in/b.ndjson")).unwrap();
    says(&place.refused(1), &["source \"annotations\"", "could not open", "in/b.ndjson"]);
    place.remove("in/b.ndjson");
    place.write("pipeline.yaml", pipeline("", SQLITE).replace("in/*.ndjson*", "in"));
    says(&place.refused(1), &["could not open", "it is a directory; name its files"]);
    place.write("pipeline.yaml", pipeline("", SQLITE));
    if permissions_count() {
        place.write("in/b.ndjson", text([joey()]));
        fs::set_permissions(place.path("in/b.ndjson"), fs::Permissions::from_mode(0o000)).unwrap();
        says(&place.refused(1), &["could not open", "in/b.ndjson", "ermission denied"]);
    } else {
        eprintln!("skipped: root may read files without permissions");
    }
    assert_eq!(place.rows().len(), 4);
}

#[test]
fn what_is_no_compressed_file_is_named() {
    let place = place(SQLITE);
    for name in ["in/b.ndjson.gz", "in/b.ndjson.zst"] {
        place.write(name, "plain text");
        says(&place.refused(1), &["could not decompress", name]);
        place.remove(name);
    }
}

#[test]
fn a_sink_s_path_that_leads_to_something_else_is_refused_and_left_alone() {
    let cases = [
        (SQLITE, "moments.sqlite", "sink \"store\""),
        (TANTIVY, "index", "sink \"search\""),
        (FILE, "changes", "sink \"changes\""),
    ];
    for (sinks, path, sink) in cases {
        // A file where a directory is needed; for SQLite a file that is no database.
        let place = place(sinks);
        let notes = "my notes, which are not a database and longer than its header of a hundred bytes ".repeat(3);
        place.write(path, &notes);
        says(&place.refused(1), &[sink, path]);
        assert_eq!(fs::read_to_string(place.path(path)).unwrap(), notes);
    }
    let place = place(SQLITE);
    place.write("moments.sqlite/notes.txt", "mine");
    says(&place.refused(1), &["sink \"store\"", "check that the path names a file"]);
    assert_eq!(fs::read_to_string(place.path("moments.sqlite/notes.txt")).unwrap(), "mine");
}

#[test]
fn a_directory_of_other_files_is_no_index() {
    let place = place(TANTIVY);
    place.write("index/notes.txt", "mine");
    says(&place.refused(1), &["sink \"search\"", "does not fit the pipeline", "\"notes.txt\""]);
    assert_eq!(fs::read_dir(place.path("index")).unwrap().count(), 1);
}

#[test]
fn a_table_with_other_columns_is_refused_with_the_difference() {
    let place = place(SQLITE);
    place.backfill();
    let sinks = SQLITE.replace("table: moments }", "table: moments, columns: { asset: /associated_ids/ASSET_ID } }");
    place.write("pipeline.yaml", pipeline("", &sinks));
    says(&place.refused(1), &["sink store", "columns", "--accept-changes"]);
    let ran = place.flowstone(&["backfill", "pipeline.yaml", "--accept-changes"]);
    assert_eq!(ran.code, Some(1));
    says(&ran.stderr, &["does not fit the pipeline", "expected the columns", "asset", "found", "drop the table"]);
    assert_eq!(place.rows().len(), 4);
}

#[test]
fn a_state_directory_that_can_not_be_made_or_written_is_named() {
    let with_state = |state: &str| format!("state: {state}\n{}", pipeline("", SQLITE));
    let place = place(SQLITE);
    place.write("file", "");
    place.write("pipeline.yaml", with_state("file/state"));
    says(&place.refused(1), &["could not create the state directory", "file/state", "`state:` in the pipeline file"]);
    place.write("pipeline.yaml", with_state("file"));
    says(&place.refused(1), &["file\""]);

    place.write("pipeline.yaml", with_state("closed/state"));
    if let Some(_mount) = Mount::new(&place.path("closed"), "ro") {
        says(&place.refused(1), &["could not create the state directory", "closed/state", "ead-only"]);
        place.write("pipeline.yaml", with_state("closed"));
        says(&place.refused(1), &["the journal", "closed/journal", "ead-only"]);
    }
    if permissions_count() {
        fs::create_dir_all(place.path("shut")).unwrap();
        fs::set_permissions(place.path("shut"), fs::Permissions::from_mode(0o500)).unwrap();
        place.write("pipeline.yaml", with_state("shut"));
        says(&place.refused(1), &["dead-letters.ndjson", "it may not be written"]);
    }
    assert!(place.rows().is_empty(), "nothing was written");
}

/// About 30 MB of documents.
fn much() -> String {
    let padding = "x".repeat(700);
    let line = |n: i64| {
        let kind = ["CHARACTER_SEARCH", "SCENE_SEARCH"][n as usize % 2];
        annotation(&format!("n{n}{padding}"), "a7", kind, n * SECOND, (n + 6) * SECOND)
    };
    text((0..4000).map(line))
}

#[test]
fn a_full_disk_is_an_error_that_names_the_sink_and_leaves_what_was_there() {
    for (sinks, sink) in [(SQLITE, "sink \"store\""), (TANTIVY, "sink \"search\""), (FILE, "sink \"changes\"")] {
        let small = ["moments.sqlite", "index", "changes"].iter().fold(sinks.to_owned(), |sinks, path| {
            sinks.replace(&format!("path: {path}"), &format!("path: small/{path}"))
        });
        let place = place(&small);
        let Some(_mount) = Mount::new(&place.path("small"), "size=6m") else { return };
        place.backfill();
        let contents = || match sink {
            "sink \"store\"" => super::support::sqlite(&place.path("small/moments.sqlite"), "moments")
                .into_iter()
                .map(|(key, row)| (key, row.0))
                .collect(),
            "sink \"search\"" => super::support::tantivy(&place.path("small/index")),
            _ => super::support::folded(super::support::changes(&place.path("small/changes"))),
        };
        let before: super::support::Documents = contents();
        assert_eq!(before.len(), 4);
        place.write("in/much.ndjson", much());
        says(&place.refused(1), &[sink, "small/"]);
        assert!(contents() == before, "{sink}: half of an epoch is never shown");
        // Once there is room again, all is well: what was read is not lost.
        let remount = ["-o", "remount,size=256m"];
        let mount = Command::new("mount").args(remount).arg(place.path("small")).status().unwrap();
        assert!(mount.success());
        place.remove("in/much.ndjson");
        assert_eq!(place.backfill()["tables"]["annotations"]["records"], 0);
        assert!(contents().len() > 4000, "{}", contents().len());
    }
}

/// The same without a mount: files that may not grow.
#[test]
fn a_limit_of_file_sizes_is_an_error_that_names_the_sink() {
    for (sinks, sink) in [(SQLITE, "sink \"store\""), (TANTIVY, "sink \"search\""), (FILE, "sink \"changes\"")] {
        let place = place(sinks);
        place.write("in/much.ndjson", much());
        let script =
            format!("trap '' XFSZ; ulimit -f 4000; exec {} backfill pipeline.yaml", env!("CARGO_BIN_EXE_flowstone"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        says(&said, &[sink]);
    }
}

#[test]
fn a_sink_that_fails_while_it_follows_ends_the_run() {
    let place = Place::with(&following("", SQLITE));
    place.write("in/live.ndjson", text([joey(), kitchen()]));
    let run = place.start(&["run", "pipeline.yaml"]);
    super::support::eventually("the fill", || place.rows().len() == 4);
    let connection = rusqlite::Connection::open(place.path("moments.sqlite")).unwrap();
    connection.execute_batch("PRAGMA busy_timeout = 30000; DROP TABLE moments").unwrap();
    place.append("in/live.ndjson", text([annotation("text", "a7", "DIALOGUE_SEARCH", 0, 9 * SECOND)]));
    let ran = run.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    says(&ran.stderr, &["sink \"store\"", "moments"]);
}
