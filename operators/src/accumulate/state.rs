//! The groups of one worker: what an epoch changes, and what a journal brings back. No dataflow.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;

use hashbrown::HashMap;
use hashbrown::HashTable;
use hashbrown::hash_map::Entry;
use hashbrown::hash_table;

use super::accumulation::Accumulation;
use super::combiner::{Given, GivenTo};
use crate::aggregate::Group;
use crate::route::Route;
use crate::table::fold::Fold;
use crate::table::outcome::{Found, Output};
use crate::table::{Keyed, TableChange, Tick};

/// Groups by key.
type ByKey<C> = HashMap<<C as Accumulation>::Key, Group<<C as Accumulation>::Of>>;

/// What the groups of one worker come to.
pub(super) struct State<C: Accumulation> {
    of: C,
    groups: ByKey<C>,
    /// Of groups that come to be final, when.
    ends: BTreeMap<i64, Vec<C::Key>>,
    /// Pieces that are being loaded, the newest of each key: `(hash, epoch, piece)`.
    loading: HashTable<(u64, u64, C::Piece)>,
}

impl<C: Accumulation> State<C> {
    pub(super) fn new(of: C) -> Self {
        State { of, groups: HashMap::new(), ends: BTreeMap::new(), loading: HashTable::new() }
    }

    /// Adds a change to a group, and shows what that makes of it.
    fn change(&mut self, key: C::Key, change: Group<C::Of>, out: &mut impl Output<C::Row, C::Piece>) {
        let looks = out.looks();
        match self.groups.entry(key) {
            Entry::Vacant(entry) => {
                let mut group = Group::default();
                self.of.add(entry.key(), &mut group, change, |piece| out.note(TableChange::Set(piece)));
                match looks {
                    true => out.show(&self.of.row(entry.key(), &group), 1),
                    false => out.grow(1),
                }
                if let Some(end) = self.of.final_at(entry.key()) {
                    self.ends.entry(end).or_default().push(entry.key().clone());
                }
                entry.insert(group);
            }
            Entry::Occupied(mut entry) => {
                let before = looks.then(|| self.of.row(entry.key(), entry.get()));
                let key = entry.key().clone();
                self.of.add(&key, entry.get_mut(), change, |piece| out.note(TableChange::Set(piece)));
                if let Some(before) = before {
                    replace(Some(&before), &self.of.row(&key, entry.get()), out);
                }
            }
        }
    }

    /// Repeats what an epoch had made of groups.
    fn repeat_epoch(&mut self, pieces: impl Iterator<Item = C::Piece>, out: &mut impl Output<C::Row, C::Piece>) {
        let looks = out.looks();
        let mut touched: HashMap<C::Key, Option<C::Row>> = HashMap::new();
        let mut gone = Vec::new();
        for piece in pieces {
            if self.of.is_gone(&piece) {
                gone.push(self.of.key_of_piece(&piece));
                continue;
            }
            let key = self.of.key_of_piece(&piece);
            if !touched.contains_key(&key) {
                let State { of, groups, .. } = self;
                let before = groups.get(&key).filter(|_| looks).map(|group| of.row(&key, group));
                if !looks && !self.groups.contains_key(&key) {
                    out.grow(1);
                }
                touched.insert(key.clone(), before);
            }
            if !self.groups.contains_key(&key)
                && let Some(end) = self.of.final_at(&key)
            {
                self.ends.entry(end).or_default().push(key.clone());
            }
            self.of.restore(&piece, self.groups.entry(key).or_default());
        }
        if looks {
            for (key, before) in touched {
                replace(before.as_ref(), &self.of.row(&key, &self.groups[&key]), out);
            }
        }
        // Final: who was shown them keeps them.
        gone.iter().for_each(|key| out.grow(-isize::from(self.groups.remove(key).is_some())));
    }
}

/// Shows that a row has come to be another one.
fn replace<R: Keyed, S>(before: Option<&R>, now: &R, out: &mut impl Output<R, S>) {
    if before.is_some_and(|before| before.same_row(now)) {
        return;
    }
    before.into_iter().for_each(|before| out.show(before, -1));
    out.show(now, 1);
}

impl<C: Accumulation> Fold<C::Row> for State<C> {
    type Live = GivenTo<C::Key, C::Of>;
    type State = C::Piece;
    type Arrived = ByKey<C>;
    type Refusal = Infallible;
    const REFUSES: bool = false;

    fn route((key, _): &Self::Live) -> u64 {
        key.route()
    }

    fn arrive(arrived: &mut ByKey<C>, (key, given): Self::Live) {
        let group = arrived.entry(key).or_default();
        match given {
            Given::One(input) => group.add(input, 1),
            Given::Sum(sum) => group.merge(sum),
        }
    }

    fn close(&mut self, _epoch: u64, arrived: ByKey<C>, out: &mut impl Output<C::Row, C::Piece>) -> Found {
        let (mut level, mut larger) = (arrived, Vec::new());
        while !level.is_empty() {
            let mut above: ByKey<C> = HashMap::new();
            for (key, change) in level {
                self.of.above(&key, &mut larger);
                larger.drain(..).for_each(|key| above.entry(key).or_default().merge(change.clone()));
                if self.of.is_kept(&key) {
                    self.change(key, change, out);
                }
            }
            level = above;
        }
        Found::default()
    }

    fn take_refused(&mut self) -> Vec<(C::Row, Infallible)> {
        Vec::new()
    }

    fn expire(&mut self, _epoch: u64, tick: Tick, out: &mut impl Output<C::Row, C::Piece>) -> u64 {
        let Some(watermark) = tick.watermark else { return 0 };
        while let Some(end) = self.ends.first_entry().filter(|end| *end.key() <= watermark) {
            for key in end.remove() {
                // One that a replay has let go of is still among the ends.
                let Some(group) = self.groups.remove(&key) else { continue };
                self.of.pieces(&key, &group, |piece| out.note(TableChange::Remove(piece)));
                out.grow(-1);
            }
        }
        // For those who read them nothing is gone.
        0
    }

    fn load(&mut self, epoch: u64, piece: C::Piece) {
        let hash = piece.key_hash();
        let same = |(other, _, loaded): &(u64, u64, C::Piece)| *other == hash && loaded.same_key(&piece);
        match self.loading.entry(hash, same, |(hash, ..)| *hash) {
            hash_table::Entry::Vacant(vacant) => drop(vacant.insert((hash, epoch, piece))),
            hash_table::Entry::Occupied(mut occupied) if occupied.get().1 <= epoch => {
                *occupied.get_mut() = (hash, epoch, piece);
            }
            hash_table::Entry::Occupied(_) => (),
        }
    }

    fn settle(&mut self) {
        let State { of, groups, ends, loading } = self;
        for (_, _, piece) in std::mem::take(loading) {
            if !of.is_gone(&piece) {
                of.restore(&piece, groups.entry(of.key_of_piece(&piece)).or_default());
            }
        }
        for (key, end) in groups.keys().filter_map(|key| Some((key, of.final_at(key)?))) {
            ends.entry(end).or_default().push(key.clone());
        }
    }

    fn repeat(&mut self, mut sealed: Vec<(u64, C::Piece)>, out: &mut impl Output<C::Row, C::Piece>) {
        // Several epochs may be shown as one: in their order.
        sealed.sort_by_key(|(epoch, _)| *epoch);
        self.repeat_epoch(sealed.into_iter().map(|(_, piece)| piece), out);
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn get(&mut self, row: &C::Row) -> Option<C::Row> {
        let key = self.of.key_of_row(row);
        self.groups.get(&key).map(|group| self.of.row(&key, group))
    }

    fn iter(&mut self) -> impl Iterator<Item = C::Row> {
        let State { of, groups, .. } = self;
        groups.iter().map(|(key, group)| of.row(key, group))
    }

    fn count(&self) -> usize {
        self.groups.len()
    }

    fn drain(&mut self) -> impl Iterator<Item = C::Row> {
        let State { of, groups, .. } = self;
        groups.drain().map(|(key, group)| of.row(&key, &group))
    }

    fn hidden(&self) -> u64 {
        0
    }

    fn take(&mut self) -> Box<dyn Any + Send> {
        Box::new(std::mem::take(&mut self.groups))
    }
}
