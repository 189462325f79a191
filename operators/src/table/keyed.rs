//! What must be known of rows whose changes are held back.

use super::versioned::Versioned;

/// A row that is known by a key. Records of tables are; so are rows that a table makes of several records.
pub trait Keyed {
    /// A hash of the whole key, by which rows are found in memory.
    fn key_hash(&self) -> u64;
    /// Whether both have the same key.
    fn same_key(&self, other: &Self) -> bool;
    /// Whether both stand for the same row.
    fn same_row(&self, other: &Self) -> bool;
}

impl<R: Versioned> Keyed for R {
    fn key_hash(&self) -> u64 {
        Versioned::key_hash(self)
    }
    fn same_key(&self, other: &Self) -> bool {
        Versioned::same_key(self, other)
    }
    fn same_row(&self, other: &Self) -> bool {
        Versioned::same_row(self, other)
    }
}
