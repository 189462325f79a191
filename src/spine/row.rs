//! What tables journal: changes of rows, as the journal's opaque keys and values.

use std::sync::Arc;

use flowstone_journal::PartBuilder;
use flowstone_operators::table::{TableChange, Versioned};

use crate::record::codec;
use crate::record::{DeadLetter, Record};

/// A table's number in the journal, which it keeps for ever.
pub type TableId = u16;

/// The state of a row.
#[derive(Clone, Debug)]
pub enum State {
    /// A record of a table.
    Record(Record),
    /// A dead letter.
    DeadLetter(Arc<DeadLetter>),
}

/// A change of a table's state.
pub type Change = (TableId, TableChange<State>);

/// Wraps the change of a table of records.
pub fn record(table: TableId, change: TableChange<Record>) -> Change {
    (table, change.map(State::Record))
}

/// Wraps the change of the dead letters.
pub fn dead_letter(table: TableId, change: TableChange<Arc<DeadLetter>>) -> Change {
    (table, change.map(State::DeadLetter))
}

/// The dead letters among changes, as the journal has them: records are in that form already.
#[derive(Default)]
pub(super) struct Letters {
    bytes: Vec<u8>,
    /// Where the key and the value of each end.
    ends: Vec<(usize, usize)>,
}

impl Letters {
    pub(super) fn of<'a>(changes: impl Iterator<Item = (u64, &'a Change)>) -> Self {
        let mut letters = Letters::default();
        for (_, (_, TableChange::Set(state) | TableChange::Remove(state))) in changes {
            if let State::DeadLetter(letter) = state {
                codec::encode_dead_letter_key(letter, &mut letters.bytes);
                let key_end = letters.bytes.len();
                codec::encode_dead_letter(letter, &mut letters.bytes);
                letters.ends.push((key_end, letters.bytes.len()));
            }
        }
        letters
    }

    /// Key and value of each, in the order of the changes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let parts = |(start, (key_end, end)): (usize, &(usize, usize))| (start, *key_end, *end);
        starts
            .zip(&self.ends)
            .map(parts)
            .map(|(start, key_end, end)| (&self.bytes[start..key_end], &self.bytes[key_end..end]))
    }
}

/// Adds a change to a part. `letters` are the [`Letters`] of all changes that are added, in the same order.
pub(super) fn add<'a>(
    part: &mut PartBuilder<'a>,
    epoch: u64,
    (table, change): &'a Change,
    letters: &mut impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    let (state, is_set) = match change {
        TableChange::Set(state) => (state, true),
        TableChange::Remove(state) => (state, false),
    };
    let (route, key, value) = match state {
        State::Record(record) => (record.route(), record.key_bytes(), record.value_bytes()),
        State::DeadLetter(letter) => {
            let (key, value) = letters.next().expect("letters of all changes");
            (letter.route(), key, value)
        }
    };
    part.add(*table, route, epoch, key, is_set.then_some(value));
}

/// About how many bytes a change takes in memory and in a part.
pub(super) fn estimated_bytes((_, change): &Change) -> usize {
    let (TableChange::Set(state) | TableChange::Remove(state)) = change;
    match state {
        State::Record(record) => 50 + record.key_bytes().len() + record.value_bytes().len(),
        State::DeadLetter(letter) => 100 + letter.payload.len(),
    }
}
