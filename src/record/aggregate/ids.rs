//! Ids of events that counted, as the table of an `aggregate` keeps them: records beside those of groups, told apart by how many
//! parts their keys have. The first are those of the id, the others zeros; the payload is the id's time.

use std::hash::{Hash, Hasher};

use flowstone_operators::once::{IdChange, Identified};
use flowstone_operators::table::TableChange;
use smallvec::SmallVec;
use triomphe::ThinArc;

use super::fields::Inputs;
use super::kept::WRITTEN_HERE;
use super::key::GroupKey;
use super::spec::AggregateSpec;
use crate::record::packed::{Position, Record, RecordWriter, encode_parts};
use crate::record::scalar::{ScalarRef, write_integer};

/// The id of an event: the key of its record in the table, and that key's route.
#[derive(Clone)]
pub(crate) struct EventId(ThinArc<u64, u8>);

impl EventId {
    fn route(&self) -> u64 {
        self.0.header.header
    }
}

impl PartialEq for EventId {
    fn eq(&self, other: &Self) -> bool {
        self.0.slice == other.0.slice
    }
}

impl Eq for EventId {}

impl Hash for EventId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.route());
    }
}

/// An event that can be used, and what it gives to which groups.
pub(crate) struct Usable {
    pub id: EventId,
    pub at: Position,
    pub time_ns: i64,
    pub gives: SmallVec<[(GroupKey, Inputs); 1]>,
}

impl Identified for Usable {
    type Id = EventId;
    type Place = Position;

    fn id(&self) -> &EventId {
        &self.id
    }

    fn place(&self) -> Position {
        self.at
    }

    fn time(&self) -> i64 {
        self.time_ns
    }
}

/// Writes and reads the ids of a table.
pub(crate) struct IdRecords {
    /// How many parts the keys of such records have.
    parts: usize,
    key: Vec<u8>,
    payload: Vec<u8>,
    writer: RecordWriter,
}

impl IdRecords {
    /// Of a table whose events have an id of so many values.
    pub(crate) fn new(spec: &AggregateSpec, values: usize) -> Self {
        // Keys of groups have as many parts as `by` and the window give, those of values two more, those of progress one.
        let group = spec.by.len() + if spec.window.is_some() { 2 } else { 0 };
        let is_free = |parts: &usize| ![1, group, group + 2].contains(parts);
        IdRecords {
            parts: (values..).find(is_free).expect("most numbers are free"),
            key: Vec::new(),
            payload: Vec::new(),
            writer: RecordWriter::default(),
        }
    }

    /// Whether a record of the table is an id.
    pub(crate) fn is_id(&self, record: &Record) -> bool {
        record.key().parts().count() == self.parts
    }

    /// The id of an event: its key.
    pub(crate) fn of_event(&mut self, event: &Record) -> EventId {
        self.key.clear();
        let parts = event.key().parts().chain(std::iter::repeat(ScalarRef::Int(0)));
        encode_parts(self.parts, parts.take(self.parts), &mut self.key);
        EventId(ThinArc::from_header_and_slice(event.route(), &self.key))
    }

    /// As the table keeps it.
    pub(crate) fn change(&mut self, change: IdChange<EventId>) -> TableChange<Record> {
        change.map(|(id, time)| self.record(&id, time))
    }

    fn record(&mut self, id: &EventId, time: i64) -> Record {
        self.payload.clear();
        write_integer(time, &mut self.payload);
        self.writer.key_bytes(&id.0.slice, id.route());
        self.writer.of_table(Some(&self.payload))
    }

    /// What a record of the table says.
    pub(crate) fn read(record: &Record) -> IdChange<EventId> {
        let id = EventId(ThinArc::from_header_and_slice(record.route(), record.key_bytes()));
        match record.payload() {
            None => TableChange::Remove((id, 0)),
            Some(payload) => {
                let time = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
                TableChange::Set((id, time.expect(WRITTEN_HERE)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::packed::State;
    use crate::record::{FieldPath, Key, Scalar};

    fn event(parts: &[&str]) -> Record {
        let mut parts: Vec<Scalar> = parts.iter().map(|part| Scalar::Str((*part).into())).collect();
        let key = if parts.len() == 1 { Key::One(parts.remove(0)) } else { Key::Composite(parts.into()) };
        Record::made(&key, State::at(Position { source: 0, partition: 0, offset: 7 }), Some(b"{}"))
    }

    #[test]
    fn ids_are_told_apart_from_all_else_in_the_table_and_are_the_same_again() {
        for by in 0..6 {
            for id in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
                let path = |n: usize| (n.to_string(), FieldPath::literal("/x"));
                let spec =
                    AggregateSpec { by: (0..by).map(path).collect(), window: None, compute: Vec::new(), ids: None };
                let mut records = IdRecords::new(&spec, id.len());
                assert!(records.parts >= id.len() && ![1, by, by + 2].contains(&records.parts));
                let of = records.of_event(&event(id));
                let TableChange::Set(record) = records.change(TableChange::Set((of.clone(), -5))) else { panic!() };
                assert!(records.is_id(&record));
                assert_eq!(record.route(), event(id).route());
                assert!(IdRecords::read(&record) == TableChange::Set((of, -5)));
            }
        }
    }

    #[test]
    fn a_string_and_a_list_of_it_and_what_looks_like_zeros_are_different_ids() {
        let spec = AggregateSpec { by: Vec::new(), window: None, compute: Vec::new(), ids: None };
        let mut records = IdRecords::new(&spec, 1);
        let (a, b) = (records.of_event(&event(&["a"])), records.of_event(&event(&["b"])));
        assert!(a != b && a == records.of_event(&event(&["a"])));
        assert!(!records.is_id(&event(&["a"])));
    }
}
