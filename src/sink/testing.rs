//! Rows and epochs for tests of stores.

use std::sync::Arc;

use super::{Change, Sweep, Writer};
use crate::record::{Body, Key, Position, Record, Row, Scalar};

/// A row with this key and document.
pub(super) fn row(key: &str, document: &str) -> Row {
    let body = Body { payload: document.as_bytes().into(), facets: Default::default() };
    let position = Position { source: 0, partition: 0, offset: 0 };
    Row::Record(Arc::new(Record::new(Key::One(Scalar::from(key)), None, position, Some(body))))
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
