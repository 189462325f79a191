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
