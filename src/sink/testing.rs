//! Rows and epochs for tests of stores.

use super::{Change, Sweep, Writer};
use crate::record::packed::State;
use crate::record::{Key, Position, Record, Row, Scalar};

/// A row with this key and document.
pub(super) fn row(key: &str, document: &str) -> Row {
    row_of(key, document.as_bytes())
}

/// The same of any bytes.
pub(super) fn row_of(key: &str, document: &[u8]) -> Row {
    let position = Position { source: 0, partition: 0, offset: 0 };
    let state = State::at(position);
    Row::Record(Record::made(&Key::One(Scalar::from(key)), state, Some(document)))
}

pub(super) fn upsert(key: &str, document: &str) -> Change {
    Change::Upsert(row(key, document))
}

pub(super) fn delete(key: &str) -> Change {
    Change::Delete(row(key, "{}"))
}

/// Writes and closes an epoch.
pub(super) fn epoch(writer: &mut dyn Writer, epoch: u64, changes: &[Change], sweep: Sweep) {
    writer.write(epoch, &mut changes.to_vec()).unwrap();
    writer.close(epoch, sweep).unwrap();
}
