//! Ids that have come, and when they are forgotten. No dataflow.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::table::TableChange;

/// An id comes or goes, with its time.
pub type IdChange<I> = TableChange<(I, i64)>;

/// The ids of one worker, each with its time.
#[derive(Debug)]
pub(super) struct Remembered<I> {
    ids: HashMap<I, i64>,
    /// By their times, in spans of this length.
    width: i64,
    leaving: BTreeMap<i64, Vec<I>>,
}

impl<I: Hash + Eq + Clone> Remembered<I> {
    pub(super) fn new(width: i64) -> Self {
        Remembered { ids: HashMap::new(), width: width.max(1), leaving: BTreeMap::new() }
    }

    /// Takes an id in, unless it is there, with a time that is not before `bound`; says whether it was not.
    pub(super) fn insert(&mut self, id: &I, time: i64, bound: i64) -> bool {
        match self.ids.entry(id.clone()) {
            Entry::Occupied(known) if *known.get() >= bound => return false,
            Entry::Occupied(mut known) => drop(known.insert(time)),
            Entry::Vacant(vacant) => drop(vacant.insert(time)),
        }
        self.leaving.entry(time.div_euclid(self.width)).or_default().push(id.clone());
        true
    }

    /// Forgets ids whose times are before `bound`, and tells `gone` which: those of a span leave together.
    pub(super) fn forget(&mut self, bound: i64, mut gone: impl FnMut(I, i64)) {
        let later = self.leaving.split_off(&bound.div_euclid(self.width));
        for (span, ids) in std::mem::replace(&mut self.leaving, later) {
            for id in ids {
                // One that came again meanwhile may be in a later span.
                if let Entry::Occupied(known) = self.ids.entry(id)
                    && known.get().div_euclid(self.width) == span
                {
                    let (id, time) = known.remove_entry();
                    gone(id, time);
                }
            }
        }
        if self.ids.capacity() > 4 * self.ids.len() {
            self.ids.shrink_to(2 * self.ids.len());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// What a journal has of ids, while it is read.
#[derive(Debug)]
pub(super) struct Loading<I>(HashMap<I, (u64, Option<i64>)>);

impl<I: Hash + Eq + Clone> Loading<I> {
    pub(super) fn new() -> Self {
        Loading(HashMap::new())
    }

    /// A change that was sealed at this epoch. They come in any order: the latest of an id stays.
    pub(super) fn change(&mut self, epoch: u64, change: IdChange<I>) {
        let (id, time) = match change {
            TableChange::Set((id, time)) => (id, Some(time)),
            TableChange::Remove((id, _)) => (id, None),
        };
        let known = self.0.entry(id).or_insert((epoch, time));
        if epoch >= known.0 {
            *known = (epoch, time);
        }
    }

    pub(super) fn settle(self, remembered: &mut Remembered<I>) {
        for (id, (_, time)) in self.0 {
            if let Some(time) = time {
                remembered.insert(&id, time, i64::MIN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_remembered_until_their_time_is_over_and_leave_nothing_behind() {
        let mut ids = Remembered::new(10);
        for id in 0..10_000_u32 {
            assert!(ids.insert(&id, i64::from(id), i64::MIN));
            assert!(!ids.insert(&id, i64::from(id) + 7, i64::MIN), "a later one does not prolong it");
        }
        let (mut gone, before) = (Vec::new(), ids.ids.capacity());
        ids.forget(9_905, |id, time| gone.push((id, time)));
        assert_eq!(gone.len(), 9_900, "those of the span from 9900 to 9909 are not all over");
        assert!(gone.iter().all(|(id, time)| i64::from(*id) == *time));
        assert_eq!((ids.len(), ids.leaving.len()), (100, 10));
        assert!(ids.ids.capacity() < before / 10);
        assert!(ids.insert(&3, 10_003, 9_905) && !ids.insert(&9_999, 1, 9_905));
    }

    #[test]
    fn one_that_comes_again_when_its_time_is_over_is_as_if_it_had_not_been_there() {
        let mut ids = Remembered::new(10);
        assert!(ids.insert(&'a', 5, 0));
        assert!(!ids.insert(&'a', 25, 5), "its time is not over");
        assert!(ids.insert(&'a', 25, 6));
        ids.forget(20, |id, _| panic!("{id} has come again"));
        ids.forget(30, |id, time| assert_eq!((id, time), ('a', 25)));
        assert_eq!(ids.len(), 0);
    }

    #[test]
    fn the_latest_change_of_an_id_is_loaded_whatever_order_they_come_in() {
        let mut changes = [
            (1, TableChange::Set(('a', 10))),
            (3, TableChange::Remove(('a', 10))),
            (5, TableChange::Set(('a', 50))),
            (2, TableChange::Set(('b', 20))),
            (4, TableChange::Remove(('b', 20))),
        ];
        for _ in 0..2 {
            let (mut loading, mut ids) = (Loading::new(), Remembered::new(1));
            changes.iter().for_each(|(epoch, change)| loading.change(*epoch, change.clone()));
            loading.settle(&mut ids);
            assert!(!ids.insert(&'a', 60, 50) && ids.insert(&'b', 60, 0));
            changes.reverse();
        }
    }
}
