//! Documents alone, in one file: the dead letters.

use super::super::documents::DocumentsWriter;
use super::*;

fn opened(path: &Path) -> DocumentsWriter {
    DocumentsWriter::open(path, None).unwrap()
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_fill_replaces_the_file_and_later_epochs_are_appended() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/dead-letters.ndjson");
    let mut writer = opened(&path);
    epoch(&mut writer, 1, &[upsert("a", "{\"n\":1}"), upsert("b", "{\n\"n\":2}")], Sweep::Older);
    assert_eq!(content(&path), "{\"n\":1}\n{ \"n\":2}\n");
    epoch(&mut writer, 2, &[upsert("c", "{\"n\":3}")], Sweep::Keep);
    epoch(&mut writer, 3, &[delete("a")], Sweep::Keep);
    assert_eq!(content(&path), "{\"n\":1}\n{ \"n\":2}\n{\"n\":3}\n");
    assert_eq!(writer.durable_upper(), 4);
    writer.finish().unwrap();

    let mut writer = opened(&path);
    epoch(&mut writer, 9, &[upsert("d", "{\"n\":4}")], Sweep::Older);
    writer.finish().unwrap();
    assert_eq!(content(&path), "{\"n\":4}\n");
    assert_eq!(names(path.parent().unwrap()), ["dead-letters.ndjson"]);
}

#[test]
fn an_epoch_is_not_shown_before_it_is_closed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let mut writer = opened(&path);
    writer.write(1, &mut vec![upsert("a", "1")]).unwrap();
    assert!(!path.exists());
    writer.write(1, &mut vec![upsert("b", "2")]).unwrap();
    writer.close(1, Sweep::Keep).unwrap();
    assert_eq!(content(&path), "1\n2\n");
    writer.write(2, &mut vec![upsert("c", "3")]).unwrap();
    writer.finish().unwrap();
    drop(writer);
    assert_eq!((content(&path).as_str(), names(dir.path())), ("1\n2\n", vec!["letters".to_owned()]));
}

#[test]
fn a_fill_without_rows_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    epoch(&mut opened(&path), 1, &[upsert("a", "1")], Sweep::Older);
    let mut writer = opened(&path);
    writer.close(2, Sweep::Older).unwrap();
    assert_eq!(names(dir.path()), ["DRAFT"; 0]);
    writer.close(3, Sweep::Older).unwrap();
    epoch(&mut writer, 4, &[upsert("b", "2")], Sweep::Keep);
    assert_eq!(content(&path), "2\n");
}

#[test]
fn what_a_crash_left_is_removed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let whole = format!("{}\n", "x".repeat(200_000));
    fs::write(&path, format!("1\n{whole}{{\"unfinished\":\"{}", "y".repeat(150_000))).unwrap();
    fs::write(dir.path().join("letters.0123456789abcdef.tmp"), "x").unwrap();
    fs::write(dir.path().join("other.0123456789abcdef.tmp"), "x").unwrap();
    drop(opened(&path));
    assert_eq!(content(&path), format!("1\n{whole}"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    fs::write(&path, "unfinished from the start").unwrap();
    drop(opened(&path));
    assert_eq!(content(&path), "");
}

/// A run that begins at a mark.
fn resumed(path: &Path, mark: &str) -> DocumentsWriter {
    DocumentsWriter::open(path, Some(mark)).unwrap()
}

#[test]
fn the_mark_is_the_length_of_the_file_as_of_the_last_closed_epoch() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let mut writer = opened(&path);
    assert_eq!(writer.mark().unwrap(), "0");
    epoch(&mut writer, 1, &[upsert("a", "123")], Sweep::Keep);
    assert_eq!((writer.mark().unwrap().as_str(), writer.durable_upper()), ("4", 2));
    writer.write(3, &mut vec![upsert("b", "456")]).unwrap();
    assert_eq!(writer.mark().unwrap(), "4");
    writer.close(3, Sweep::Keep).unwrap();
    assert_eq!((writer.mark().unwrap().as_str(), writer.durable_upper()), ("8", 4));
    drop(writer);
    assert_eq!(opened(&path).mark().unwrap(), "8", "of a file that is there, from the start");
}

#[test]
fn what_lies_beyond_the_mark_is_cut_and_comes_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let mut writer = resumed(&path, "0");
    epoch(&mut writer, 1, &[upsert("a", "123")], Sweep::Keep);
    let mark = writer.mark().unwrap();
    epoch(&mut writer, 2, &[upsert("b", "456"), upsert("c", "789")], Sweep::Keep);
    drop(writer);
    let mut writer = resumed(&path, &mark);
    assert_eq!((content(&path).as_str(), writer.mark()), ("123\n", Some(mark)));
    epoch(&mut writer, 2, &[upsert("b", "456"), upsert("c", "789")], Sweep::Keep);
    assert_eq!(content(&path), "123\n456\n789\n");
    drop(writer);
    // Nothing was recorded of the whole file.
    assert_eq!(resumed(&path, "0").mark().unwrap(), "0");
    assert_eq!(names(dir.path()), [""; 0], "a file that is there has something to say");
}

#[test]
fn a_file_that_was_cut_or_removed_by_hand_is_gone_on_with() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let mut writer = resumed(&path, "400");
    assert_eq!(writer.mark().unwrap(), "0");
    epoch(&mut writer, 5, &[upsert("a", "123")], Sweep::Keep);
    assert_eq!((content(&path).as_str(), writer.mark().unwrap().as_str()), ("123\n", "4"));
    // And in the middle of a run.
    fs::remove_file(&path).unwrap();
    epoch(&mut writer, 6, &[upsert("b", "45678")], Sweep::Keep);
    assert_eq!((content(&path).as_str(), writer.mark().unwrap().as_str()), ("45678\n", "6"));
}

#[test]
fn a_file_that_has_no_line_end_at_the_mark_is_not_cut() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    fs::write(&path, "someone's own lines\nmore of them\n").unwrap();
    assert_eq!(resumed(&path, "8").mark().unwrap(), "33");
    assert_eq!(content(&path), "someone's own lines\nmore of them\n");
}

#[test]
fn a_mark_that_is_none_is_an_error_that_quotes_it() {
    let dir = TempDir::new().unwrap();
    let error = open_documents(&dir.path().join("letters"), Some("x7")).err().expect("no mark");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("\"x7\""), "{error}");
}

#[test]
fn a_run_that_another_one_has_replaced_adds_nothing() {
    for sweep in [Sweep::Keep, Sweep::Older] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("letters");
        let mut first = opened(&path);
        epoch(&mut first, 1, &[upsert("a", "1")], Sweep::Keep);
        first.write(2, &mut vec![upsert("b", "late")]).unwrap();
        let mut second = resumed(&path, &first.mark().unwrap());
        let error = first.close(2, sweep).expect_err("fenced");
        assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
        let error = first.write(3, &mut vec![upsert("c", "late")]).expect_err("fenced");
        assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
        epoch(&mut second, 2, &[upsert("b", "2")], Sweep::Keep);
        assert_eq!(content(&path), "1\n2\n");
    }
}

#[test]
fn an_idle_run_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let mut writer = resumed(&path, "0");
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    let state = |path: &Path| (names(dir.path()), path.metadata().unwrap().modified().unwrap());
    let before = state(&path);
    assert_eq!(before.0, ["letters"], "no draft either");
    for _ in 0..3 {
        assert_eq!(writer.idle().unwrap(), None);
    }
    writer.close(2, Sweep::Keep).unwrap();
    assert_eq!(state(&path), before);
}

#[test]
fn dead_letters_are_written_with_all_that_is_known_of_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letters");
    let letter = DeadLetter {
        node: "annotations".into(),
        origin: "a.ndjson".into(),
        offset: 120,
        reason: "it is no JSON".to_owned(),
        payload: (*b"{\"cut\n").into(),
        payload_bytes: 6,
    };
    epoch(&mut opened(&path), 1, &[Change::Upsert(Row::DeadLetter(Arc::new(letter)))], Sweep::Older);
    let letter: serde_json::Value = serde_json::from_str(&content(&path)).unwrap();
    assert_eq!(letter["origin"], "a.ndjson");
    assert_eq!(letter["payload"], "{\"cut\n");
}

#[test]
fn a_link_is_followed_and_stays() {
    let dir = TempDir::new().unwrap();
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    epoch(&mut opened(&link), 1, &[upsert("a", "1")], Sweep::Older);
    assert!(link.is_symlink());
    assert_eq!(content(&target), "1\n");
}

#[test]
fn what_is_no_file_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    for path in [dir.path(), Path::new("/dev/null")] {
        let error = open_documents(path, None).err().expect("no file");
        assert!(error.to_string().contains("could not open file"), "{error}");
    }
    assert!(!Path::new("/dev/null").is_file());
}
