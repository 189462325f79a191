//! Which files are partitions, and what their names are.

use std::os::unix::fs::symlink;

use super::*;

fn names(dir: &Path, patterns: &[&str]) -> Vec<String> {
    source(dir, patterns, false).unwrap().discover().unwrap()
}

#[test]
fn partitions_are_the_matching_files_in_the_order_of_their_paths() {
    let dir =
        files(&[("b/2.ndjson", b""), ("b/1.ndjson", b""), ("a/3.ndjson", b""), ("a/x.txt", b""), ("0.ndjson", b"")]);
    assert_eq!(names(dir.path(), &["b/*.ndjson", "a/*.ndjson"]), ["a/3.ndjson", "b/1.ndjson", "b/2.ndjson"]);
    assert_eq!(names(dir.path(), &["**/*.ndjson"]), ["0.ndjson", "a/3.ndjson", "b/1.ndjson", "b/2.ndjson"]);
}

#[test]
fn a_file_that_matches_twice_is_one_partition() {
    let dir = files(&[("a.ndjson", b""), ("b.ndjson", b"")]);
    assert_eq!(names(dir.path(), &["./a.ndjson", "*.ndjson", "a.ndjson"]), ["a.ndjson", "b.ndjson"]);
}

#[test]
fn a_file_outside_of_the_base_has_its_whole_path_as_its_name() {
    let (dir, other) = (files(&[]), files(&[("a.ndjson", b"1")]));
    let path = other.path().join("a.ndjson").to_str().unwrap().to_owned();
    let mut source = source(dir.path(), &[&path], false).unwrap();
    assert_eq!(source.discover().unwrap(), [path.as_str()]);
    assert_eq!(read(&source, &path, 0, 100).unwrap(), [seen(0, "1")]);
}

#[test]
fn directories_and_hidden_files_do_not_match_a_glob() {
    let dir = files(&[("a", b""), ("sub/b", b""), (".a.swp", b"")]);
    assert_eq!(names(dir.path(), &["*"]), ["a"]);
}

#[test]
fn brackets_are_part_of_a_name_if_a_file_or_the_base_is_called_so() {
    let dir = files(&[("[x]/a[1].ndjson", b""), ("[x]/a1.ndjson", b"")]);
    let base = dir.path().join("[x]");
    assert_eq!(names(&base, &["a[1].ndjson"]), ["a[1].ndjson"]);
    assert_eq!(names(&base, &["a*.ndjson"]), ["a1.ndjson", "a[1].ndjson"]);
}

#[test]
fn a_pattern_without_a_match_is_an_error_that_shows_the_whole_path() {
    let dir = files(&[("sub/a", b"")]);
    for pattern in ["missing.ndjson", "*.ndjson", "missing/*", "*"] {
        let error = source(dir.path(), &["sub/a", pattern], false).err().expect("nothing matches");
        let SourceError::NoMatch { pattern: shown } = &error else { panic!("{error:?}") };
        assert_eq!(Path::new(shown), dir.path().join(pattern));
    }
}

#[test]
fn a_pattern_that_can_not_be_parsed_is_an_error() {
    let dir = files(&[]);
    let error = source(dir.path(), &["a[.ndjson"], false).err().expect("no pattern");
    assert!(matches!(&error, SourceError::Pattern { pattern, .. } if pattern == "a[.ndjson"), "{error:?}");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_an_error() {
    let dir = files(&[("sub/a", b"")]);
    let error = source(dir.path(), &["sub"], false).err().expect("a directory");
    assert!(matches!(&error, SourceError::Io { path, .. } if path.ends_with("sub")), "{error:?}");
}

#[test]
fn a_file_that_can_not_be_opened_is_an_error_that_names_it() {
    let dir = files(&[("a", b"")]);
    symlink(dir.path().join("missing"), dir.path().join("broken")).unwrap();
    let error = source(dir.path(), &["*"], false).err().expect("a link to nothing");
    assert!(matches!(&error, SourceError::Io { path, .. } if path.ends_with("broken")), "{error:?}");

    let mut source = source(dir.path(), &["a"], false).unwrap();
    assert_eq!(source.discover().unwrap(), ["a"]);
    fs::remove_file(dir.path().join("a")).unwrap();
    let error = source.open("a", &at(0)).err().expect("deleted");
    assert!(matches!(&error, SourceError::Io { action: "open", path, .. } if path.ends_with("a")), "{error:?}");
}

#[test]
fn a_file_shorter_than_the_offset_to_go_on_from_has_changed() {
    let dir = files(&[("a", b"1\n2\n"), ("a.gz", &gzip(b"1\n2\n")), ("a.zst", &zstd(b"1\n2\n"))]);
    let source = source(dir.path(), &["*"], false).unwrap();
    for name in ["a", "a.gz", "a.zst"] {
        assert_eq!(read(&source, name, 4, 10).unwrap(), []);
        let error = source.open(name, &at(5)).err().expect("too short");
        assert!(matches!(&error, SourceError::Changed { .. }), "{error:?}");
    }
}

#[test]
fn every_partition_is_reported_once() {
    let dir = files(&[("a", b"")]);
    let mut source = source(dir.path(), &["*"], false).unwrap();
    assert_eq!(source.discover().unwrap(), ["a"]);
    assert_eq!(source.discover().unwrap(), [""; 0]);
    assert!(!source.is_unbounded());
}
