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
    (table, map(change, State::Record))
}

/// Wraps the change of the dead letters.
pub fn dead_letter(table: TableId, change: TableChange<Arc<DeadLetter>>) -> Change {
    (table, map(change, State::DeadLetter))
}

fn map<A, B>(change: TableChange<A>, wrap: impl Fn(A) -> B) -> TableChange<B> {
    match change {
        TableChange::Set(row) => TableChange::Set(wrap(row)),
        TableChange::Remove(row) => TableChange::Remove(wrap(row)),
    }
}

/// Adds a change to a part; `scratch` keeps its memory from call to call.
pub(super) fn add(part: &mut PartBuilder, epoch: u64, (table, change): &Change, scratch: &mut [Vec<u8>; 2]) {
    let (state, is_set) = match change {
        TableChange::Set(state) => (state, true),
        TableChange::Remove(state) => (state, false),
    };
    match state {
        State::Record(record) => {
            part.add(*table, record.route(), epoch, record.key_bytes(), is_set.then_some(record.value_bytes()));
        }
        State::DeadLetter(letter) => {
            scratch.iter_mut().for_each(Vec::clear);
            let [key, value] = scratch;
            codec::encode_dead_letter_key(letter, key);
            codec::encode_dead_letter(letter, value);
            part.add(*table, letter.route(), epoch, key, is_set.then_some(value));
        }
    }
}

/// About how many bytes a change takes in memory and in a part.
pub(super) fn estimated_bytes((_, change): &Change) -> usize {
    let (TableChange::Set(state) | TableChange::Remove(state)) = change;
    match state {
        State::Record(record) => 50 + record.key_bytes().len() + record.value_bytes().len(),
        State::DeadLetter(letter) => 100 + letter.payload.len(),
    }
}
