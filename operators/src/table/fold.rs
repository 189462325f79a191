//! The upsert fold, without a dataflow around it.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A record that a table can fold: it has a key, an order among the records of its key, and may be a deletion.
pub trait Versioned {
    /// The routing hash of the key.
    fn route(&self) -> u64;
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
}

/// Shared records fold like the records themselves.
impl<R: Versioned> Versioned for Arc<R> {
    fn route(&self) -> u64 {
        (**self).route()
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
}

/// What closing an epoch found, besides the changes of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Records that came after a newer one of their key.
    pub superseded: u64,
    /// Keys whose records come from different partitions without a version.
    pub ambiguous: u64,
}

/// The newest record of each key that an epoch has seen so far, in the order in which keys were first seen.
///
/// Order matters for speed alone: records that came together stand together in memory, and what follows visits them so.
#[derive(Debug)]
pub(super) struct Candidates<R> {
    newest: Vec<R>,
    /// `(route, place in newest)`; with the route beside it, growing and probing touch no record.
    places: HashTable<(u64, u32)>,
    found: Found,
}

impl<R> Default for Candidates<R> {
    fn default() -> Self {
        Candidates { newest: Vec::new(), places: HashTable::new(), found: Found::default() }
    }
}

impl<R: Versioned> Candidates<R> {
    /// Takes a record in. Memory: one record a key, whatever the number of its versions.
    pub(super) fn offer(&mut self, record: R) {
        let route = record.route();
        let same = |(other, place): &(u64, u32)| *other == route && self.newest[*place as usize].same_key(&record);
        match self.places.entry(route, same, |(route, _)| *route) {
            Entry::Vacant(vacant) => {
                let place = u32::try_from(self.newest.len()).expect("fewer than 2^32 keys an epoch and worker");
                vacant.insert((route, place));
                self.newest.push(record);
            }
            Entry::Occupied(occupied) => {
                let newest = &mut self.newest[occupied.get().1 as usize];
                self.found.superseded += 1;
                self.found.ambiguous += u64::from(record.is_ambiguous_with(newest));
                if record.is_after(newest) {
                    *newest = record;
                }
            }
        }
    }
}

/// The rows of a table, and the deletions that it must remember.
#[derive(Debug)]
pub(super) struct Rows<R> {
    /// `(route, row)`.
    rows: HashTable<(u64, R)>,
    /// Remembered deletions, by the epoch of their arrival.
    deletions: VecDeque<(u64, R)>,
    /// How long they are remembered, in the unit of epochs.
    remember: u64,
}

impl<R: Versioned + Clone> Rows<R> {
    pub(super) fn new(remember: u64) -> Self {
        Rows { rows: HashTable::new(), deletions: VecDeque::new(), remember }
    }

    /// Applies an epoch; emits the rows that go (-1) and come (+1). A record that changes nothing emits nothing.
    ///
    /// Without `more` epochs to come, the rows of a first one are not kept.
    pub(super) fn apply(
        &mut self,
        epoch: u64,
        candidates: Candidates<R>,
        more: bool,
        mut emit: impl FnMut(R, isize),
    ) -> Found {
        self.forget(epoch);
        let Candidates { newest, mut found, .. } = candidates;
        if self.rows.is_empty() && !more {
            newest.into_iter().filter(|record| !record.is_deletion()).for_each(|record| emit(record, 1));
            return found;
        }
        if self.rows.is_empty() {
            self.load(epoch, newest, emit);
            return found;
        }
        for record in newest {
            if record.is_deletion() && record.is_remembered() {
                self.deletions.push_back((epoch, record.clone()));
            }
            let route = record.route();
            let same = |(other, row): &(u64, R)| *other == route && row.same_key(&record);
            match self.rows.entry(route, same, |(route, _)| *route) {
                Entry::Vacant(_) if record.is_deletion() && !record.is_remembered() => (),
                Entry::Vacant(vacant) => {
                    if !record.is_deletion() {
                        emit(record.clone(), 1);
                    }
                    vacant.insert((route, record));
                }
                Entry::Occupied(mut occupied) => {
                    let row = &mut occupied.get_mut().1;
                    found.ambiguous += u64::from(record.is_ambiguous_with(row));
                    if !record.is_after(row) {
                        found.superseded += 1;
                        continue;
                    }
                    let changes = row.is_deletion() != record.is_deletion() || !row.same_row(&record);
                    if changes && !row.is_deletion() {
                        emit(row.clone(), -1);
                    }
                    if changes && !record.is_deletion() {
                        emit(record.clone(), 1);
                    }
                    if record.is_deletion() && !record.is_remembered() {
                        occupied.remove();
                    } else {
                        *row = record;
                    }
                }
            }
        }
        found
    }

    /// The first epoch of an empty table: its newest records are the rows.
    fn load(&mut self, epoch: u64, newest: Vec<R>, mut emit: impl FnMut(R, isize)) {
        self.rows.reserve(newest.len(), |(route, _)| *route);
        for record in newest {
            if !record.is_deletion() {
                emit(record.clone(), 1);
            } else if record.is_remembered() {
                self.deletions.push_back((epoch, record.clone()));
            } else {
                continue;
            }
            let route = record.route();
            self.rows.insert_unique(route, (route, record), |(route, _)| *route);
        }
    }

    /// Drops deletions that were remembered for long enough, unless a newer record has taken their place.
    fn forget(&mut self, epoch: u64) {
        let remember = self.remember;
        while let Some((_, old)) = self.deletions.pop_front_if(|(arrived, _)| arrived.saturating_add(remember) <= epoch)
        {
            let still = |(_, row): &(u64, R)| row.same_key(&old) && row.is_deletion() && !row.is_after(&old);
            if let Ok(entry) = self.rows.find_entry(old.route(), still) {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(key, version, value)`; no value deletes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Record(u64, Option<u64>, u64, Option<&'static str>);

    impl Versioned for Record {
        fn route(&self) -> u64 {
            self.0
        }
        fn same_key(&self, other: &Self) -> bool {
            self.0 == other.0
        }
        fn is_after(&self, other: &Self) -> bool {
            (self.1, self.2) > (other.1, other.2)
        }
        fn is_deletion(&self) -> bool {
            self.3.is_none()
        }
        fn is_remembered(&self) -> bool {
            self.1.is_some()
        }
        fn same_row(&self, other: &Self) -> bool {
            self.3 == other.3
        }
        fn is_ambiguous_with(&self, _: &Self) -> bool {
            false
        }
    }

    fn apply(rows: &mut Rows<Record>, epoch: u64, records: &[Record]) -> Vec<(&'static str, isize)> {
        let mut candidates = Candidates::default();
        records.iter().for_each(|r| candidates.offer(r.clone()));
        let mut out = Vec::new();
        rows.apply(epoch, candidates, true, |record, diff| out.extend(record.3.map(|value| (value, diff))));
        out
    }

    #[test]
    fn the_newest_record_of_a_key_wins() {
        let mut rows = Rows::new(1000);
        let offset = |n, value| Record(7, None, n, value);
        assert_eq!(apply(&mut rows, 1, &[offset(2, Some("b")), offset(1, Some("a"))]), [("b", 1)]);
        assert_eq!(apply(&mut rows, 2, &[offset(3, Some("c"))]), [("b", -1), ("c", 1)]);
        assert_eq!(apply(&mut rows, 3, &[offset(5, None), offset(4, Some("d"))]), [("c", -1)]);
        assert!(rows.rows.is_empty(), "a deletion in offset order leaves nothing behind");
        assert_eq!(apply(&mut rows, 4, &[offset(6, None)]), []);
    }

    #[test]
    fn what_changes_nothing_emits_nothing() {
        let mut rows = Rows::new(1000);
        apply(&mut rows, 1, &[Record(7, None, 1, Some("a")), Record(8, None, 2, Some("x"))]);
        assert_eq!(apply(&mut rows, 2, &[Record(7, None, 3, Some("a"))]), []);
        assert_eq!(apply(&mut rows, 3, &[Record(9, None, 4, None)]), []);
        assert_eq!(apply(&mut rows, 4, &[Record(9, None, 5, Some("b")), Record(9, None, 6, None)]), []);
    }

    #[test]
    fn a_versioned_deletion_is_remembered_for_its_time() {
        let mut rows = Rows::new(100);
        let version = |n, value| Record(7, Some(n), n, value);
        apply(&mut rows, 1, &[version(5, None), Record(8, Some(1), 0, Some("x"))]);
        assert_eq!(apply(&mut rows, 50, &[version(4, Some("late"))]), [], "older than the deletion");
        assert_eq!(apply(&mut rows, 101, &[version(4, Some("later"))]), [("later", 1)], "forgotten");
        assert_eq!(apply(&mut rows, 102, &[version(6, Some("newer"))]), [("later", -1), ("newer", 1)]);
        assert!(rows.deletions.is_empty());
    }

    #[test]
    fn a_row_that_took_a_deletions_place_is_not_forgotten() {
        let mut rows = Rows::new(100);
        let version = |n, value| Record(7, Some(n), n, value);
        apply(&mut rows, 1, &[version(5, None), Record(8, Some(1), 0, Some("x"))]);
        apply(&mut rows, 2, &[version(6, Some("back"))]);
        assert_eq!(apply(&mut rows, 200, &[version(7, None)]), [("back", -1)]);
    }
}
