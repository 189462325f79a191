//! Going on from bookmarks: no gap, no duplicate, and no reading of what is not the file that it was.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::source::Known;

type Books = BTreeMap<String, Bookmark>;

/// A run of the source: what was known is restored, what is new is found.
struct Run {
    source: FileSource,
    readers: BTreeMap<String, Box<dyn PartitionReader>>,
    books: Books,
    records: Vec<(String, Seen)>,
}

fn known(books: &Books) -> Vec<Known> {
    books.iter().map(|(name, bookmark)| Known { name: name.clone(), bookmark: bookmark.clone() }).collect()
}

impl Run {
    fn start(dir: &Path, patterns: &[&str], follow: bool, books: &Books) -> Result<Run, SourceError> {
        Run::start_skipping(dir, patterns, follow, books, false)
    }

    fn start_skipping(
        dir: &Path,
        patterns: &[&str],
        follow: bool,
        books: &Books,
        skip_lost: bool,
    ) -> Result<Run, SourceError> {
        let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
        let mut source = open(&patterns, dir, follow, MIB)?;
        source.quiet = Duration::ZERO;
        source.restore(&known(books), skip_lost)?;
        let mut books = books.clone();
        books.extend(source.discover()?.into_iter().map(|name| (name, Bookmark::default())));
        Ok(Run { source, readers: BTreeMap::new(), books, records: Vec::new() })
    }

    /// Reads everything that is there, or `batches` of each partition; moves the bookmarks.
    fn read(&mut self, max_bytes: usize, batches: usize) -> Result<(), SourceError> {
        self.books.extend(self.source.discover()?.into_iter().map(|name| (name, Bookmark::default())));
        for (name, bookmark) in &mut self.books {
            if !self.readers.contains_key(name) {
                self.readers.insert(name.clone(), self.source.open(name, bookmark)?);
            }
            let reader = self.readers.get_mut(name).unwrap();
            for _ in 0..batches {
                let mut batch = RawBatch::default();
                let progress = reader.poll(&mut batch, max_bytes)?;
                let mut seen = Vec::new();
                take(&batch, &mut seen);
                let idle = seen.is_empty() && progress == Progress::CaughtUp;
                self.records.extend(seen.into_iter().map(|seen| (name.clone(), seen)));
                assert!(batch.next_offset >= bookmark.offset);
                *bookmark = Bookmark { offset: batch.next_offset, mark: batch.mark };
                if idle || progress == Progress::End {
                    break;
                }
            }
        }
        Ok(())
    }

    fn texts(&self) -> Vec<String> {
        let text = |(name, (_, payload, _)): &(String, Seen)| format!("{name} {}", String::from_utf8_lossy(payload));
        self.records.iter().map(text).collect()
    }
}

/// Reads all that is there in a run of its own.
fn run(dir: &Path, patterns: &[&str], follow: bool, books: &mut Books) -> Result<Vec<String>, SourceError> {
    let mut run = Run::start(dir, patterns, follow, books)?;
    run.read(1 << 16, usize::MAX)?;
    books.clone_from(&run.books);
    Ok(run.texts())
}

fn reason(result: Result<Vec<String>, SourceError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn a_file_that_has_grown_after_a_backfill_is_read_on() {
    let (mut books, dir) = (Books::new(), files(&[("a", b"1\n2\n")]));
    assert_eq!(run(dir.path(), &["a"], false, &mut books).unwrap(), ["a 1", "a 2"]);
    let before = books.clone();
    assert!(before["a"].mark.contains(r#""ended":true"#), "{before:?}");
    assert_eq!(run(dir.path(), &["a"], false, &mut books).unwrap(), [""; 0]);
    assert_eq!(books, before, "nothing has moved");
    append(dir.path().join("a"), "3\n");
    assert_eq!(run(dir.path(), &["a"], false, &mut books).unwrap(), ["a 3"]);
    append(dir.path().join("a"), "4\n");
    assert_eq!(run(dir.path(), &["a"], true, &mut books).unwrap(), ["a 4"], "also when it is followed from now on");
}

#[test]
fn law_5_a_file_that_is_not_what_it_was_is_refused() {
    let content: String = (0..2_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    for name in ["a", "a.gz", "a.zst"] {
        let pack = |content: &str| match name {
            "a" => content.as_bytes().to_vec(),
            "a.gz" => gzip(content.as_bytes()),
            _ => zstd(content.as_bytes()),
        };
        for follow in [false, true] {
            let (mut books, dir) = (Books::new(), files(&[(name, &pack(&content))]));
            run(dir.path(), &["a*"], follow, &mut books).unwrap();
            let mut now = |content: String| {
                fs::write(dir.path().join(name), pack(&content)).unwrap();
                reason(run(dir.path(), &["a*"], follow, &mut books))
            };
            let offset = content.len();
            let shorter = now(content[..offset - 1].to_owned());
            assert!(shorter.contains(&format!("up to offset {offset}")) && shorter.contains(name), "{shorter}");
            assert!(shorter.contains("it has ") || shorter.contains("its content ends before that"), "{shorter}");
            let head = now(content.replacen("0", "9", 1));
            assert!(head.contains("its first 4096 bytes are others"), "{head}");
            let tail = now(format!("{}8}}\n", &content[..offset - 3]));
            assert!(tail.contains("the last 4096 bytes before the offset are others"), "{tail}");
            fs::write(dir.path().join(name), pack(&format!("{content}more\n"))).unwrap();
            assert_eq!(run(dir.path(), &["a*"], follow, &mut books).unwrap(), [format!("{name} more")]);
        }
    }
}

#[test]
fn a_last_line_without_an_end_that_goes_on_after_it_was_a_record_is_refused() {
    for (name, member) in [("a", false), ("a.gz", true)] {
        for (more, accepted) in [("4\n", None), ("\n4\n", Some("4")), ("\r\n4\n", Some("4")), ("\r4\n", None)] {
            let pack = |text: &str| if member { gzip(text.as_bytes()) } else { text.as_bytes().to_vec() };
            let (mut books, dir) = (Books::new(), files(&[(name, &pack("1\n23"))]));
            assert_eq!(run(dir.path(), &["a*"], false, &mut books).unwrap().len(), 2);
            assert_eq!(run(dir.path(), &["a*"], false, &mut books).unwrap().len(), 0);
            let whole = [pack("1\n23"), pack(more)].concat();
            fs::write(dir.path().join(name), whole).unwrap();
            let result = run(dir.path(), &["a*"], false, &mut books);
            match accepted {
                Some(text) => assert_eq!(result.unwrap(), [format!("{name} {text}")]),
                None => assert!(reason(result).contains("its last line had no end")),
            }
        }
    }
}

#[test]
fn a_line_that_is_completed_while_the_file_is_followed_is_one_record_over_a_restart() {
    let (mut books, dir) = (Books::new(), files(&[("a", b"1\n2")]));
    assert_eq!(run(dir.path(), &["a"], true, &mut books).unwrap(), ["a 1"]);
    append(dir.path().join("a"), "3\n");
    assert_eq!(run(dir.path(), &["a"], true, &mut books).unwrap(), ["a 23"]);
}

#[test]
fn a_partition_that_is_gone_is_refused_unless_it_was_read_to_its_end() {
    let (mut books, dir) = (Books::new(), files(&[("a", b"1\n"), ("b", b"2\n")]));
    run(dir.path(), &["a", "b"], false, &mut books).unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    assert_eq!(run(dir.path(), &["a", "b"], false, &mut books).unwrap(), [""; 0], "it has ended");

    for follow in [false, true] {
        let (mut books, dir) = (Books::new(), files(&[("a", b"1\n2\n"), ("b", b"2\n")]));
        let mut first = Run::start(dir.path(), &["*"], follow, &books).unwrap();
        first.read(1, 1).unwrap();
        books.clone_from(&first.books);
        assert_eq!(books["a"].offset, 2);
        fs::remove_file(dir.path().join("a")).unwrap();
        let error = run(dir.path(), &["*"], follow, &mut books).unwrap_err();
        assert!(matches!(&error, SourceError::Lost { partition, offset: 2, .. } if partition == "a"), "{error:?}");
        assert!(error.to_string().contains("--skip-lost"), "{error}");

        let removed = run(dir.path(), &["b"], follow, &mut books.clone());
        assert!(removed.is_ok(), "its path was removed from the pipeline: {removed:?}");

        let mut skipped = Run::start_skipping(dir.path(), &["*"], follow, &books, true).unwrap();
        skipped.read(100, usize::MAX).unwrap();
        assert!(skipped.books["a"].mark.contains("ended"));
        books.clone_from(&skipped.books);
        assert!(run(dir.path(), &["*"], follow, &mut books).is_ok(), "once is enough");
        fs::write(dir.path().join("a"), "1\n2\n").unwrap();
        assert_eq!(run(dir.path(), &["*"], follow, &mut books).unwrap(), ["a 2"], "it came back");
    }
}

#[test]
fn a_pattern_may_match_nothing_once_its_files_were_read() {
    let (mut books, dir) = (Books::new(), files(&[("in/a", b"1\n")]));
    run(dir.path(), &["in/*"], false, &mut books).unwrap();
    fs::remove_file(dir.path().join("in/a")).unwrap();
    assert_eq!(run(dir.path(), &["in/*"], false, &mut books).unwrap(), [""; 0]);
    let error = run(dir.path(), &["in/*", "other/*"], false, &mut books).unwrap_err();
    assert!(matches!(&error, SourceError::NoMatch { pattern } if pattern.contains("other")), "{error:?}");
}

#[test]
fn files_that_were_rotated_while_nobody_looked_are_the_partitions_that_they_were() {
    for pattern in ["app.log*", "app.log"] {
        let (mut books, dir) = (Books::new(), files(&[("app.log", b"1\n")]));
        let path = |name: &str| dir.path().join(name);
        assert_eq!(run(dir.path(), &[pattern], true, &mut books).unwrap(), ["app.log 1"]);
        append(path("app.log"), "2\n");
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        append(path("app.log"), "3\n");
        assert_eq!(run(dir.path(), &[pattern], true, &mut books).unwrap(), ["app.log 2", "app.log#2 3"], "{pattern}");
        fs::rename(path("app.log.1"), path("app.log.2")).unwrap();
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        append(path("app.log.1"), "4\n");
        append(path("app.log"), "5\n");
        assert_eq!(run(dir.path(), &[pattern], true, &mut books).unwrap(), ["app.log#2 4", "app.log#3 5"], "{pattern}");
    }
}

#[test]
fn a_copied_directory_is_known_by_its_content() {
    let (mut books, dir) = (Books::new(), files(&[("app.log", b"1\n")]));
    run(dir.path(), &["app.log*"], true, &mut books).unwrap();
    fs::rename(dir.path().join("app.log"), dir.path().join("app.log.1")).unwrap();
    append(dir.path().join("app.log"), "2\n");
    run(dir.path(), &["app.log*"], true, &mut books).unwrap();

    let copy = files(&[("app.log", b"2\n3\n"), ("app.log.1", b"1\n"), ("app.log.x", b"new\n")]);
    let records = run(copy.path(), &["app.log*"], true, &mut books).unwrap();
    assert_eq!(records, ["app.log#2 3", "app.log.x new"]);
}

#[test]
fn another_file_at_the_path_of_one_that_goes_on_is_not_taken_for_it() {
    let (mut books, dir) = (Books::new(), files(&[("a", b"1\n2\n")]));
    run(dir.path(), &["a"], true, &mut books).unwrap();
    append(dir.path().join("b"), "other\ncontent\n");
    fs::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
    let error = run(dir.path(), &["a"], true, &mut books).unwrap_err();
    assert!(error.to_string().contains("is another file now, of 14 bytes"), "{error}");
}

#[test]
fn a_file_that_was_cut_keeps_its_two_partitions_over_a_restart() {
    let dir = files(&[("a", b"1\n2\n3\n")]);
    let mut first = Run::start(dir.path(), &["a"], true, &Books::new()).unwrap();
    let mut reader = first.source.open("a", &Bookmark::default()).unwrap();
    drain(reader.as_mut(), 100).unwrap();
    fs::write(dir.path().join("a"), "4\n").unwrap();
    let mut batch = RawBatch::default();
    assert_eq!(reader.poll(&mut batch, 100).unwrap(), Progress::End);
    let mut books = Books::from([("a".to_owned(), Bookmark { offset: batch.next_offset, mark: batch.mark })]);
    assert_eq!(first.source.discover().unwrap(), ["a#2"]);
    books.insert("a#2".to_owned(), Bookmark::default());
    assert_eq!(run(dir.path(), &["a"], true, &mut books).unwrap(), ["a#2 4"]);
    append(dir.path().join("a"), "5\n");
    assert_eq!(run(dir.path(), &["a"], true, &mut books).unwrap(), ["a#2 5"]);
}

#[test]
fn a_replica_adopts_what_another_process_found() {
    let dir = files(&[("app.log", b"1\n"), ("old.gz", &gzip(b"0\n"))]);
    let path = |name: &str| dir.path().join(name);
    let make = || {
        let mut source = open(&["*.log".to_owned(), "*.gz".to_owned()], dir.path(), true, MIB).unwrap();
        source.quiet = Duration::ZERO;
        source.restore(&[], false).unwrap();
        source
    };
    let (mut leader, mut replica) = (make(), make());
    for name in leader.discover().unwrap() {
        replica.adopt(&name).unwrap();
        replica.adopt(&name).unwrap();
    }
    let mut first = replica.open("app.log", &Bookmark::default()).unwrap();
    assert_eq!(drain(first.as_mut(), 100).unwrap().0, [seen(0, "1")]);
    assert_eq!(read(&replica, "old.gz", 0, 100).unwrap(), [seen(0, "0")]);

    fs::rename(path("app.log"), path("rotated")).unwrap();
    append(path("app.log"), "2\n");
    append(path("rotated"), "last\n");
    assert_eq!(leader.discover().unwrap(), ["app.log#2"]);
    replica.adopt("app.log#2").unwrap();
    let mut second = replica.open("app.log#2", &Bookmark::default()).unwrap();
    assert_eq!(drain(second.as_mut(), 100).unwrap().0, [seen(0, "2")]);
    let (records, progress, _) = drain(first.as_mut(), 100).unwrap();
    assert_eq!((records, progress), (vec![seen(2, "last")], Progress::End), "it was told that it was rotated away");
    assert!(matches!(replica.adopt("app.log#3"), Err(SourceError::Adopted { .. })));
    assert!(matches!(replica.adopt("missing.log"), Err(SourceError::Io { .. })));
}

#[test]
fn a_bookmark_with_a_mark_of_something_else_is_refused() {
    let dir = files(&[("a", b"1\n")]);
    let books = Books::from([("a".to_owned(), Bookmark { offset: 2, mark: "junk".to_owned() })]);
    let error = Run::start(dir.path(), &["a"], false, &books).err().unwrap();
    assert!(error.to_string().contains("the mark of its bookmark can not be parsed"), "{error}");
}

#[derive(Clone, Debug)]
enum Event {
    Append(Vec<u16>),
    Rotate,
    Restart,
    Read { max_bytes: usize, batches: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => prop::collection::vec(0..9000u16, 1..5).prop_map(Event::Append),
        1 => Just(Event::Rotate),
        2 => Just(Event::Restart),
        3 => (1..20_000usize, 1..6usize).prop_map(|(max_bytes, batches)| Event::Read { max_bytes, batches }),
    ];
    prop::collection::vec(event, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_happens_to_a_log_each_line_is_read_once(events in events()) {
        let dir = files(&[("app.log", b"")]);
        let (mut lines, mut rotated) = (Vec::new(), 0);
        let mut read = Vec::new();
        let mut run = Run::start(dir.path(), &["app.log*"], true, &Books::new()).unwrap();
        for event in events {
            match event {
                Event::Append(lengths) => {
                    for length in lengths {
                        let line = format!("{} {}", lines.len(), "x".repeat(length.into()));
                        append(dir.path().join("app.log"), &format!("{line}\n"));
                        lines.push(line);
                    }
                }
                Event::Rotate => {
                    rotated += 1;
                    let to = dir.path().join(format!("app.log.{rotated}"));
                    fs::rename(dir.path().join("app.log"), to).unwrap();
                    append(dir.path().join("app.log"), "");
                }
                Event::Restart => {
                    read.append(&mut run.records);
                    run = Run::start(dir.path(), &["app.log*"], true, &run.books).unwrap();
                }
                Event::Read { max_bytes, batches } => run.read(max_bytes, batches).unwrap(),
            }
        }
        read.append(&mut run.records);
        let mut run = Run::start(dir.path(), &["app.log*"], true, &run.books).unwrap();
        run.read(1 << 16, usize::MAX).unwrap();
        read.append(&mut run.records);
        let mut read: Vec<String> = read.into_iter().map(|(_, seen)| String::from_utf8(seen.1).unwrap()).collect();
        let number = |line: &String| line.split(' ').next().unwrap().parse::<usize>().unwrap();
        read.sort_by_key(number);
        prop_assert_eq!(read, lines);
    }
}
