//! Records of few keys, the table under test as a function from epochs to epochs, and histories for it.

use std::collections::BTreeMap;

use flowstone_operators::generations::{Generational, Refusal, Role, Stage, generations};
use flowstone_operators::route::{Route, owner};
use flowstone_operators::table::{TableChange, TableInput, TableOptions, TableStart, Tick, Versioned};
use flowstone_operators::testing::{accumulate, run_held};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Exchange};

/// What a record says. Times are in the unit of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum What {
    Row {
        value: u8,
        time: u64,
    },
    Deletion,
    Started,
    Finished(u64),
    Canceled,
    /// There is nothing of the key any more.
    Nothing,
}
pub use What::{Canceled, Deletion, Finished, Nothing, Started};

pub fn row(value: u8) -> What {
    What::Row { value, time: u64::MAX / 2 }
}

/// The key is all but `offset` and `what`: without an id it is that of an operation, without an operation that of a free row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Series and number.
    pub operation: Option<(u64, u64)>,
    pub id: Option<u64>,
    pub offset: u64,
    pub what: What,
}

pub type Key = (Option<(u64, u64)>, Option<u64>);

impl Record {
    pub fn key(&self) -> Key {
        (self.operation, self.id)
    }

    pub fn value(&self) -> Option<u8> {
        if let What::Row { value, .. } = self.what { Some(value) } else { None }
    }
}

impl Versioned for Record {
    fn route(&self) -> u64 {
        self.operation.map_or(self.id.unwrap_or(0), |(series, _)| 1000 + series).route()
    }
    fn key_hash(&self) -> u64 {
        // Few of the small ones, so that there are collisions.
        self.id.map_or(0, |id| if id < 1000 { id % 3 } else { id.route() })
    }
    fn same_key(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
    fn is_after(&self, other: &Self) -> bool {
        self.offset > other.offset
    }
    fn is_deletion(&self) -> bool {
        !matches!(self.what, What::Row { .. })
    }
    fn is_remembered(&self) -> bool {
        self.what != Nothing
    }
    fn same_row(&self, other: &Self) -> bool {
        self.what == other.what
    }
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
    fn expires(&self, keep: u64) -> Option<u64> {
        if let What::Row { time, .. } = self.what { Some(time + keep) } else { None }
    }
}

impl Generational for Record {
    fn role(&self) -> Role {
        match (self.operation, self.id) {
            (None, _) => Role::Free,
            (Some((_, number)), Some(_)) => Role::Row(number),
            (Some((_, number)), None) => {
                let stage = match self.what {
                    Started => Some(Stage::Started),
                    Finished(awaits) => Some(Stage::Finished { awaits }),
                    Canceled => Some(Stage::Canceled),
                    _ => None,
                };
                Role::Operation(number, stage)
            }
        }
    }
    fn same_series(&self, other: &Self) -> bool {
        self.operation.map(|(series, _)| series) == other.operation.map(|(series, _)| series)
    }
    fn fulfilled(&self) -> Self {
        Record { what: Finished(0), ..*self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum In {
    Live(Record),
    Sealed(u64, Record),
    Reveal,
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Out {
    Row(Key, u8, isize),
    /// Its place among the changes of its worker, and what it leaves of its key.
    Change(u64, Record),
    /// Of several workers each tells its own: the record, and whether it would have canceled.
    Refused(Record, bool),
}

#[derive(Clone, Copy)]
pub struct Rules {
    pub remember: u64,
    pub keep: Option<u64>,
}

/// What is deleted or over is remembered for ever, and rows stay.
pub const FOR_EVER: Rules = Rules { remember: u64::MAX, keep: None };

pub type Rows = BTreeMap<(Key, u8), isize>;

/// What the table puts out at each epoch, given what it is given at each.
pub fn table(workers: usize, epochs: Vec<Vec<In>>, start: TableStart, rules: Rules) -> BTreeMap<u64, Vec<Out>> {
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
        let output = generations(TableInput { live, sealed, reveals, ticks }, options);
        let rows = output.rows.inner.map(|(row, _, diff)| Out::Row(row.key(), row.value().expect("a row"), diff));
        let mut place = 0;
        let changes = output.changes.map(move |change| {
            place += 1;
            match change {
                TableChange::Set(record) => Out::Change(place, record),
                TableChange::Remove(record) => Out::Change(place, Record { what: Nothing, ..record }),
            }
        });
        let refused = output.refused.map(|(record, why)| Out::Refused(record, why == Refusal::CanceledAfterFinished));
        rows.concat(changes).concat(refused)
    })
}

pub fn rows_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Rows {
    let rows = out.get(&epoch).into_iter().flatten();
    let rows =
        rows.filter_map(|out| if let Out::Row(key, value, diff) = out { Some(((*key, *value), *diff)) } else { None });
    accumulate(rows.map(|(row, diff)| (row, epoch, diff)))
}

/// The last change of each key, as a journal has them.
pub fn changes_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Vec<Record> {
    let changes = out.get(&epoch).into_iter().flatten();
    let mut changes: Vec<(u64, Record)> =
        changes.filter_map(|out| if let Out::Change(at, record) = out { Some((*at, *record)) } else { None }).collect();
    changes.sort();
    let last: BTreeMap<Key, Record> = changes.into_iter().map(|(_, record)| (record.key(), record)).collect();
    last.into_values().collect()
}

pub fn refused_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Vec<(Record, bool)> {
    let refused = out.get(&epoch).into_iter().flatten();
    refused.filter_map(|out| if let Out::Refused(record, why) = out { Some((*record, *why)) } else { None }).collect()
}

pub fn sum(out: &BTreeMap<u64, Vec<Out>>, epochs: std::ops::RangeInclusive<u64>) -> Rows {
    let all = epochs.flat_map(|epoch| rows_of(out, epoch)).map(|(row, diff)| (row, 0, diff));
    accumulate(all)
}

/// Epochs of records of few keys; epoch 0 is empty, as everything before the first epoch of a table. Rows come in any order,
/// those of operations in theirs.
pub fn history() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let operation = proptest::option::weighted(0.85, (0..2u64, 1..5u64));
    let row = proptest::option::weighted(0.8, (0..3u8, 0..9u64));
    let row = row.prop_map(|row| row.map_or(Deletion, |(value, time)| What::Row { value, time }));
    let rows = (operation, (0..4u64).prop_map(Some), 0..50u64, row);
    let stage = prop_oneof![
        1 => Just(Started), 3 => Just(Finished(0)), 4 => (1..5u64).prop_map(Finished), 2 => Just(Canceled)
    ];
    let stages = ((0..2u64, 1..5u64).prop_map(Some), Just(None), Just(0u64), stage);
    let record = prop_oneof![4 => rows, 1 => stages];
    let epochs = proptest::collection::vec(proptest::collection::vec(record, 0..12), 3..10);
    epochs.prop_map(|epochs| {
        let mut offset = 0;
        let mut record = |(operation, id, at, what): (Option<(u64, u64)>, Option<u64>, u64, What)| {
            offset += 1;
            let place = if id.is_some() { at * 1000 + offset } else { offset };
            Record { operation, id, offset: place, what }
        };
        let epochs = epochs.into_iter().map(|epoch| epoch.into_iter().map(&mut record).collect());
        std::iter::once(Vec::new()).chain(epochs).collect()
    })
}

/// At which epochs there is a tick: more than there are epochs.
pub fn ticks() -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(proptest::bool::weighted(0.3), 11)
}

pub fn live(history: &[Vec<Record>]) -> Vec<Vec<In>> {
    history.iter().map(|epoch| epoch.iter().copied().map(In::Live).collect()).collect()
}

/// Adds a tick to some epochs.
pub fn tick(mut input: Vec<Vec<In>>, ticks: &[bool]) -> Vec<Vec<In>> {
    input.iter_mut().zip(ticks).filter(|(_, tick)| **tick).for_each(|(epoch, _)| epoch.push(In::Tick));
    input
}

/// What the journal of a run gives back: up to `hydrate_at` at that epoch, up to `through` at their own.
pub fn sealed(out: &BTreeMap<u64, Vec<Out>>, epochs: usize, hydrate_at: u64, through: u64) -> Vec<Vec<In>> {
    let mut input = vec![Vec::new(); epochs];
    for epoch in 0..=through {
        let at = epoch.max(hydrate_at) as usize;
        input[at].extend(changes_of(out, epoch).into_iter().map(|record| In::Sealed(epoch, record)));
    }
    input
}
