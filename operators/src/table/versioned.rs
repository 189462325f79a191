//! What a table must know of its records.

use std::sync::Arc;

/// A record that a table can fold: it has a key, an order among the records of its key, and may be a deletion.
pub trait Versioned {
    /// The routing hash of the key.
    fn route(&self) -> u64;
    /// A hash of the whole key, by which records are found in memory. Keys that share a route need one of their own.
    fn key_hash(&self) -> u64 {
        self.route()
    }
    /// Whether both have the same key.
    fn same_key(&self, other: &Self) -> bool;
    /// Whether this record comes after `other`, which has the same key. A total order, whatever order records arrive in.
    fn is_after(&self, other: &Self) -> bool;
    /// Whether the record deletes its key's row.
    fn is_deletion(&self) -> bool;
    /// Whether a deletion must be remembered, because an older record may still arrive.
    fn is_remembered(&self) -> bool;
    /// Whether both stand for the same row.
    fn same_row(&self, other: &Self) -> bool;
    /// Whether the order of the two is not given by their source: they come from different partitions, and have no version.
    fn is_ambiguous_with(&self, other: &Self) -> bool;
    /// The first epoch at which a row is too old for a table that keeps rows for `keep_ns` nanoseconds after their time; none
    /// for rows without a time, which stay.
    fn expires(&self, _keep_ns: u64) -> Option<u64> {
        None
    }
}

/// Shared records fold like the records themselves.
impl<R: Versioned> Versioned for Arc<R> {
    fn route(&self) -> u64 {
        (**self).route()
    }
    fn key_hash(&self) -> u64 {
        (**self).key_hash()
    }
    fn same_key(&self, other: &Self) -> bool {
        (**self).same_key(other)
    }
    fn is_after(&self, other: &Self) -> bool {
        (**self).is_after(other)
    }
    fn is_deletion(&self) -> bool {
        (**self).is_deletion()
    }
    fn is_remembered(&self) -> bool {
        (**self).is_remembered()
    }
    fn same_row(&self, other: &Self) -> bool {
        (**self).same_row(other)
    }
    fn is_ambiguous_with(&self, other: &Self) -> bool {
        (**self).is_ambiguous_with(other)
    }
    fn expires(&self, keep_ns: u64) -> Option<u64> {
        (**self).expires(keep_ns)
    }
}
