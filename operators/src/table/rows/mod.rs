//! The rows of a table: what an epoch changes, what is journalled of it, and what a journal brings back.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::candidates::Found;
use super::deadlines::Deadlines;
use super::versioned::Versioned;

/// A change of a table's state, for a journal. A deletion that must be remembered is state too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum TableChange<R> {
    /// The state of the key is this record.
    Set(R),
    /// There is nothing of the key of this record any more.
    Remove(R),
}

/// The records of a table, one a key; among them the deletions that it must remember.
#[derive(Debug)]
pub(super) struct Rows<R> {
    slots: HashTable<Slot<R>>,
    /// Remembered deletions, by the epoch of their arrival.
    deletions: VecDeque<(u64, R)>,
    /// How long they are remembered, in the unit of epochs.
    remember: u64,
    /// Only where rows go with time.
    deadlines: Option<Deadlines>,
}

#[derive(Debug)]
struct Slot<R> {
    route: u64,
    /// The epoch of the record's arrival.
    epoch: u64,
    record: R,
}

fn is_gone<R: Versioned>(record: &R) -> bool {
    record.is_deletion() && !record.is_remembered()
}

impl<R: Versioned + Clone> Rows<R> {
    /// Deletions are remembered for `remember` epochs, rows kept for `keep_ns` after their time.
    pub(super) fn new(remember: u64, keep_ns: Option<u64>) -> Self {
        let deadlines = keep_ns.map(Deadlines::new);
        Rows { slots: HashTable::new(), deletions: VecDeque::new(), remember, deadlines }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Applies the newest records of an epoch. Emits the rows that go (-1) and come (+1), and notes each change of state. A
    /// record that changes no row emits nothing; it is noted all the same, because later ones are compared with it. One that is
    /// too old goes as it comes, and so does the row that it replaces.
    pub(super) fn apply(
        &mut self,
        epoch: u64,
        newest: Vec<R>,
        mut emit: impl FnMut(&R, isize),
        mut note: impl FnMut(TableChange<R>),
    ) -> Found {
        self.forget(epoch, &mut note);
        if self.slots.is_empty() {
            self.slots.reserve(newest.len(), |slot| slot.route);
        }
        let mut found = Found::default();
        for record in newest {
            let route = record.route();
            let is_late = self.deadlines.as_ref().is_some_and(|deadlines| deadlines.is_due(&record, epoch));
            let same = |slot: &Slot<R>| slot.route == route && slot.record.same_key(&record);
            match self.slots.entry(route, same, |slot| slot.route) {
                Entry::Vacant(_) if is_late => {
                    found.expired += 1;
                    continue;
                }
                Entry::Vacant(_) if is_gone(&record) => continue,
                Entry::Vacant(vacant) => {
                    if !record.is_deletion() {
                        emit(&record, 1);
                    }
                    note(TableChange::Set(record.clone()));
                    track(&mut self.deadlines, None, &record);
                    vacant.insert(Slot { route, epoch, record: record.clone() });
                }
                Entry::Occupied(mut occupied) => {
                    let slot = occupied.get_mut();
                    found.ambiguous += u64::from(record.is_ambiguous_with(&slot.record));
                    if !record.is_after(&slot.record) {
                        found.superseded += 1;
                        continue;
                    }
                    difference(&slot.record, Some(&record).filter(|_| !is_late), &mut emit);
                    if is_late || is_gone(&record) {
                        found.expired += u64::from(is_late);
                        note(TableChange::Remove(record));
                        occupied.remove();
                        continue;
                    }
                    note(TableChange::Set(record.clone()));
                    track(&mut self.deadlines, Some(&slot.record), &record);
                    *slot = Slot { route, epoch, record: record.clone() };
                }
            }
            if record.is_deletion() {
                self.deletions.push_back((epoch, record));
            }
        }
        found
    }

    /// Takes in a state of a key that a journal has, as of `epoch`; whatever order they come in, the latest stays.
    ///
    /// [`Rows::settle`] must follow the last of them.
    pub(super) fn load(&mut self, epoch: u64, record: R) {
        let route = record.route();
        let same = |slot: &Slot<R>| slot.route == route && slot.record.same_key(&record);
        match self.slots.entry(route, same, |slot| slot.route) {
            Entry::Vacant(vacant) => _ = vacant.insert(Slot { route, epoch, record }),
            Entry::Occupied(mut occupied) if occupied.get().epoch <= epoch => {
                *occupied.get_mut() = Slot { route, epoch, record };
            }
            Entry::Occupied(_) => (),
        }
    }

    /// Ends a load: what is gone leaves, remembered deletions are remembered.
    pub(super) fn settle(&mut self) {
        self.slots.retain(|slot| !is_gone(&slot.record));
        let deletions = self.slots.iter().filter(|slot| slot.record.is_deletion());
        let mut deletions: Vec<_> = deletions.map(|slot| (slot.epoch, slot.record.clone())).collect();
        deletions.sort_by_key(|(epoch, _)| *epoch);
        self.deletions = deletions.into();
        self.track_all();
    }

    /// Lets the rows go whose time is over (-1). Their number.
    pub(super) fn expire(
        &mut self,
        epoch: u64,
        mut emit: impl FnMut(&R, isize),
        mut note: impl FnMut(TableChange<R>),
    ) -> u64 {
        let Some(deadlines) = &mut self.deadlines else { return 0 };
        let mut expired = 0;
        for route in deadlines.take(epoch) {
            let due = |slot: &Slot<R>| slot.route == route && deadlines.is_due(&slot.record, epoch);
            while let Ok(entry) = self.slots.find_entry(route, due) {
                let record = entry.remove().0.record;
                emit(&record, -1);
                note(TableChange::Remove(record));
                expired += 1;
            }
            let others = self.slots.iter_hash(route).filter(|slot| slot.route == route);
            others.for_each(|slot| deadlines.track(None, &slot.record));
        }
        if deadlines.is_bloated(self.slots.len()) {
            self.track_all();
        }
        expired
    }

    /// Makes the deadlines anew.
    fn track_all(&mut self) {
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.clear();
            self.slots.iter().for_each(|slot| deadlines.track(None, &slot.record));
        }
    }

    /// Applies what an epoch had made of the rows when it was first there; its order was decided then.
    pub(super) fn replay(&mut self, epoch: u64, record: R, mut emit: impl FnMut(&R, isize)) {
        let route = record.route();
        let same = |slot: &Slot<R>| slot.route == route && slot.record.same_key(&record);
        if record.is_deletion() && record.is_remembered() {
            self.deletions.push_back((epoch, record.clone()));
        }
        match self.slots.entry(route, same, |slot| slot.route) {
            Entry::Vacant(_) if is_gone(&record) => (),
            Entry::Vacant(vacant) => {
                if !record.is_deletion() {
                    emit(&record, 1);
                }
                track(&mut self.deadlines, None, &record);
                vacant.insert(Slot { route, epoch, record });
            }
            Entry::Occupied(mut occupied) => {
                difference(&occupied.get().record, Some(&record), &mut emit);
                if is_gone(&record) {
                    occupied.remove();
                } else {
                    track(&mut self.deadlines, Some(&occupied.get().record), &record);
                    *occupied.get_mut() = Slot { route, epoch, record };
                }
            }
        }
    }

    /// The row of a key.
    pub(super) fn get(&self, key: &R) -> Option<&R> {
        let route = key.route();
        let slot = self.slots.find(route, |slot| slot.route == route && slot.record.same_key(key))?;
        Some(&slot.record).filter(|record| !record.is_deletion())
    }

    /// All rows, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().map(|slot| &slot.record).filter(|record| !record.is_deletion())
    }

    /// Gives all rows away.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = R> + '_ {
        self.slots.drain().map(|slot| slot.record).filter(|record| !record.is_deletion())
    }

    /// Drops deletions that were remembered for long enough, unless a newer record has taken their place.
    fn forget(&mut self, epoch: u64, note: &mut impl FnMut(TableChange<R>)) {
        let remember = self.remember;
        while let Some((_, old)) = self.deletions.pop_front_if(|(arrived, _)| arrived.saturating_add(remember) <= epoch)
        {
            let still =
                |slot: &Slot<R>| slot.record.same_key(&old) && slot.record.is_deletion() && !slot.record.is_after(&old);
            if let Ok(entry) = self.slots.find_entry(old.route(), still) {
                entry.remove();
                note(TableChange::Remove(old));
            }
        }
    }
}

fn track<R: Versioned>(deadlines: &mut Option<Deadlines>, before: Option<&R>, record: &R) {
    if let Some(deadlines) = deadlines {
        deadlines.track(before, record);
    }
}

/// What becomes of the row when a key's record is replaced, or goes.
fn difference<R: Versioned>(old: &R, new: Option<&R>, emit: &mut impl FnMut(&R, isize)) {
    let new = new.filter(|new| !new.is_deletion());
    if new.is_some_and(|new| !old.is_deletion() && old.same_row(new)) {
        return;
    }
    if !old.is_deletion() {
        emit(old, -1);
    }
    if let Some(new) = new {
        emit(new, 1);
    }
}

#[cfg(test)]
mod tests;
