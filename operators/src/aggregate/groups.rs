//! The state of an aggregation, and what an epoch changes.

use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::accumulator::Accumulator;
use super::group::Group;

/// What the groups of one worker come to.
pub(super) struct Groups<K, A> {
    groups: HashMap<K, Group<A>>,
}

/// The changes of an epoch, by group.
pub(super) type Changes<K, A> = HashMap<K, Group<A>>;

impl<K: Hash + Eq, A: Accumulator> Groups<K, A> {
    pub(super) fn new() -> Self {
        Groups { groups: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes in what readers of the results know, in any pieces.
    pub(super) fn load(&mut self, key: K, change: impl FnOnce(&mut Group<A>)) {
        change(self.groups.entry(key).or_default());
    }

    /// All is loaded: groups that have come and gone meanwhile are no more, and those above others are known, too.
    pub(super) fn settle(&mut self, above: &impl Fn(&K, &mut Vec<K>)) {
        self.groups.retain(|_, group| group.rows != 0);
        let mut larger = Vec::new();
        let mut level: Changes<K, A> = Changes::new();
        for (key, group) in &self.groups {
            above(key, &mut larger);
            larger.drain(..).for_each(|key| level.entry(key).or_default().merge(group.clone()));
        }
        while !level.is_empty() {
            let mut next = Changes::new();
            for (key, group) in level {
                above(&key, &mut larger);
                larger.drain(..).for_each(|key| next.entry(key).or_default().merge(group.clone()));
                self.groups.entry(key).or_default().merge(group);
            }
            level = next;
        }
    }

    /// Changes a group; tells `emit` its results before and after, if they differ. A group without rows has none.
    ///
    /// `keep` says whether anybody will ask for it again.
    pub(super) fn change<O: Eq>(
        &mut self,
        key: K,
        change: Group<A>,
        keep: bool,
        result: &mut impl FnMut(&K, &Group<A>) -> Option<O>,
        mut emit: impl FnMut(O, isize),
    ) {
        let mut result_of = |key: &K, group: &Group<A>| (group.rows > 0).then(|| result(key, group)).flatten();
        match self.groups.entry(key) {
            Entry::Vacant(entry) => {
                if let Some(new) = result_of(entry.key(), &change) {
                    emit(new, 1);
                }
                if keep && change.rows != 0 {
                    entry.insert(change);
                }
            }
            Entry::Occupied(mut entry) => {
                let old = result_of(entry.key(), entry.get());
                entry.get_mut().merge(change);
                let new = result_of(entry.key(), entry.get());
                if old != new {
                    old.into_iter().for_each(|old| emit(old, -1));
                    new.into_iter().for_each(|new| emit(new, 1));
                }
                if entry.get().rows == 0 {
                    entry.remove();
                }
            }
        }
    }
}
