//! When rows are due, in a table that keeps them only for a time.

use std::collections::BTreeMap;

use super::versioned::Versioned;

/// Buckets are narrow enough that rows which are not due yet are seldom looked at, and wide enough to be shared.
const BUCKETS: u64 = 64;

/// The widest bucket, in milliseconds.
const MAX_WIDTH: u64 = 60_000;

/// Entries that may be of no use before they are thrown away.
const SLACK: usize = 1024;

/// By the hash of their key, when rows have to be looked at.
///
/// Each row has an entry in the bucket of its deadline or in an earlier one. One whose deadline moves back keeps the entry
/// that it has, so that a row that is updated all the time costs no more than others; it is moved when it is looked at.
#[derive(Debug)]
pub(super) struct Deadlines {
    keep_ns: u64,
    width: u64,
    buckets: BTreeMap<u64, Vec<u64>>,
    entries: usize,
}

impl Deadlines {
    /// Of rows that are kept for so long after their time.
    pub(super) fn new(keep_ns: u64) -> Self {
        let width = (keep_ns / 1_000_000 / BUCKETS).clamp(1, MAX_WIDTH);
        Deadlines { keep_ns, width, buckets: BTreeMap::new(), entries: 0 }
    }

    /// The first epoch at which there is no such row any more.
    fn of<R: Versioned>(&self, record: &R) -> Option<u64> {
        if record.is_deletion() { None } else { record.expires(self.keep_ns) }
    }

    /// Whether there is no such row at `epoch` any more.
    pub(super) fn is_due<R: Versioned>(&self, record: &R, epoch: u64) -> bool {
        self.of(record).is_some_and(|deadline| deadline <= epoch)
    }

    /// Sees to it that a row is found when it is due. `before` is what it replaces.
    pub(super) fn track<R: Versioned>(&mut self, before: Option<&R>, record: &R) {
        let Some(deadline) = self.of(record) else { return };
        let bucket = deadline / self.width;
        if before.and_then(|before| self.of(before)).is_none_or(|known| known / self.width > bucket) {
            self.buckets.entry(bucket).or_default().push(record.key_hash());
            self.entries += 1;
        }
    }

    /// Takes the hashes of all rows that may be due; those that are not must be tracked again.
    pub(super) fn take(&mut self, epoch: u64) -> impl Iterator<Item = u64> + use<> {
        let later = self.buckets.split_off(&(epoch / self.width + 1));
        let taken = std::mem::replace(&mut self.buckets, later);
        self.entries -= taken.values().map(Vec::len).sum::<usize>();
        taken.into_values().flatten()
    }

    /// Whether so many entries are of no use that all should be made anew. An entry stays when its row goes before its time.
    pub(super) fn is_bloated(&self, rows: usize) -> bool {
        self.entries > 2 * rows + SLACK
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.entries = 0;
    }

    /// What all entries take, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let bucket = |hashes: &Vec<u64>| size_of::<(u64, Vec<u64>)>() + hashes.capacity() * size_of::<u64>();
        self.buckets.values().map(bucket).sum()
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.entries
    }
}
