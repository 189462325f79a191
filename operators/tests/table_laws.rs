//! The laws of `upsert`, against an oracle, at 1, 2 and 3 workers: also when it starts in the middle, and when it hides epochs.

use std::collections::BTreeMap;

use flowstone_operators::route::{Route, owner};
use flowstone_operators::table::{TableChange, TableInput, TableOptions, TableStart, Tick, Versioned, tail, upsert};
use flowstone_operators::testing::{accumulate, run, run_held};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Exchange};

/// A record of a log: its place in it is its order, unless it has a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Record {
    key: u64,
    version: Option<u64>,
    offset: u64,
    time: u64,
    value: Option<u8>,
}

impl Versioned for Record {
    fn route(&self) -> u64 {
        Route::route(&self.key)
    }
    fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
    fn is_after(&self, other: &Self) -> bool {
        (self.version, self.offset) > (other.version, other.offset)
    }
    fn is_deletion(&self) -> bool {
        self.value.is_none()
    }
    fn is_remembered(&self) -> bool {
        self.version.is_some()
    }
    fn same_row(&self, other: &Self) -> bool {
        self.value == other.value
    }
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
    /// Here all times are in the unit of epochs.
    fn expires(&self, keep: u64) -> Option<u64> {
        Some(self.time + keep)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum In {
    Live(Record),
    Sealed(u64, Record),
    Reveal,
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Out {
    Row(u64, u8, isize),
    /// Whether a deletion was forgotten, and what the change leaves of its key.
    Change(bool, Record),
}

#[derive(Clone, Copy)]
struct Rules {
    remember: u64,
    keep: Option<u64>,
}

/// Deletions are remembered for ever, and rows stay.
const FOR_EVER: Rules = Rules { remember: u64::MAX, keep: None };

type Rows = BTreeMap<(u64, u8), isize>;

/// What the table puts out at each epoch, given what it is given at each.
fn table(workers: usize, epochs: Vec<Vec<In>>, start: TableStart, rules: Rules) -> BTreeMap<u64, Vec<Out>> {
    let Rules { remember, keep } = rules;
    run_held(workers, epochs, move |input| {
        let live = input.clone().flat_map(|item| if let In::Live(record) = item { Some(record) } else { None });
        let sealed =
            input.clone().flat_map(|item| if let In::Sealed(at, record) = item { Some((at, record)) } else { None });
        let peers = sealed.scope().peers();
        let sealed = sealed.exchange(move |(_, record)| owner(record.route(), peers));
        let reveals = input.clone().flat_map(|item| (item == In::Reveal).then_some(())).broadcast();
        let ticks =
            keep.map(|_| input.flat_map(|item| (item == In::Tick).then_some(())).broadcast().map(|()| Tick::default()));
        let options = TableOptions { remember, keep_ns: keep, start, journalled: true, ..TableOptions::default() };
        let (rows, changes) = upsert(TableInput { live, sealed, reveals, ticks }, options);
        let rows = rows.inner.map(|(row, _, diff)| Out::Row(row.key, row.value.expect("a row"), diff));
        rows.concat(changes.map(|change| match change {
            TableChange::Set(record) => Out::Change(false, record),
            TableChange::Remove(record) => Out::Change(
                record.is_deletion() && record.is_remembered(),
                Record { version: None, value: None, ..record },
            ),
        }))
    })
}

fn rows_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Rows {
    let rows = out.get(&epoch).into_iter().flatten();
    let rows =
        rows.filter_map(|out| if let Out::Row(key, value, diff) = out { Some(((*key, *value), *diff)) } else { None });
    accumulate(rows.map(|(row, diff)| (row, epoch, diff)))
}

/// The last change of each key, as a journal has them: what is forgotten is so before the records of the epoch are looked at.
fn changes_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Vec<Record> {
    let decided = decided_of(out, epoch);
    let changes = out.get(&epoch).into_iter().flatten();
    let forgotten = changes.filter_map(|out| if let Out::Change(true, record) = out { Some(record) } else { None });
    let forgotten = forgotten.filter(|record| decided.iter().all(|other| other.key != record.key)).cloned();
    forgotten.chain(decided.iter().cloned()).collect()
}

/// Without what was forgotten: when that is noted depends on which worker has something to do.
fn decided_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Vec<Record> {
    let changes = out.get(&epoch).into_iter().flatten();
    changes.filter_map(|out| if let Out::Change(false, record) = out { Some(record.clone()) } else { None }).collect()
}

fn sum(out: &BTreeMap<u64, Vec<Out>>, epochs: std::ops::RangeInclusive<u64>) -> Rows {
    let all = epochs.flat_map(|epoch| rows_of(out, epoch)).map(|(row, diff)| (row, 0, diff));
    accumulate(all)
}

/// Epochs of records of few keys; epoch 0 is empty, as everything before the first epoch of a table.
fn history() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let record = (0..6u64, proptest::option::of(0..9u64), 0..9u64, proptest::option::weighted(0.7, 0..3u8));
    let epochs = proptest::collection::vec(proptest::collection::vec(record, 0..6), 3..9);
    (epochs, any::<bool>()).prop_map(|(epochs, versioned)| {
        let mut offset = 0;
        let mut record = |(key, version, time, value): (u64, Option<u64>, u64, Option<u8>)| {
            offset += 1;
            Record { key, version: version.filter(|_| versioned).or(versioned.then_some(4)), offset, time, value }
        };
        let epochs = epochs.into_iter().map(|epoch| epoch.into_iter().map(&mut record).collect());
        std::iter::once(Vec::new()).chain(epochs).collect()
    })
}

/// At which epochs there is a tick: more than there are epochs.
fn ticks() -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(proptest::bool::weighted(0.3), 10)
}

fn live(history: &[Vec<Record>]) -> Vec<Vec<In>> {
    history.iter().map(|epoch| epoch.iter().cloned().map(In::Live).collect()).collect()
}

/// Adds a tick to some epochs.
fn tick(mut input: Vec<Vec<In>>, ticks: &[bool]) -> Vec<Vec<In>> {
    input.iter_mut().zip(ticks).filter(|(_, tick)| **tick).for_each(|(epoch, _)| epoch.push(In::Tick));
    input
}

/// What each epoch leaves of a table whose rows go with their time.
fn oracle(history: &[Vec<Record>], ticks: &[bool], keep: u64) -> Vec<Rows> {
    let mut newest: BTreeMap<u64, Record> = BTreeMap::new();
    let mut states = Vec::new();
    for ((epoch, records), tick) in (0..).zip(history).zip(ticks) {
        let is_over = |record: &Record| record.value.is_some() && record.time + keep <= epoch;
        let mut arrived: BTreeMap<u64, &Record> = BTreeMap::new();
        for record in records {
            let known = arrived.entry(record.key).or_insert(record);
            *known = if record.is_after(known) { record } else { *known };
        }
        for (key, record) in arrived {
            if newest.get(&key).is_some_and(|known| !record.is_after(known)) {
                continue;
            }
            newest.insert(key, record.clone());
            if is_over(record) || (record.value.is_none() && record.version.is_none()) {
                newest.remove(&key);
            }
        }
        if *tick {
            newest.retain(|_, record| !is_over(record));
        }
        states.push(newest.values().filter_map(|r| Some(((r.key, r.value?), 1))).collect());
    }
    states
}

/// What the journal of a run gives back: up to `hydrate_at` at that epoch, up to `through` at their own.
fn sealed(out: &BTreeMap<u64, Vec<Out>>, epochs: usize, hydrate_at: u64, through: u64) -> Vec<Vec<In>> {
    let mut input = vec![Vec::new(); epochs];
    for epoch in 0..=through {
        let at = epoch.max(hydrate_at) as usize;
        input[at].extend(changes_of(out, epoch).into_iter().map(|record| In::Sealed(epoch, record)));
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// At every epoch there is the newest record of each key, whatever the number of workers.
    #[test]
    fn the_newest_record_of_each_key_is_its_row(history in history(), workers in 1..=3usize) {
        let out = table(workers, live(&history), TableStart::default(), FOR_EVER);
        let mut newest: BTreeMap<u64, Record> = BTreeMap::new();
        for (epoch, records) in (0..).zip(&history) {
            for record in records {
                let known = newest.entry(record.key).or_insert_with(|| record.clone());
                if record.is_after(known) {
                    *known = record.clone();
                }
            }
            let expected: Rows = newest.values().filter_map(|r| Some(((r.key, r.value?), 1))).collect();
            prop_assert_eq!(sum(&out, 0..=epoch), expected);
        }
    }

    /// Rows go at the first tick at which their time is over, whatever the number of workers.
    #[test]
    fn rows_go_with_their_time(
        history in history(), ticks in ticks(), workers in 1..=3usize, keep in 0..6u64,
    ) {
        let rules = Rules { keep: Some(keep), ..FOR_EVER };
        let out = table(workers, tick(live(&history), &ticks), TableStart::default(), rules);
        for (epoch, expected) in (0..).zip(oracle(&history, &ticks, keep)) {
            prop_assert_eq!(sum(&out, 0..=epoch), expected, "epoch {}", epoch);
        }
    }

    /// A table that starts from a journal says at every later epoch what one says that has seen all records; and a replay
    /// says at its epochs what was said there.
    #[test]
    fn a_restart_changes_nothing(
        history in history(), before in 1..=3usize, after in 1..=3usize, cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        remember in prop::sample::select(vec![1, 3, u64::MAX]), ticks in ticks(), keep in proptest::option::of(0..6u64),
    ) {
        let last = history.len() as u64 - 1;
        let (through, hydrate_at) = (cut.0.index(history.len()) as u64, cut.1.index(history.len()) as u64);
        let hydrate_at = hydrate_at.min(through);
        let rules = Rules { remember, keep };
        let whole = table(before, tick(live(&history), &ticks), TableStart::default(), rules);
        let mut input = sealed(&whole, history.len(), hydrate_at, through);
        for (at, records) in tick(live(&history), &ticks).into_iter().enumerate().skip(through as usize + 1) {
            input[at].extend(records);
        }
        let again = table(after, input, TableStart { hydrate_at, hidden_from: None }, rules);
        prop_assert_eq!(sum(&again, 0..=hydrate_at), sum(&whole, 0..=hydrate_at));
        for epoch in hydrate_at + 1..=last {
            prop_assert_eq!(rows_of(&again, epoch), rows_of(&whole, epoch), "epoch {}", epoch);
        }
        for epoch in 0..=last {
            let expected = if epoch > through { decided_of(&whole, epoch) } else { Vec::new() };
            prop_assert_eq!(decided_of(&again, epoch), expected, "what is sealed is not journalled again");
        }
    }

    /// Hidden epochs are journalled as ever, and their net change is shown at the reveal; also if a restart comes between.
    #[test]
    fn hidden_epochs_are_shown_as_one(
        history in history(), workers in 1..=3usize, cut in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(),
        mut ticks in ticks(), keep in proptest::option::of(0..6u64),
    ) {
        let rules = Rules { keep, ..FOR_EVER };
        let mut points = [cut.0, cut.1, cut.2].map(|index| index.index(history.len()) as u64);
        points.sort_unstable();
        let [first, sealed_through, reveal] = points;
        let first = first.max(1);
        let (sealed_through, reveal) = (sealed_through.max(first), reveal.max(first));
        let last = history.len() as u64 - 1;
        ticks[first as usize..reveal as usize].fill(false);
        let whole = table(1, tick(live(&history), &ticks), TableStart::default(), rules);
        let mut uncut = tick(live(&history), &ticks);
        uncut[reveal as usize].push(In::Reveal);
        let mut restarted = sealed(&whole, history.len(), first - 1, sealed_through.min(reveal));
        for (at, records) in uncut.iter().enumerate() {
            let is_live = at as u64 > sealed_through.min(reveal);
            restarted[at].extend(records.iter().filter(|item| is_live || **item == In::Reveal).cloned());
        }
        for input in [uncut, restarted] {
            let start = TableStart { hydrate_at: first - 1, hidden_from: Some(first) };
            let out = table(workers, input, start, rules);
            prop_assert_eq!(sum(&out, 0..=first - 1), sum(&whole, 0..=first - 1));
            for epoch in first..reveal {
                prop_assert!(rows_of(&out, epoch).is_empty());
            }
            prop_assert_eq!(rows_of(&out, reveal), sum(&whole, first..=reveal));
            for epoch in reveal + 1..=last {
                prop_assert_eq!(rows_of(&out, epoch), rows_of(&whole, epoch));
            }
        }
    }
}

/// A stream says each record once, of several with one key the newest; what is sealed passes, and is not journalled again.
#[test]
fn a_tail_says_each_record_once() {
    let record = |key, offset| Record { key, version: None, offset, time: 0, value: Some(1) };
    let epochs = vec![
        vec![In::Sealed(0, record(1, 1))],
        vec![In::Live(record(2, 5)), In::Live(record(2, 4)), In::Live(record(3, 6))],
    ];
    for workers in 1..=3 {
        let out = run(workers, epochs.clone(), |input| {
            let live = input.clone().flat_map(|item| if let In::Live(record) = item { Some(record) } else { None });
            let sealed =
                input.flat_map(|item| if let In::Sealed(at, record) = item { Some((at, record)) } else { None });
            let (rows, changes) = tail(live, sealed, true);
            let rows = rows.map(|(row, epoch, diff)| (row.key, row.offset, epoch, diff));
            rows.concat(changes.map(|change| match change {
                TableChange::Set(record) => (record.key, record.offset, 0, 0),
                TableChange::Remove(record) => panic!("{record:?} was removed"),
            }))
        });
        assert_eq!(out[&0], [(1, 1, 0, 1)]);
        assert_eq!(out[&1], [(2, 5, 0, 0), (2, 5, 1, 1), (3, 6, 0, 0), (3, 6, 1, 1)]);
    }
}
