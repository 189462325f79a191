//! What tables journal: changes of rows, as the journal's opaque keys and values.

use std::sync::Arc;

use flowstone_journal::PartBuilder;
use flowstone_operators::table::{TableChange, Versioned};

use crate::record::codec::{self, CodecError};
use crate::record::{DeadLetter, Position, Record};

/// A table's number in the journal, which it keeps for ever.
pub type TableId = u16;

/// The state of a row.
#[derive(Clone, Debug)]
pub enum State {
    /// A record of a table.
    Record(Arc<Record>),
    /// A dead letter.
    DeadLetter(Arc<DeadLetter>),
}

/// A change of a table's state.
pub type Change = (TableId, TableChange<State>);

/// Wraps the change of a table of records.
pub fn record(table: TableId, change: TableChange<Arc<Record>>) -> Change {
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

/// Encodes changes into a part.
#[derive(Default)]
pub(super) struct Encoder {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Encoder {
    pub(super) fn add(&mut self, part: &mut PartBuilder, epoch: u64, (table, change): &Change, facets: u64) {
        self.key.clear();
        self.value.clear();
        let (state, is_set) = match change {
            TableChange::Set(state) => (state, true),
            TableChange::Remove(state) => (state, false),
        };
        let route = match state {
            State::Record(record) => {
                codec::encode_key(&record.key, &mut self.key);
                if is_set {
                    codec::encode_record(record, facets, &mut self.value);
                }
                record.route
            }
            State::DeadLetter(letter) => {
                codec::encode_dead_letter_key(letter, &mut self.key);
                codec::encode_dead_letter(letter, &mut self.value);
                letter.route()
            }
        };
        part.add(*table, route, epoch, &self.key, is_set.then_some(&self.value));
    }
}

/// About how many bytes a change takes in memory and in a part.
pub(super) fn estimated_bytes((_, change): &Change) -> usize {
    let (TableChange::Set(state) | TableChange::Remove(state)) = change;
    match state {
        State::Record(record) => 100 + record.payload().map_or(0, <[u8]>::len),
        State::DeadLetter(letter) => 100 + letter.payload.len(),
    }
}

/// What stands for a key that has nothing any more.
pub(super) fn removal(key: &[u8]) -> Result<Record, CodecError> {
    Ok(Record::new(codec::decode_key(key)?, None, Position { source: 0, partition: 0, offset: 0 }, None))
}
