//! Following: growth, rotation, cuts, deletion, and what appears later.

use std::time::Duration;

use super::*;

fn followed(dir: &Path, patterns: &[&str]) -> FileSource {
    let mut source = source(dir, patterns, true).unwrap();
    source.quiet = Duration::ZERO;
    source
}

/// What is new for the reader, and whether the file may go on.
fn news(reader: &mut dyn PartitionReader) -> (Vec<Seen>, Progress) {
    let (records, progress, _) = drain(reader, 1 << 16).unwrap();
    (records, progress)
}

#[test]
fn a_followed_file_is_read_on_as_it_grows() {
    let dir = files(&[("a", b"1\n")]);
    let source = followed(dir.path(), &["a"]);
    assert!(source.is_unbounded());
    let mut reader = source.open("a", &at(0)).unwrap();
    assert_eq!(news(reader.as_mut()), (vec![seen(0, "1")], Progress::CaughtUp));
    assert_eq!(news(reader.as_mut()), (vec![], Progress::CaughtUp));
    append(dir.path().join("a"), "2\n3\n");
    assert_eq!(news(reader.as_mut()), (vec![seen(2, "2"), seen(4, "3")], Progress::CaughtUp));
    assert_eq!((reader.read_bytes(), reader.total_bytes()), (6, Some(6)));
}

#[test]
fn an_unterminated_line_waits_for_its_end() {
    let dir = files(&[("a", b"1\n{\"half\":")]);
    let source = followed(dir.path(), &["a"]);
    let mut reader = source.open("a", &at(0)).unwrap();
    let (records, progress, next_offset) = drain(reader.as_mut(), 1 << 16).unwrap();
    assert_eq!((records, progress), (vec![seen(0, "1")], Progress::CaughtUp));
    assert_eq!(next_offset, 2, "a restart goes on from the line's start");
    append(dir.path().join("a"), "true}\n");
    assert_eq!(news(reader.as_mut()).0, [seen(2, "{\"half\":true}")]);
}

#[test]
fn a_reader_has_caught_up_when_all_that_was_there_at_the_start_is_delivered() {
    let dir = files(&[("a", "0123456789\n".repeat(100).as_bytes())]);
    let source = followed(dir.path(), &["a"]);
    let mut reader = source.open("a", &at(0)).unwrap();
    append(dir.path().join("a"), &"more\n".repeat(1_000));
    let mut delivered = 0;
    loop {
        let mut batch = RawBatch::default();
        let progress = reader.poll(&mut batch, 220).unwrap();
        delivered += batch.records.len();
        match progress {
            Progress::More => assert!(delivered < 100),
            Progress::CaughtUp => break assert!((100..200).contains(&delivered), "{delivered}"),
            Progress::End => panic!("a followed file does not end"),
        }
    }
    drain(reader.as_mut(), 1 << 16).unwrap();
    assert_eq!(reader.read_bytes(), 1_100 + 5_000);
}

#[test]
fn a_long_line_that_arrives_in_pieces_is_one_record() {
    let dir = files(&[("a", b"")]);
    let source = followed(dir.path(), &["a"]);
    let mut reader = source.open("a", &at(0)).unwrap();
    let piece = "x".repeat(50_000);
    for _ in 0..4 {
        append(dir.path().join("a"), &piece);
        assert_eq!(news(reader.as_mut()), (vec![], Progress::CaughtUp));
    }
    append(dir.path().join("a"), "\n");
    assert_eq!(news(reader.as_mut()).0, [seen(0, &piece.repeat(4))]);
}

#[test]
fn files_that_appear_later_are_found() {
    let dir = files(&[]);
    let mut source = followed(dir.path(), &["*.ndjson", "named"]);
    assert_eq!(source.discover().unwrap(), [""; 0], "with nothing there yet it waits");
    append(dir.path().join("b.ndjson"), "1\n");
    append(dir.path().join("named"), "2\n");
    assert_eq!(source.discover().unwrap(), ["b.ndjson", "named"]);
    append(dir.path().join("a.ndjson"), "3\n");
    assert_eq!(source.discover().unwrap(), ["a.ndjson"]);
    assert_eq!(news(source.open("a.ndjson", &at(0)).unwrap().as_mut()).0, [seen(0, "3")]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_the_new_one_is_a_new_partition() {
    let dir = files(&[("app.log", b"1\n")]);
    let path = dir.path().join("app.log");
    let mut source = followed(dir.path(), &["app.log"]);
    assert_eq!(source.discover().unwrap(), ["app.log"]);
    let mut first = source.open("app.log", &at(0)).unwrap();
    assert_eq!(news(first.as_mut()).0, [seen(0, "1")]);

    let rotated = dir.path().join("app.log.1");
    fs::rename(&path, &rotated).unwrap();
    append(rotated.clone(), "2\n");
    assert_eq!(source.discover().unwrap(), [""; 0]);
    assert_eq!(news(first.as_mut()), (vec![seen(2, "2")], Progress::CaughtUp), "its writer has not reopened it yet");

    append(path.clone(), "new\n");
    append(rotated, "3\nend");
    assert_eq!(source.discover().unwrap(), ["app.log#2"]);
    assert_eq!(news(first.as_mut()), (vec![seen(4, "3"), seen(6, "end")], Progress::End));
    let mut second = source.open("app.log#2", &at(0)).unwrap();
    assert_eq!(news(second.as_mut()), (vec![seen(0, "new")], Progress::CaughtUp));

    fs::rename(&path, dir.path().join("app.log.2")).unwrap();
    append(path, "newer\n");
    assert_eq!(source.discover().unwrap(), ["app.log#3"]);
    assert_eq!(news(second.as_mut()), (vec![], Progress::End));
}

#[test]
fn a_rotated_file_ends_only_when_it_was_quiet_for_a_while() {
    let dir = files(&[("a", b"1\n")]);
    let mut source = followed(dir.path(), &["a"]);
    source.quiet = Duration::from_secs(3600);
    assert_eq!(source.discover().unwrap(), ["a"]);
    let mut reader = source.open("a", &at(0)).unwrap();
    fs::rename(dir.path().join("a"), dir.path().join("old")).unwrap();
    append(dir.path().join("a"), "");
    assert_eq!(source.discover().unwrap(), ["a#2"]);
    assert_eq!(news(reader.as_mut()), (vec![seen(0, "1")], Progress::CaughtUp));
    append(dir.path().join("old"), "late\n");
    assert_eq!(news(reader.as_mut()), (vec![seen(2, "late")], Progress::CaughtUp));
}

#[test]
fn a_file_that_is_renamed_within_the_glob_is_not_read_again() {
    let dir = files(&[("app.log", b"1\n")]);
    let mut source = followed(dir.path(), &["app.log*"]);
    assert_eq!(source.discover().unwrap(), ["app.log"]);
    let mut first = source.open("app.log", &at(0)).unwrap();
    for n in [2, 3] {
        for old in (1..n - 1).rev() {
            let name = |n| dir.path().join(format!("app.log.{n}"));
            fs::rename(name(old), name(old + 1)).unwrap();
        }
        fs::rename(dir.path().join("app.log"), dir.path().join("app.log.1")).unwrap();
        append(dir.path().join("app.log"), "new\n");
        assert_eq!(source.discover().unwrap(), [format!("app.log#{n}")]);
    }
    append(dir.path().join("app.log.2"), "2\n");
    assert_eq!(news(first.as_mut()), (vec![seen(0, "1"), seen(2, "2")], Progress::CaughtUp));
}

#[test]
fn a_file_that_is_cut_and_written_anew_is_a_new_partition() {
    let dir = files(&[("a", b"1\n2\n3\nhalf")]);
    let mut source = followed(dir.path(), &["a"]);
    assert_eq!(source.discover().unwrap(), ["a"]);
    let mut first = source.open("a", &at(0)).unwrap();
    assert_eq!(news(first.as_mut()).0.len(), 3);
    fs::write(dir.path().join("a"), b"new\n").unwrap();
    assert_eq!(news(first.as_mut()), (vec![seen(6, "half")], Progress::End));
    assert_eq!(news(first.as_mut()), (vec![], Progress::End));
    assert_eq!(source.discover().unwrap(), ["a#2"]);
    assert_eq!(news(source.open("a#2", &at(0)).unwrap().as_mut()).0, [seen(0, "new")]);
}

#[test]
fn a_deleted_file_ends() {
    let dir = files(&[("a", b"1\n")]);
    let source = followed(dir.path(), &["a"]);
    let mut reader = source.open("a", &at(0)).unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    let (records, progress, _) = drain(reader.as_mut(), 100).unwrap();
    assert_eq!((records, progress), (vec![seen(0, "1")], Progress::End));
}

#[test]
fn a_file_renamed_between_discovery_and_opening_is_read_all_the_same() {
    let dir = files(&[("a", b"1\n")]);
    let mut source = followed(dir.path(), &["a"]);
    assert_eq!(source.discover().unwrap(), ["a"]);
    fs::rename(dir.path().join("a"), dir.path().join("old")).unwrap();
    append(dir.path().join("a"), "2\n");
    assert_eq!(news(source.open("a", &at(0)).unwrap().as_mut()).0, [seen(0, "1")]);
    let error = source.open("a", &at(0)).err().expect("the path leads elsewhere");
    assert!(matches!(error, SourceError::Changed { .. }), "{error:?}");
}

#[test]
fn two_paths_to_one_file_are_one_partition() {
    let dir = files(&[("2024.log", b"1\n")]);
    std::os::unix::fs::symlink(dir.path().join("2024.log"), dir.path().join("current.log")).unwrap();
    let mut source = followed(dir.path(), &["*.log"]);
    assert_eq!(source.discover().unwrap(), ["2024.log"]);
}

#[test]
fn compressed_files_are_read_to_their_end_and_not_followed() {
    let dir = files(&[("a.gz", &gzip(b"1\nlast")), ("b", b"2\n")]);
    let mut source = followed(dir.path(), &["*"]);
    assert_eq!(source.discover().unwrap(), ["a.gz", "b"]);
    let mut reader = source.open("a.gz", &at(0)).unwrap();
    assert_eq!(news(reader.as_mut()), (vec![seen(0, "1"), seen(2, "last")], Progress::End));
}

#[test]
fn a_restart_goes_on_from_an_offset() {
    let dir = files(&[("a", b"1\n2\n")]);
    let source = followed(dir.path(), &["a"]);
    let mut reader = source.open("a", &at(2)).unwrap();
    assert_eq!(news(reader.as_mut()), (vec![seen(2, "2")], Progress::CaughtUp));
}
