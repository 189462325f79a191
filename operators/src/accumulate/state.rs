//! The groups of one worker: what an epoch changes, and what a journal brings back. No dataflow.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;

use hashbrown::HashMap;
use hashbrown::HashTable;
use hashbrown::hash_table;

use super::accumulation::Accumulation;
use super::combiner::{Given, GivenTo};
use crate::aggregate::{Accumulator, Group};
use crate::route::Route;
use crate::slots::Slots;
use crate::table::fold::Fold;
use crate::table::outcome::{Found, Output};
use crate::table::{Keyed, TableChange, Tick};

/// Groups by key.
type ByKey<C> = Slots<<C as Accumulation>::Key, Group<<C as Accumulation>::Of>>;

/// Of groups that come to be final, when.
type Ends<C> = BTreeMap<i64, Vec<<C as Accumulation>::Key>>;

/// What the groups of one worker come to. One without events is not there.
pub(super) struct State<C: Accumulation> {
    of: C,
    groups: ByKey<C>,
    ends: Ends<C>,
    loading: Loading<C::Piece>,
}

/// What is known of the pieces that are being loaded.
struct Loading<P> {
    /// By slot: the epoch of the group's newest piece, of those that are in place at once.
    epochs: Vec<u64>,
    /// The others, the newest of each key: `(hash, epoch, piece)`.
    others: HashTable<(u64, u64, P)>,
}

impl<P> Default for Loading<P> {
    fn default() -> Self {
        Loading { epochs: Vec::new(), others: HashTable::new() }
    }
}

impl<P: Keyed> Loading<P> {
    fn add(&mut self, epoch: u64, piece: P) {
        let hash = piece.key_hash();
        let same = |(other, _, loaded): &(u64, u64, P)| *other == hash && loaded.same_key(&piece);
        match self.others.entry(hash, same, |(hash, ..)| *hash) {
            hash_table::Entry::Vacant(vacant) => drop(vacant.insert((hash, epoch, piece))),
            hash_table::Entry::Occupied(mut occupied) if occupied.get().1 <= epoch => {
                *occupied.get_mut() = (hash, epoch, piece);
            }
            hash_table::Entry::Occupied(_) => (),
        }
    }
}

impl<C: Accumulation> State<C> {
    pub(super) fn new(of: C) -> Self {
        State { of, groups: Slots::default(), ends: BTreeMap::new(), loading: Loading::default() }
    }

    /// Adds changes to groups, and shows what that makes of these.
    fn change(
        &mut self,
        changes: impl Iterator<Item = (C::Key, Group<C::Of>)>,
        out: &mut impl Output<C::Row, C::Piece>,
    ) {
        let State { of, groups, ends, .. } = self;
        let looks = out.looks();
        groups.slots(changes, Group::default, glance, |key, group, change| {
            let is_new = group.rows == 0;
            let before = (looks && !is_new).then(|| of.row(key, group));
            of.add(key, group, change, |piece| out.note(TableChange::Set(piece)));
            match looks {
                true => replace(before.as_ref(), &of.row(key, group), out),
                false => out.grow(isize::from(is_new)),
            }
            if is_new {
                end(of, key, ends);
            }
        });
    }

    /// Repeats what an epoch had made of groups.
    fn repeat_epoch(&mut self, pieces: impl Iterator<Item = C::Piece>, out: &mut impl Output<C::Row, C::Piece>) {
        let State { of, groups, ends, .. } = self;
        let looks = out.looks();
        let mut touched: HashMap<usize, Option<C::Row>> = HashMap::new();
        let mut gone = Vec::new();
        for piece in pieces {
            let key = of.key_of_piece(&piece);
            if of.is_gone(&piece) {
                gone.push(key);
                continue;
            }
            let slot = groups.slot(key, Group::default);
            let (key, group) = groups.at(slot);
            touched.entry(slot).or_insert_with(|| {
                if group.rows > 0 {
                    return looks.then(|| of.row(key, group));
                }
                if !looks {
                    out.grow(1);
                }
                end(of, key, ends);
                None
            });
            of.restore(&piece, group);
        }
        if looks {
            for (slot, before) in touched {
                let (key, group) = groups.at(slot);
                replace(before.as_ref(), &of.row(key, group), out);
            }
        }
        // Final: who was shown them keeps them.
        for key in gone {
            let slot = groups.find(&key);
            out.grow(-isize::from(slot.map(|slot| groups.remove(slot)).is_some()));
        }
    }
}

/// Takes note of when a group comes to be final, if it does.
fn end<C: Accumulation>(of: &C, key: &C::Key, ends: &mut Ends<C>) {
    if let Some(end) = of.final_at(key) {
        ends.entry(end).or_default().push(key.clone());
    }
}

/// Reads something of a group, so that it is fetched.
fn glance<A: Accumulator>(group: &Group<A>) -> u64 {
    group.rows.cast_unsigned() ^ group.of.glance()
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

    fn arrive(arrived: &mut ByKey<C>, records: impl Iterator<Item = Self::Live>) {
        arrived.slots(records, Group::default, glance, |_, group, given| match given {
            Given::One(input) => group.add(input, 1),
            Given::Sum(sum) => group.merge(sum),
        });
    }

    fn close(&mut self, _epoch: u64, arrived: ByKey<C>, out: &mut impl Output<C::Row, C::Piece>) -> Found {
        let (mut level, mut larger) = (arrived, Vec::new());
        while !level.is_empty() {
            let mut above = ByKey::<C>::default();
            let mut added = Vec::new();
            for changes in level.chunks() {
                for (key, change) in changes {
                    self.of.above(key, &mut larger);
                    added.extend(larger.drain(..).map(|key| (key, change)));
                }
                above.slots(added.drain(..), Group::default, glance, |_, group, change| group.merge(change.clone()));
            }
            drop(added);
            let kept: Vec<_> = level.drain().filter(|(key, _)| self.of.is_kept(key)).collect();
            self.change(kept.into_iter(), out);
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
                let Some(slot) = self.groups.find(&key) else { continue };
                let (key, group) = self.groups.remove(slot);
                self.of.pieces(&key, &group, |piece| out.note(TableChange::Remove(piece)));
                out.grow(-1);
            }
        }
        // For those who read them nothing is gone.
        0
    }

    fn load(&mut self, epoch: u64, piece: C::Piece) {
        let State { of, groups, loading, .. } = self;
        if !of.is_first(&piece) {
            loading.add(epoch, piece);
            return;
        }
        let slot = groups.slot(of.key_of_piece(&piece), Group::default);
        if slot == loading.epochs.len() {
            loading.epochs.push(0);
        }
        if loading.epochs[slot] > epoch {
            return;
        }
        loading.epochs[slot] = epoch;
        let (_, group) = groups.at(slot);
        match of.is_gone(&piece) {
            true => *group = Group::default(),
            false => of.restore(&piece, group),
        }
    }

    fn settle(&mut self) {
        let State { of, groups, ends, loading } = self;
        let Loading { others, .. } = std::mem::take(loading);
        for slot in (0..groups.len()).rev() {
            if groups.at(slot).1.rows == 0 {
                groups.remove(slot);
            }
        }
        for (_, _, piece) in others {
            if !of.is_gone(&piece) {
                let slot = groups.slot(of.key_of_piece(&piece), Group::default);
                of.restore(&piece, groups.at(slot).1);
            }
        }
        groups.iter().for_each(|(key, _)| end(of, key, ends));
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
        let State { of, groups, .. } = self;
        let slot = groups.find(&key)?;
        groups.get(slot).map(|(key, group)| of.row(key, group))
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
