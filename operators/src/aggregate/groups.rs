//! The state of an aggregation, and what an epoch changes.

use std::hash::{BuildHasher, Hash};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::accumulator::Accumulator;
use super::group::Group;

/// What the groups of one worker come to, and what the epoch under way changes of them.
///
/// A row is looked up once: its group knows where its change is. Changes lie one after another, in the order in which groups
/// were touched first, and what is left to do when the epoch is complete touches no table.
pub(super) struct Groups<K, A> {
    slots: Vec<Slot<K, A>>,
    /// Where the slots of keys are.
    places: HashTable<Place>,
    hashing: DefaultHashBuilder,
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

struct Slot<K, A> {
    key: K,
    group: Group<A>,
    /// The place of its change, or `NONE`.
    change: u32,
    /// Where the last one of those above it was, and probably still is: then it need not be looked up.
    above: u32,
}

/// With a part of the hash, so that a growing table need not look at keys.
struct Place {
    hash: u32,
    slot: u32,
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
            slots: Vec::new(),
            places: HashTable::new(),
            hashing: DefaultHashBuilder::default(),
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
        &mut self.slots[slot].group
    }

    /// All is loaded: groups that have come and gone meanwhile are no more, and those above others are known, too.
    pub(super) fn settle(&mut self, above: &impl Fn(&K, &mut Vec<K>)) {
        for slot in (0..self.slots.len()).rev() {
            if self.slots[slot].group.rows == 0 {
                self.remove(slot);
            }
        }
        for slot in 0..self.slots.len() {
            let group = std::mem::take(&mut self.slots[slot].group);
            self.pass_on(slot, &group, above);
            self.slots[slot].group = group;
        }
        while self.finish_next(above, true, &mut |_, _| None::<()>, |(), _| {}) {}
    }

    /// What the epoch under way changes of a group.
    pub(super) fn change(&mut self, key: K) -> &mut Group<A> {
        let slot = self.slot(key);
        self.change_at(slot)
    }

    fn change_at(&mut self, slot: usize) -> &mut Group<A> {
        let known = &mut self.slots[slot].change;
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
        let Slot { key, group, change: known, .. } = &mut self.slots[slot];
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
            if self.slots[slot as usize].group.rows == 0 {
                self.remove(slot as usize);
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
        above(&self.slots[slot].key, &mut larger);
        for key in larger.drain(..) {
            let probably = self.slots[slot].above as usize;
            let is_there = self.slots.get(probably).is_some_and(|slot| slot.key == key);
            let place = if is_there { probably } else { self.slot(key) };
            self.slots[slot].above = number(place);
            self.change_at(place).merge(change.clone());
        }
        self.larger = larger;
    }

    fn slot(&mut self, key: K) -> usize {
        let Groups { slots, places, hashing, .. } = self;
        let hash = hashing.hash_one(&key) as u32;
        let is_it = |place: &Place| place.hash == hash && slots[place.slot as usize].key == key;
        match places.entry(spread(hash), is_it, |place| spread(place.hash)) {
            Entry::Occupied(place) => place.get().slot as usize,
            Entry::Vacant(place) => {
                let slot = slots.len();
                place.insert(Place { hash, slot: number(slot) });
                slots.push(Slot { key, group: Group::default(), change: NONE, above: NONE });
                slot
            }
        }
    }

    /// The last slot takes the place of the one that goes.
    fn remove(&mut self, slot: usize) {
        let hash = self.hashing.hash_one(&self.slots[slot].key) as u32;
        let place = self.places.find_entry(spread(hash), |place| place.slot as usize == slot);
        place.ok().expect("each slot has a place").remove();
        let last = self.slots.len() - 1;
        self.slots.swap_remove(slot);
        let Some(moved) = self.slots.get(slot) else { return };
        let hash = self.hashing.hash_one(&moved.key) as u32;
        let place = self.places.find_mut(spread(hash), |place| place.slot as usize == last);
        place.expect("each slot has a place").slot = number(slot);
    }
}

/// The hash that the table is told: all of its bits depend on the part that is known.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn number(place: usize) -> u32 {
    u32::try_from(place).ok().filter(|place| *place != NONE).expect("a worker has fewer than 2^32 groups")
}
