//! The state of an aggregation, and what an epoch changes.

use std::hash::Hash;

use hashbrown::HashMap;

use super::accumulator::Accumulator;
use super::group::Group;
use crate::slots::{Slots, number};

/// What the groups of one worker come to, and what the epoch under way changes of them.
///
/// A row is looked up once: its group knows where its change is. Changes lie one after another, in the order in which groups
/// were touched first, and what is left to do when the epoch is complete touches no table.
pub(super) struct Groups<K, A> {
    slots: Slots<K, Slot<A>>,
    changes: Vec<Change<A>>,
    /// So many of `changes` have been added to those above them.
    passed: usize,
    /// So many of `changes` are done.
    done: usize,
    /// Slots of groups that have no rows any more. They go when all changes are done, as others change their places then.
    gone: Vec<u32>,
    /// Filled and emptied for each group; here to be allocated once.
    larger: Vec<K>,
}

struct Slot<A> {
    group: Group<A>,
    /// The place of its change, or `NONE`.
    change: u32,
    /// Where the last one of those above it was, and probably still is: then it need not be looked up.
    above: u32,
}

struct Change<A> {
    slot: u32,
    of: Group<A>,
}

/// So many changes are added to those above them at once: what they touch is then still in a cache when it is changed.
const CHUNK: usize = 1 << 12;

/// So many changes have a place that is kept from epoch to epoch.
const MOST_KEPT: usize = 1 << 16;

const NONE: u32 = u32::MAX;

/// The changes of an epoch that is not under way yet, by group.
pub(super) type Changes<K, A> = HashMap<K, Group<A>>;

impl<K: Hash + Eq, A: Accumulator> Groups<K, A> {
    pub(super) fn new() -> Self {
        Groups {
            slots: Slots::default(),
            changes: Vec::new(),
            passed: 0,
            done: 0,
            gone: Vec::new(),
            larger: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes in what readers of the results know, in any pieces.
    pub(super) fn load(&mut self, key: K) -> &mut Group<A> {
        let slot = self.slot(key);
        &mut self.slots.at(slot).1.group
    }

    /// All is loaded: groups that have come and gone meanwhile are no more, and those above others are known, too.
    pub(super) fn settle(&mut self, above: &impl Fn(&K, &mut Vec<K>)) {
        for slot in (0..self.slots.len()).rev() {
            if self.slots.at(slot).1.group.rows == 0 {
                self.slots.remove(slot);
            }
        }
        for slot in 0..self.slots.len() {
            let group = std::mem::take(&mut self.slots.at(slot).1.group);
            self.pass_on(slot, &group, above);
            self.slots.at(slot).1.group = group;
        }
        while self.finish_next(above, true, &mut |_, _| None::<()>, |(), _| {}) {}
    }

    /// What the epoch under way changes of a group.
    pub(super) fn change(&mut self, key: K) -> &mut Group<A> {
        let slot = self.slot(key);
        self.change_at(slot)
    }

    fn change_at(&mut self, slot: usize) -> &mut Group<A> {
        let known = &mut self.slots.at(slot).1.change;
        // What has been passed on stays what it was.
        if *known == NONE || (*known as usize) < self.passed {
            *known = number(self.changes.len());
            self.changes.push(Change { slot: number(slot), of: Group::default() });
        }
        &mut self.changes[*known as usize].of
    }

    /// Changes the next group that the epoch under way touches, after which it is known what it adds to those `above` it. Tells
    /// `emit` its results before and after, if they differ; a group without rows has none. `false` if all are done.
    ///
    /// `keep` says whether anybody will ask for it again.
    pub(super) fn finish_next<O: Eq>(
        &mut self,
        above: &impl Fn(&K, &mut Vec<K>),
        keep: bool,
        result: &mut impl FnMut(&K, &Group<A>) -> Option<O>,
        mut emit: impl FnMut(O, isize),
    ) -> bool {
        if self.done == self.passed {
            self.pass_on_chunk(above);
        }
        let Some(next) = self.changes.get_mut(self.done) else {
            self.end();
            return false;
        };
        let (slot, change) = (next.slot as usize, std::mem::take(&mut next.of));
        let (key, Slot { group, change: known, .. }) = self.slots.at(slot);
        if *known as usize == self.done {
            *known = NONE;
        }
        self.done += 1;
        let mut result_of = |group: &Group<A>| (group.rows > 0).then(|| result(key, group)).flatten();
        if group.rows == 0 {
            result_of(&change).into_iter().for_each(|new| emit(new, 1));
            if keep {
                *group = change;
            }
        } else {
            let old = result_of(group);
            group.merge(change);
            let new = result_of(group);
            if old != new {
                old.into_iter().for_each(|old| emit(old, -1));
                new.into_iter().for_each(|new| emit(new, 1));
            }
        }
        if keep && group.rows == 0 {
            self.gone.push(number(slot));
        }
        true
    }

    /// All changes are done.
    fn end(&mut self) {
        self.changes.clear();
        // A bulk load is over; other epochs are small.
        self.changes.shrink_to(MOST_KEPT);
        (self.passed, self.done) = (0, 0);
        let mut gone = std::mem::take(&mut self.gone);
        // From the last one on, so that none of them takes the place of another.
        gone.sort_unstable_by(|a, b| b.cmp(a));
        gone.dedup();
        for slot in gone {
            if self.slots.at(slot as usize).1.group.rows == 0 {
                self.slots.remove(slot as usize);
            }
        }
    }

    /// Adds the next changes to the groups above them: one after another and nothing else meanwhile, so that a processor can
    /// fetch several groups at once.
    fn pass_on_chunk(&mut self, above: &impl Fn(&K, &mut Vec<K>)) {
        let end = self.changes.len().min(self.passed + CHUNK);
        while self.passed < end {
            let at = self.passed;
            let Change { slot, of } = &mut self.changes[at];
            let (slot, change) = (*slot as usize, std::mem::take(of));
            self.passed += 1;
            self.pass_on(slot, &change, above);
            self.changes[at].of = change;
        }
    }

    /// Adds to the groups above one what changes of it.
    fn pass_on(&mut self, slot: usize, change: &Group<A>, above: &impl Fn(&K, &mut Vec<K>)) {
        let mut larger = std::mem::take(&mut self.larger);
        above(self.slots.at(slot).0, &mut larger);
        for key in larger.drain(..) {
            let probably = self.slots.at(slot).1.above as usize;
            let is_there = self.slots.get(probably).is_some_and(|(other, _)| *other == key);
            let place = if is_there { probably } else { self.slot(key) };
            self.slots.at(slot).1.above = number(place);
            self.change_at(place).merge(change.clone());
        }
        self.larger = larger;
    }

    fn slot(&mut self, key: K) -> usize {
        self.slots.slot(key, || Slot { group: Group::default(), change: NONE, above: NONE })
    }
}
