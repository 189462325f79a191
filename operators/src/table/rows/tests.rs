use super::super::candidates::Candidates;
use super::super::held::Held;
use super::*;

/// `(key, version, offset, value)`; no value deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record(u64, Option<u64>, u64, Option<&'static str>);

impl Versioned for Record {
    fn route(&self) -> u64 {
        self.0
    }
    fn same_key(&self, other: &Self) -> bool {
        self.0 == other.0
    }
    fn is_after(&self, other: &Self) -> bool {
        (self.1, self.2) > (other.1, other.2)
    }
    fn is_deletion(&self) -> bool {
        self.3.is_none()
    }
    fn is_remembered(&self) -> bool {
        self.1.is_some()
    }
    fn same_row(&self, other: &Self) -> bool {
        self.3 == other.3
    }
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
    /// Versions are times, in the unit of epochs.
    fn expires(&self, keep_ns: u64) -> Option<u64> {
        Some(self.1? + keep_ns / 1_000_000)
    }
}

type Changes = Vec<(&'static str, isize)>;

fn apply_noted(rows: &mut Rows<Record>, epoch: u64, records: &[Record]) -> (Changes, Vec<TableChange<Record>>) {
    let mut candidates = Candidates::default();
    records.iter().for_each(|r| candidates.offer(r.clone()));
    let (mut out, mut noted) = (Vec::new(), Vec::new());
    let show = |record: &Record, diff| out.extend(record.3.map(|value| (value, diff)));
    rows.apply(epoch, candidates.finish().0, &mut (show, |change| noted.push(change)));
    (out, noted)
}

fn apply(rows: &mut Rows<Record>, epoch: u64, records: &[Record]) -> Changes {
    apply_noted(rows, epoch, records).0
}

fn offset(n: u64, value: Option<&'static str>) -> Record {
    Record(7, None, n, value)
}

fn version(n: u64, value: Option<&'static str>) -> Record {
    Record(7, Some(n), n, value)
}

#[test]
fn the_newest_record_of_a_key_wins() {
    let mut rows = Rows::new(1000, None);
    assert_eq!(apply(&mut rows, 1, &[offset(2, Some("b")), offset(1, Some("a"))]), [("b", 1)]);
    assert_eq!(apply(&mut rows, 2, &[offset(3, Some("c"))]), [("b", -1), ("c", 1)]);
    assert_eq!(apply(&mut rows, 3, &[offset(5, None), offset(4, Some("d"))]), [("c", -1)]);
    assert!(rows.is_empty(), "a deletion in offset order leaves nothing behind");
    assert_eq!(apply(&mut rows, 4, &[offset(6, None)]), []);
}

#[test]
fn what_changes_nothing_emits_nothing() {
    let mut rows = Rows::new(1000, None);
    apply(&mut rows, 1, &[Record(7, None, 1, Some("a")), Record(8, None, 2, Some("x"))]);
    let (shown, noted) = apply_noted(&mut rows, 2, &[Record(7, None, 3, Some("a"))]);
    assert_eq!(shown, []);
    assert_eq!(noted.len(), 1, "its place in the order is state");
    assert_eq!(apply_noted(&mut rows, 3, &[Record(9, None, 4, None)]), (vec![], vec![]));
    assert_eq!(apply(&mut rows, 4, &[Record(9, None, 5, Some("b")), Record(9, None, 6, None)]), []);
}

#[test]
fn a_versioned_deletion_is_remembered_for_its_time() {
    let mut rows = Rows::new(100, None);
    apply(&mut rows, 1, &[version(5, None), Record(8, Some(1), 0, Some("x"))]);
    assert_eq!(apply(&mut rows, 50, &[version(4, Some("late"))]), [], "older than the deletion");
    let (shown, noted) = apply_noted(&mut rows, 101, &[version(4, Some("later"))]);
    assert_eq!(shown, [("later", 1)], "forgotten");
    let expected = [TableChange::Remove(version(5, None)), TableChange::Set(version(4, Some("later")))];
    assert_eq!(noted, expected, "the journal forgets it too");
    assert_eq!(apply(&mut rows, 102, &[version(6, Some("newer"))]), [("later", -1), ("newer", 1)]);
    assert!(rows.deletions.is_empty());
}

#[test]
fn a_row_that_took_a_deletions_place_is_not_forgotten() {
    let mut rows = Rows::new(100, None);
    apply(&mut rows, 1, &[version(5, None), Record(8, Some(1), 0, Some("x"))]);
    apply(&mut rows, 2, &[version(6, Some("back"))]);
    assert_eq!(apply(&mut rows, 200, &[version(7, None)]), [("back", -1)]);
}

#[test]
fn the_latest_state_is_loaded_whatever_the_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let states = [(1, offset(1, Some("a"))), (2, offset(2, None)), (3, offset(3, Some("c")))];
        let mut rows = Rows::new(1000, None);
        order.iter().for_each(|n| rows.load(states[*n].0, states[*n].1.clone()));
        rows.settle();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [&offset(3, Some("c"))]);
        let mut rows = Rows::new(1000, None);
        order.iter().filter(|n| **n < 2).for_each(|n| rows.load(states[*n].0, states[*n].1.clone()));
        rows.settle();
        assert!(rows.is_empty(), "what was deleted is gone");
    }
}

#[test]
fn a_loaded_deletion_is_remembered_and_forgotten_at_its_time() {
    let mut rows = Rows::new(100, None);
    rows.load(1, version(5, None));
    rows.settle();
    assert_eq!(apply(&mut rows, 50, &[version(4, Some("late"))]), []);
    assert_eq!(apply(&mut rows, 101, &[version(4, Some("later"))]), [("later", 1)]);
}

#[test]
fn a_replay_repeats_decisions_without_taking_them() {
    let mut rows = Rows::new(100, None);
    let mut out = Vec::new();
    rows.load(1, version(5, Some("a")));
    rows.settle();
    // The table had forgotten a deletion before it took an older version in.
    for (epoch, record) in [(2, version(6, None)), (103, version(4, Some("older")))] {
        rows.replay(epoch, record, &mut |row: &Record, diff| out.push((row.3.expect("a row"), diff)));
    }
    assert_eq!(out, [("a", -1), ("older", 1)]);
}

#[test]
fn the_net_of_what_was_held_back_is_shown() {
    let mut rows = Rows::new(1000, None);
    apply(&mut rows, 1, &[Record(1, None, 1, Some("a")), Record(2, None, 2, Some("b")), Record(3, None, 3, Some("c"))]);
    let mut held = Held::since(&rows);
    let epochs = [
        vec![Record(1, None, 4, Some("x")), Record(2, None, 5, None), Record(4, None, 6, Some("d"))],
        vec![Record(1, None, 7, Some("a")), Record(4, None, 8, None), Record(3, None, 9, Some("z"))],
        vec![Record(5, None, 10, Some("e"))],
    ];
    for (epoch, records) in (2..).zip(epochs) {
        rows.apply(epoch, records, &mut (|row: &Record, diff| held.hold(row, diff), |_| ()));
    }
    let mut net = Vec::new();
    held.reveal(&mut rows, true, |row, diff| net.push((row.3.expect("a row"), diff)));
    net.sort_unstable();
    assert_eq!(net, [("b", -1), ("c", -1), ("e", 1), ("z", 1)]);
}

const KEEP_100: Option<u64> = Some(100_000_000);

fn expire(rows: &mut Rows<Record>, epoch: u64) -> (Changes, Vec<TableChange<Record>>) {
    let (mut out, mut noted) = (Vec::new(), Vec::new());
    let expired = rows.expire(
        epoch,
        &mut (|row: &Record, diff| out.push((row.3.expect("a row"), diff)), |change| noted.push(change)),
    );
    assert_eq!(expired, out.len() as u64);
    (out, noted)
}

#[test]
fn a_row_goes_when_its_time_is_over() {
    let mut rows = Rows::new(1000, KEEP_100);
    apply(&mut rows, 10, &[version(5, Some("a")), Record(8, Some(7), 2, Some("b")), Record(9, None, 3, Some("c"))]);
    assert_eq!(expire(&mut rows, 104), (vec![], vec![]));
    assert_eq!(expire(&mut rows, 105), (vec![("a", -1)], vec![TableChange::Remove(version(5, Some("a")))]));
    assert_eq!(expire(&mut rows, 106).0, []);
    assert_eq!(expire(&mut rows, 9000).0, [("b", -1)], "a row without a time stays");
    assert_eq!(apply(&mut rows, 9001, &[version(8950, Some("back"))]), [("back", 1)]);
    assert_eq!(expire(&mut rows, 9050).0, [("back", -1)]);
}

#[test]
fn what_comes_too_late_is_no_row_and_takes_the_one_that_it_replaces_along() {
    let mut rows = Rows::new(1000, KEEP_100);
    let late = |rows: &mut Rows<Record>, epoch, record: Record| {
        let mut noted = Vec::new();
        let found = rows.apply(
            epoch,
            vec![record],
            &mut (|_: &Record, diff| assert_eq!(diff, -1), |change| noted.push(change)),
        );
        (found.expired, noted)
    };
    assert_eq!(late(&mut rows, 105, version(5, Some("a"))), (1, vec![]));
    apply(&mut rows, 110, &[version(20, Some("b"))]);
    assert_eq!(late(&mut rows, 122, version(19, Some("c"))), (0, vec![]), "it is superseded");
    let newer = version(22, Some("d"));
    assert_eq!(late(&mut rows, 122, newer.clone()), (1, vec![TableChange::Remove(newer)]));
    assert!(rows.is_empty());
    apply(&mut rows, 130, &[version(40, None)]);
    let newer = version(41, Some("e"));
    assert_eq!(late(&mut rows, 141, newer.clone()), (1, vec![TableChange::Remove(newer)]), "the deletion goes too");
}

#[test]
fn a_row_goes_at_its_last_time_whichever_it_had_before() {
    let mut rows = Rows::new(1000, KEEP_100);
    for time in 0..2000 {
        apply(&mut rows, time, &[Record(7, Some(time), time, Some("a"))]);
        assert_eq!(expire(&mut rows, time).0, []);
    }
    assert_eq!(rows.deadlines.as_ref().unwrap().entries(), 1, "updates cost nothing");
    assert_eq!(expire(&mut rows, 2098).0, []);
    assert_eq!(expire(&mut rows, 2099).0, [("a", -1)]);
    // By offset, a newer record may have an earlier time.
    let mut deadlines = Deadlines::new(100_000_000);
    deadlines.track(None, &version(5000, Some("a")));
    deadlines.track(Some(&version(5000, Some("a"))), &version(300, Some("b")));
    assert_eq!(deadlines.take(399).collect::<Vec<_>>(), [0; 0]);
    assert_eq!(deadlines.take(400).collect::<Vec<_>>(), [7]);
}

#[test]
fn rows_that_go_before_their_time_leave_nothing_behind_for_long() {
    let mut rows = Rows::new(0, KEEP_100);
    for n in 0..5000 {
        apply(&mut rows, 1, &[Record(n, Some(1000), n, Some("a"))]);
        apply(&mut rows, 2, &[Record(n, Some(1000), n + 1, None)]);
        rows.expire(3, &mut (|row: &Record, _| panic!("{row:?}"), |_| ()));
        assert!(rows.deadlines.as_ref().unwrap().entries() < 1030);
    }
}

#[test]
fn loaded_and_replayed_rows_go_too() {
    let mut rows = Rows::new(1000, KEEP_100);
    rows.load(1, version(5, Some("old")));
    rows.load(2, version(6, Some("a")));
    rows.load(2, Record(8, Some(4), 0, Some("b")));
    rows.settle();
    rows.replay(3, Record(9, Some(3), 0, Some("c")), &mut |_, _| ());
    rows.replay(3, Record(8, Some(2), 0, Some("d")), &mut |_, _| ());
    assert_eq!(expire(&mut rows, 101).0, []);
    assert_eq!(expire(&mut rows, 102).0, [("d", -1)]);
    assert_eq!(expire(&mut rows, 104).0, [("c", -1)]);
    assert_eq!(expire(&mut rows, 200).0, [("a", -1)]);
}

/// Run with `cargo test --release -p flowstone-operators how_much -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_much_a_deadline_takes() {
    for (what, step) in [("the same time", 0), ("a row a millisecond", 1), ("a row a minute", 60_000)] {
        let mut deadlines = Deadlines::new(90 * 86_400_000_000_000);
        (0..1_000_000).for_each(|n| deadlines.track(None, &Record(n, Some(n * step), 0, Some("a"))));
        eprintln!("{what}: {:.1} bytes a row", deadlines.bytes() as f64 / 1e6);
    }
}
