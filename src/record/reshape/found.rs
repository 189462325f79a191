//! Pairs that stay as they were found, as the table of a `join` keeps them.
//!
//! A record for each left row that has found something: its key, and the document of the pair.

use flowstone_operators::join::Looked;
use flowstone_operators::table::Versioned;
use serde::{Deserialize, Serialize};

use super::pair::{JoinSpec, Pairing};
use crate::record::packed::{Record, RecordWriter};
use crate::record::row::Row;

/// What a left row has found at an epoch; or that it has gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) epoch: u64,
    pub(crate) record: Record,
}

/// By epoch. A row that comes in the place of another may be told by another worker than that the other one goes: it counts.
impl Versioned for Found {
    fn route(&self) -> u64 {
        Versioned::route(&self.record)
    }

    fn key_hash(&self) -> u64 {
        Versioned::key_hash(&self.record)
    }

    fn same_key(&self, other: &Self) -> bool {
        Versioned::same_key(&self.record, &other.record)
    }

    fn is_after(&self, other: &Self) -> bool {
        (self.epoch, !self.record.is_deletion()) > (other.epoch, !other.record.is_deletion())
    }

    fn is_deletion(&self) -> bool {
        self.record.is_deletion()
    }

    /// Nothing comes later that is older.
    fn is_remembered(&self) -> bool {
        false
    }

    fn same_row(&self, other: &Self) -> bool {
        Versioned::same_row(&self.record, &other.record)
    }

    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
}

/// Writes what left rows have found.
pub(crate) struct Finder {
    pairing: Pairing,
    keeps_unmatched: bool,
    writer: RecordWriter,
}

impl Finder {
    pub(crate) fn new(spec: &JoinSpec) -> Self {
        Finder { pairing: Pairing::new(spec), keeps_unmatched: spec.keeps_unmatched, writer: RecordWriter::default() }
    }

    /// What the table is told of a left row; nothing, if it has found nothing and that is not kept.
    pub(crate) fn found(&mut self, epoch: u64, looked: &Looked<'_, Row, Row>) -> Option<Found> {
        let (left, right) = match *looked {
            Looked::Gone(left) => {
                self.writer.key(None, &left.key());
                return Some(Found { epoch, record: self.writer.of_table(None) });
            }
            Looked::Came(_, None) if !self.keeps_unmatched => return None,
            Looked::Came(left, right) => (left, right),
        };
        let document = self.pairing.document(left, right);
        self.writer.key(None, &left.key());
        Some(Found { epoch, record: self.writer.of_table(Some(document)) })
    }
}
