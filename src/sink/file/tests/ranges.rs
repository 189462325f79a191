//! Change records in files of epoch ranges.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn opened(dir: &TempDir, interval: Duration) -> FileWriter {
    FileWriter::open("changes", dir.path(), interval).unwrap()
}

fn range(first: u64, last: u64) -> String {
    Range { first, last, fill: false }.name()
}

fn fill(epoch: u64) -> String {
    Range { first: epoch, last: epoch, fill: true }.name()
}

/// The state by the rule of the module's documentation, with nothing of the writer's code.
pub(in crate::sink) fn fold(directory: &Path) -> BTreeMap<String, String> {
    let mut files = names(directory);
    files.retain(|name| name.ends_with(".ndjson"));
    let newest_fill = files.iter().rposition(|name| name.ends_with(".fill.ndjson")).unwrap_or(0);
    let mut state = BTreeMap::new();
    let mut last = 0;
    for name in &files[newest_fill..] {
        for line in fs::read_to_string(directory.join(name)).unwrap().lines() {
            let change: serde_json::Value = serde_json::from_str(line).unwrap();
            let epoch = change["epoch"].as_u64().unwrap();
            assert!(epoch >= last, "epochs are in order");
            last = epoch;
            let key = change["key"].to_string();
            match change["op"].as_str().unwrap() {
                "upsert" => drop(state.insert(key, change["document"].to_string())),
                "delete" => drop(state.remove(&key)),
                other => panic!("{other}"),
            }
        }
    }
    state
}

#[test]
fn a_change_is_a_line_with_key_epoch_operation_and_document() {
    let dir = TempDir::new().unwrap();
    epoch(&mut opened(&dir, HOUR), 7, &[upsert("a\"b", "{\"n\":9007199254740993}"), delete("c")], Sweep::Keep);
    let text = fs::read_to_string(dir.path().join(range(7, 7))).unwrap();
    let expected = "{\"key\":[\"a\\\"b\"],\"epoch\":7,\"op\":\"upsert\",\"document\":{\"n\":9007199254740993}}\n\
        {\"key\":[\"c\"],\"epoch\":7,\"op\":\"delete\"}\n";
    assert_eq!(text, expected);
}

#[test]
fn a_document_that_came_with_line_breaks_stays_on_one_line() {
    let dir = TempDir::new().unwrap();
    epoch(&mut opened(&dir, HOUR), 1, &[upsert("a", "{\r\n  \"x\":\n1}")], Sweep::Keep);
    assert_eq!(fold(dir.path()), BTreeMap::from([("[\"a\"]".to_owned(), "{\"x\":1}".to_owned())]));
}

#[test]
fn a_file_appears_when_its_epoch_is_closed() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, Duration::ZERO);
    writer.write(7, &mut vec![upsert("a", "1")]).unwrap();
    writer.write(7, &mut vec![upsert("b", "2")]).unwrap();
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec!["DRAFT".to_owned()], 0));
    writer.close(7, Sweep::Keep).unwrap();
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![range(7, 7)], 8));
    assert_eq!(fold(dir.path()).len(), 2);
}

#[test]
fn epochs_within_the_interval_share_a_file() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 3, &[upsert("b", "2")], Sweep::Keep);
    epoch(&mut writer, 5, &[delete("a")], Sweep::Keep);
    let expected = vec![range(1, 1), "DRAFT".to_owned()];
    assert_eq!((names(dir.path()), writer.durable_upper()), (expected, 2));
    let wait = writer.idle().unwrap().expect("epochs wait");
    assert!(wait > HOUR / 2 && wait <= HOUR, "{wait:?}");

    writer.interval = Duration::ZERO;
    assert_eq!(writer.idle().unwrap(), None);
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![range(1, 1), range(3, 5)], 6));
    assert_eq!(writer.idle().unwrap(), None, "nothing waits any more");
}

#[test]
fn epochs_that_waited_long_enough_become_a_file_before_the_next_is_written() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 3, &[upsert("b", "2")], Sweep::Keep);
    writer.interval = Duration::ZERO;
    writer.write(5, &mut vec![upsert("c", "3")]).unwrap();
    assert_eq!(writer.durable_upper(), 4);
    writer.close(5, Sweep::Keep).unwrap();
    assert_eq!(names(dir.path()), [range(1, 1), range(3, 3), range(5, 5)]);
}

#[test]
fn an_epoch_that_is_being_written_is_not_shown_by_an_idle_moment() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 3, &[upsert("b", "2")], Sweep::Keep);
    writer.write(5, &mut vec![upsert("c", "3")]).unwrap();
    writer.interval = Duration::ZERO;
    assert_eq!(writer.idle().unwrap(), None);
    assert_eq!(writer.durable_upper(), 2);
    writer.close(5, Sweep::Keep).unwrap();
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![range(1, 1), range(3, 5)], 6));
}

#[test]
fn finishing_shows_what_was_closed_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 3, &[upsert("b", "2")], Sweep::Keep);
    writer.write(5, &mut vec![upsert("c", "3")]).unwrap();
    writer.finish().unwrap();
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![range(1, 1), range(3, 3)], 4));
    assert_eq!(fold(dir.path()).into_keys().collect::<Vec<_>>(), ["[\"a\"]", "[\"b\"]"]);
}

#[test]
fn a_fill_has_a_file_of_its_own_and_removes_what_is_older() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut writer, 3, &[upsert("b", "2")], Sweep::Keep);
    epoch(&mut writer, 5, &[upsert("c", "3")], Sweep::Older);
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![fill(5)], 6));
    assert_eq!(fold(dir.path()), BTreeMap::from([("[\"c\"]".to_owned(), "3".to_owned())]));
    epoch(&mut writer, 8, &[upsert("d", "4")], Sweep::Older);
    epoch(&mut writer, 9, &[upsert("e", "5")], Sweep::Keep);
    writer.finish().unwrap();
    assert_eq!(names(dir.path()), [fill(8), range(9, 9)]);
    assert_eq!(fold(dir.path()).len(), 2);
}

#[test]
fn a_fill_without_rows_is_an_empty_file() {
    let dir = TempDir::new().unwrap();
    epoch(&mut opened(&dir, HOUR), 1, &[upsert("a", "1")], Sweep::Keep);
    let mut writer = opened(&dir, HOUR);
    writer.close(4, Sweep::Older).unwrap();
    assert_eq!((names(dir.path()), writer.durable_upper()), (vec![fill(4)], 5));
    assert_eq!(fold(dir.path()), BTreeMap::new());
}

#[test]
fn epochs_go_on_above_those_in_the_names() {
    let dir = TempDir::new().unwrap();
    assert_eq!(open("changes", dir.path()).unwrap().above, 0);
    let mut writer = opened(&dir, Duration::ZERO);
    epoch(&mut writer, 4, &[], Sweep::Older);
    epoch(&mut writer, 9, &[upsert("a", "1")], Sweep::Keep);
    drop(writer);
    let opened = open("changes", dir.path()).unwrap();
    assert_eq!((opened.above, opened.writer.durable_upper()), (10, 10));
}

#[test]
fn drafts_that_a_crash_left_are_removed_and_other_files_stay() {
    let dir = TempDir::new().unwrap();
    for name in ["draft.0123456789abcdef.tmp", "draft.tmp", "draft.mine.tmp", "notes.ndjson"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let workshop = dir.path().join("draft.fedcba9876543210.tmp");
    fs::create_dir(&workshop).unwrap();
    fs::write(workshop.join("1"), "x").unwrap();
    drop(opened(&dir, HOUR));
    let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["draft.mine.tmp", "draft.tmp", ID, "notes.ndjson"]);
}

#[test]
fn files_that_a_crash_left_before_a_fill_are_removed() {
    let dir = TempDir::new().unwrap();
    for name in [fill(1), range(2, 4), fill(5), range(6, 8)] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    opened(&dir, HOUR).finish().unwrap();
    assert_eq!(names(dir.path()), [fill(5), range(6, 8)]);
}

/// The state after a second run has opened the directory, has written epoch 5, and the first one has been refused epoch
/// `late`; `idle` before that it had nothing in the making.
fn race(late: u64, idle: bool, sweep: Sweep) {
    let dir = TempDir::new().unwrap();
    let mut first = opened(&dir, HOUR);
    if idle {
        epoch(&mut first, 1, &[upsert("a", "1")], Sweep::Older);
    }
    let mut second = opened(&dir, HOUR);
    epoch(&mut second, 5, &[upsert("a", "2")], Sweep::Keep);
    let written = first.write(late, &mut vec![upsert("a", "late"), upsert("b", "late")]);
    let error = written.and_then(|()| first.close(late, sweep)).expect_err("another run writes");
    assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
    drop(first);
    epoch(&mut second, 6, &[upsert("c", "3")], Sweep::Keep);
    second.finish().unwrap();
    let expected = [("[\"a\"]", "2"), ("[\"c\"]", "3")].map(|(key, text)| (key.to_owned(), text.to_owned()));
    assert_eq!(fold(dir.path()), BTreeMap::from(expected));
}

#[test]
fn a_run_is_fenced_when_another_one_opens_the_directory() {
    for late in [4, 5, 9] {
        for idle in [false, true] {
            for sweep in [Sweep::Keep, Sweep::Older] {
                race(late, idle, sweep);
            }
        }
    }
}

#[test]
fn what_a_fenced_run_had_closed_and_not_shown_is_not_shown_any_more() {
    let dir = TempDir::new().unwrap();
    let mut first = opened(&dir, HOUR);
    epoch(&mut first, 1, &[upsert("a", "1")], Sweep::Keep);
    epoch(&mut first, 2, &[upsert("a", "2")], Sweep::Keep);
    let second = opened(&dir, HOUR);
    assert_eq!(second.durable_upper(), 2);
    first.interval = Duration::ZERO;
    for error in [first.idle().expect_err("fenced"), first.finish().expect_err("fenced")] {
        assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
    }
    assert_eq!(names(dir.path()), [range(1, 1), "DRAFT".to_owned()]);
}

#[test]
fn a_file_that_exists_is_not_replaced() {
    let dir = TempDir::new().unwrap();
    let mut writer = opened(&dir, HOUR);
    fs::write(dir.path().join(range(5, 5)), "someone else's").unwrap();
    writer.write(5, &mut vec![upsert("a", "1")]).unwrap();
    let error = writer.close(5, Sweep::Keep).expect_err("it exists");
    assert!(matches!(error, SinkError::Fenced { .. }), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join(range(5, 5))).unwrap(), "someone else's");
}

#[test]
fn a_directory_that_is_removed_in_a_run_is_an_error_and_the_next_run_makes_it_anew() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("changes");
    let before = open("changes", &path).unwrap().store.unwrap();
    let mut writer = FileWriter::open("changes", &path, HOUR).unwrap();
    epoch(&mut writer, 1, &[upsert("a", "1")], Sweep::Older);
    fs::remove_dir_all(&path).unwrap();
    let error = writer.write(2, &mut vec![upsert("b", "1")]).expect_err("it is gone");
    assert!(matches!(error, SinkError::Store { .. }), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("was removed or moved while it was in use"), "{cause}");
    drop(writer);
    let after = open("changes", &path).unwrap().store.unwrap();
    assert_ne!(after.id, before.id);
    assert_eq!(after.upper, 0);
}

#[test]
fn a_store_keeps_its_name_and_knows_its_upper() {
    let dir = TempDir::new().unwrap();
    let new = open("changes", dir.path()).unwrap().store.unwrap();
    assert_eq!((new.upper, new.id.len()), (0, 16));
    let mut writer = opened(&dir, HOUR);
    writer.write(7, &mut vec![upsert("a", "1")]).unwrap();
    drop(writer);
    assert_eq!(open("changes", dir.path()).unwrap().store, Some(new.clone()), "an unfinished fill is not in it");
    // It starts again, at the same epoch.
    epoch(&mut opened(&dir, HOUR), 7, &[upsert("a", "1")], Sweep::Older);
    let filled = open("changes", dir.path()).unwrap();
    assert_eq!((filled.above, filled.store), (8, Some(StoreState { upper: 8, ..new })));
    fs::write(dir.path().join(ID), "").unwrap();
    let error = open("changes", dir.path()).err().expect("it has no name");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("is empty"), "{error}");
}

#[test]
fn a_directory_that_can_not_be_made_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for path in ["file", "file/below"] {
        let error = open("changes", &dir.path().join(path)).err().expect("a file stands there");
        assert!(error.to_string().starts_with("could not open file sink \"changes\" (\""), "{error}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, u8),
    Delete(u8),
    Close,
    Fill,
    Group(bool),
    Idle,
    Finish,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..12u8, any::<u8>()).prop_map(|(key, value)| Step::Upsert(key, value)),
        4 => (0..12u8).prop_map(Step::Delete),
        5 => Just(Step::Close),
        1 => Just(Step::Fill),
        1 => any::<bool>().prop_map(Step::Group),
        1 => Just(Step::Idle),
        1 => Just(Step::Finish),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However epochs are grouped, and wherever runs end or break off: the state is that of the durable upper.
    #[test]
    fn folding_the_files_gives_the_state(steps in proptest::collection::vec(step(), 0..100)) {
        let dir = TempDir::new().unwrap();
        let mut writer = opened(&dir, HOUR);
        let mut now = 0;
        let mut open: BTreeMap<u8, Option<u8>> = BTreeMap::new();
        let mut state: BTreeMap<String, String> = BTreeMap::new();
        // The state as of each upper.
        let mut history = BTreeMap::from([(0, state.clone())]);
        for step in steps {
            match step {
                Step::Upsert(key, value) => drop(open.insert(key, Some(value))),
                Step::Delete(key) => drop(open.insert(key, None)),
                Step::Close | Step::Fill => {
                    if matches!(step, Step::Fill) {
                        state.clear();
                    }
                    for (key, value) in std::mem::take(&mut open) {
                        let name = format!("[\"{key}\"]");
                        let change = match value {
                            Some(value) => upsert(&key.to_string(), &value.to_string()),
                            None => delete(&key.to_string()),
                        };
                        writer.write(now, &mut vec![change]).unwrap();
                        match value {
                            Some(value) => drop(state.insert(name, value.to_string())),
                            None => drop(state.remove(&name)),
                        }
                    }
                    writer.close(now, if matches!(step, Step::Fill) { Sweep::Older } else { Sweep::Keep }).unwrap();
                    history.insert(now + 1, state.clone());
                    now += 3;
                }
                Step::Group(group) => writer.interval = if group { HOUR } else { Duration::ZERO },
                Step::Idle => drop(writer.idle().unwrap()),
                Step::Finish | Step::Crash => {
                    writer.write(now, &mut vec![upsert("unfinished", "0")]).unwrap();
                    if matches!(step, Step::Finish) {
                        writer.finish().unwrap();
                        prop_assert_eq!(writer.durable_upper(), *history.keys().last().unwrap());
                    }
                    let durable = writer.durable_upper();
                    drop(writer);
                    writer = opened(&dir, HOUR);
                    prop_assert_eq!(writer.durable_upper(), durable);
                    history.split_off(&(durable + 1));
                    state = history[&durable].clone();
                    open.clear();
                }
            }
            prop_assert_eq!(&fold(dir.path()), &history[&writer.durable_upper()]);
        }
    }
}
