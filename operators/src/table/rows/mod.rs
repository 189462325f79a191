//! The rows of a table: what an epoch changes, what is journalled of it, and what a journal brings back.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::candidates::Candidates;
use super::deadlines::Deadlines;
use super::fold::Fold;
use super::options::Tick;
use super::outcome::{Found, Output, TableChange};
use super::versioned::Versioned;

/// The records of a table, one a key; among them the deletions that it must remember.
#[derive(Debug)]
pub(crate) struct Rows<R> {
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
    hash: u64,
    /// The epoch of the record's arrival.
    epoch: u64,
    record: R,
}

fn is_gone<R: Versioned>(record: &R) -> bool {
    record.is_deletion() && !record.is_remembered()
}

impl<R: Versioned + Clone> Default for Rows<R> {
    fn default() -> Self {
        Rows::new(0, None)
    }
}

impl<R: Versioned + Clone> Rows<R> {
    /// Deletions are remembered for `remember` epochs, rows kept for `keep_ns` after their time.
    pub(crate) fn new(remember: u64, keep_ns: Option<u64>) -> Self {
        let deadlines = keep_ns.map(Deadlines::new);
        Rows { slots: HashTable::new(), deletions: VecDeque::new(), remember, deadlines }
    }

    /// Keys that there is something of: rows, and deletions that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// From now on rows go a time after their own.
    pub(crate) fn keep(&mut self, keep_ns: u64) {
        self.deadlines = Some(Deadlines::new(keep_ns));
        self.track_all();
    }

    /// Gives everything away that there is of any key.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = R> + '_ {
        self.deletions = VecDeque::new();
        self.deadlines = None;
        std::mem::take(&mut self.slots).into_iter().map(|slot| slot.record)
    }

    /// Applies the newest records of an epoch. Shows the rows that go (-1) and come (+1), and notes each change of state. A
    /// record that changes no row shows nothing; it is noted all the same, because later ones are compared with it. One that is
    /// too old goes as it comes, and so does the row that it replaces.
    pub(crate) fn apply(&mut self, epoch: u64, newest: impl IntoIterator<Item = R>, out: &mut impl Output<R>) -> Found {
        self.forget(epoch, out);
        let newest = newest.into_iter();
        if self.slots.is_empty() {
            self.slots.reserve(newest.size_hint().0, |slot| slot.hash);
        }
        let mut found = Found::default();
        for record in newest {
            let hash = record.key_hash();
            let is_late = self.deadlines.as_ref().is_some_and(|deadlines| deadlines.is_due(&record, epoch));
            let same = |slot: &Slot<R>| slot.hash == hash && slot.record.same_key(&record);
            match self.slots.entry(hash, same, |slot| slot.hash) {
                Entry::Vacant(_) if is_late => {
                    found.expired += 1;
                    continue;
                }
                Entry::Vacant(_) if is_gone(&record) => continue,
                Entry::Vacant(vacant) => {
                    if !record.is_deletion() {
                        out.show(&record, 1);
                    }
                    out.note(TableChange::Set(record.clone()));
                    track(&mut self.deadlines, None, &record);
                    vacant.insert(Slot { hash, epoch, record: record.clone() });
                }
                Entry::Occupied(mut occupied) => {
                    let slot = occupied.get_mut();
                    found.ambiguous += u64::from(record.is_ambiguous_with(&slot.record));
                    if !record.is_after(&slot.record) {
                        found.superseded += 1;
                        continue;
                    }
                    difference(&slot.record, Some(&record).filter(|_| !is_late), &mut |row, diff| out.show(row, diff));
                    if is_late || is_gone(&record) {
                        found.expired += u64::from(is_late);
                        out.note(TableChange::Remove(record));
                        occupied.remove();
                        continue;
                    }
                    out.note(TableChange::Set(record.clone()));
                    track(&mut self.deadlines, Some(&slot.record), &record);
                    *slot = Slot { hash, epoch, record: record.clone() };
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
    pub(crate) fn load(&mut self, epoch: u64, record: R) {
        let hash = record.key_hash();
        let same = |slot: &Slot<R>| slot.hash == hash && slot.record.same_key(&record);
        match self.slots.entry(hash, same, |slot| slot.hash) {
            Entry::Vacant(vacant) => _ = vacant.insert(Slot { hash, epoch, record }),
            Entry::Occupied(mut occupied) if occupied.get().epoch <= epoch => {
                *occupied.get_mut() = Slot { hash, epoch, record };
            }
            Entry::Occupied(_) => (),
        }
    }

    /// Ends a load: what is gone leaves, remembered deletions are remembered.
    pub(crate) fn settle(&mut self) {
        self.slots.retain(|slot| !is_gone(&slot.record));
        let deletions = self.slots.iter().filter(|slot| slot.record.is_deletion());
        let mut deletions: Vec<_> = deletions.map(|slot| (slot.epoch, slot.record.clone())).collect();
        deletions.sort_by_key(|(epoch, _)| *epoch);
        self.deletions = deletions.into();
        self.track_all();
    }

    /// Lets the rows go whose time is over (-1). Their number.
    pub(crate) fn expire(&mut self, epoch: u64, out: &mut impl Output<R>) -> u64 {
        let Some(deadlines) = &mut self.deadlines else { return 0 };
        let mut expired = 0;
        for hash in deadlines.take(epoch) {
            let due = |slot: &Slot<R>| slot.hash == hash && deadlines.is_due(&slot.record, epoch);
            while let Ok(entry) = self.slots.find_entry(hash, due) {
                let record = entry.remove().0.record;
                out.show(&record, -1);
                out.note(TableChange::Remove(record));
                expired += 1;
            }
            let others = self.slots.iter_hash(hash).filter(|slot| slot.hash == hash);
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
    pub(crate) fn replay(&mut self, epoch: u64, record: R, show: &mut impl FnMut(&R, isize)) {
        let hash = record.key_hash();
        let same = |slot: &Slot<R>| slot.hash == hash && slot.record.same_key(&record);
        if record.is_deletion() && record.is_remembered() {
            self.deletions.push_back((epoch, record.clone()));
        }
        match self.slots.entry(hash, same, |slot| slot.hash) {
            Entry::Vacant(_) if is_gone(&record) => (),
            Entry::Vacant(vacant) => {
                if !record.is_deletion() {
                    show(&record, 1);
                }
                track(&mut self.deadlines, None, &record);
                vacant.insert(Slot { hash, epoch, record });
            }
            Entry::Occupied(mut occupied) => {
                difference(&occupied.get().record, Some(&record), show);
                if is_gone(&record) {
                    occupied.remove();
                } else {
                    track(&mut self.deadlines, Some(&occupied.get().record), &record);
                    *occupied.get_mut() = Slot { hash, epoch, record };
                }
            }
        }
    }

    /// The row of a key.
    pub(crate) fn get(&self, key: &R) -> Option<&R> {
        let hash = key.key_hash();
        let slot = self.slots.find(hash, |slot| slot.hash == hash && slot.record.same_key(key))?;
        Some(&slot.record).filter(|record| !record.is_deletion())
    }

    /// All rows, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().map(|slot| &slot.record).filter(|record| !record.is_deletion())
    }

    /// Gives all rows away.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = R> + '_ {
        self.slots.drain().map(|slot| slot.record).filter(|record| !record.is_deletion())
    }

    /// Drops deletions that were remembered for long enough, unless a newer record has taken their place.
    fn forget(&mut self, epoch: u64, out: &mut impl Output<R>) {
        let remember = self.remember;
        while let Some((_, old)) = self.deletions.pop_front_if(|(arrived, _)| arrived.saturating_add(remember) <= epoch)
        {
            let still =
                |slot: &Slot<R>| slot.record.same_key(&old) && slot.record.is_deletion() && !slot.record.is_after(&old);
            if let Ok(entry) = self.slots.find_entry(old.key_hash(), still) {
                entry.remove();
                out.note(TableChange::Remove(old));
            }
        }
    }
}

impl<R: Versioned + Clone + Send + 'static> Fold<R> for Rows<R> {
    type Live = R;
    type State = R;
    type Arrived = Candidates<R>;
    type Refusal = Infallible;
    const REFUSES: bool = false;

    fn route(record: &R) -> u64 {
        record.route()
    }

    fn arrive(arrived: &mut Candidates<R>, records: impl Iterator<Item = R>) {
        records.for_each(|record| arrived.offer(record));
    }

    fn close(&mut self, epoch: u64, arrived: Candidates<R>, out: &mut impl Output<R>) -> Found {
        let (newest, mut found) = arrived.finish();
        // Not at epochs that are only repeated: what they forgot was noted then.
        if !newest.is_empty() {
            found += self.apply(epoch, newest, out);
        }
        found
    }

    fn close_last(&mut self, epoch: u64, arrived: Candidates<R>, out: &mut impl Output<R>) -> Found {
        if !self.slots.is_empty() {
            return Fold::close(self, epoch, arrived, out);
        }
        let (newest, mut found) = arrived.finish();
        for record in newest.into_iter().filter(|record| !is_gone(record)) {
            if self.deadlines.as_ref().is_some_and(|deadlines| deadlines.is_due(&record, epoch)) {
                found.expired += 1;
                continue;
            }
            if !record.is_deletion() {
                out.show(&record, 1);
            }
            out.note(TableChange::Set(record));
        }
        found
    }

    fn take_refused(&mut self) -> Vec<(R, Infallible)> {
        Vec::new()
    }

    fn expire(&mut self, epoch: u64, _tick: Tick, out: &mut impl Output<R>) -> u64 {
        Rows::expire(self, epoch, out)
    }

    fn load(&mut self, epoch: u64, record: R) {
        self.load(epoch, record);
    }

    fn settle(&mut self) {
        self.settle();
    }

    fn repeat(&mut self, mut sealed: Vec<(u64, R)>, out: &mut impl Output<R>) {
        // Several epochs may be shown as one: in their order.
        sealed.sort_by_key(|(epoch, _)| *epoch);
        sealed.into_iter().for_each(|(epoch, record)| self.replay(epoch, record, &mut |row, diff| out.show(row, diff)));
    }

    fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn get(&mut self, key: &R) -> Option<R> {
        Rows::get(self, key).cloned()
    }

    fn iter(&mut self) -> impl Iterator<Item = R> {
        Rows::iter(self).cloned()
    }

    fn count(&self) -> usize {
        Rows::iter(self).count()
    }

    fn drain(&mut self) -> impl Iterator<Item = R> {
        Rows::drain(self)
    }

    fn hidden(&self) -> u64 {
        0
    }

    fn take(&mut self) -> Box<dyn Any + Send> {
        Box::new(std::mem::take(self))
    }
}

fn track<R: Versioned>(deadlines: &mut Option<Deadlines>, before: Option<&R>, record: &R) {
    if let Some(deadlines) = deadlines {
        deadlines.track(before, record);
    }
}

/// What becomes of the row when a key's record is replaced, or goes.
fn difference<R: Versioned>(old: &R, new: Option<&R>, show: &mut impl FnMut(&R, isize)) {
    let new = new.filter(|new| !new.is_deletion());
    if new.is_some_and(|new| !old.is_deletion() && old.same_row(new)) {
        return;
    }
    if !old.is_deletion() {
        show(old, -1);
    }
    if let Some(new) = new {
        show(new, 1);
    }
}

#[cfg(test)]
mod tests;
