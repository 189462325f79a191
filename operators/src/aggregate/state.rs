//! What an operator keeps of the groups of its worker.

use std::any::Any;
use std::hash::Hash;

use super::accumulator::Accumulator;
use super::group::Group;
use super::groups::{Changes, Groups};

/// State that groups are changed in, one by one.
pub(crate) trait State<K, A, O> {
    /// Takes in what readers of the results know, in any pieces.
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<A>));
    /// All is loaded.
    fn settle(&mut self);
    /// Changes a group, and tells `emit` the results that go and come. `keep` says whether anybody will ask for it again.
    fn change(&mut self, key: K, change: Group<A>, keep: bool, emit: impl FnMut(O, isize));
    /// All of it, if there is something: nobody will ask again.
    fn take(&mut self) -> Option<Box<dyn Any + Send>>;
}

/// State, and what the epoch under way changes of it.
pub(super) trait Fold<K, A, O> {
    /// As [`State::load`].
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<A>));
    /// All is loaded.
    fn settle(&mut self);
    /// What the epoch under way changes of a group.
    fn change(&mut self, key: K) -> &mut Group<A>;
    /// The epoch under way is complete: changes the next group that it touches, as [`State::change`]; `false` if all are done.
    fn finish_next(&mut self, keep: bool, emit: impl FnMut(O, isize)) -> bool;
    /// As [`State::take`].
    fn take(&mut self) -> Option<Box<dyn Any + Send>>;
}

/// Changes gathered beside the state, and then made in the order of their keys.
pub(super) struct Gathered<K, A, S> {
    state: S,
    changes: Changes<K, A>,
    /// Those of an epoch that is complete.
    todo: std::vec::IntoIter<(K, Group<A>)>,
}

impl<K, A, S> Gathered<K, A, S> {
    pub(super) fn new(state: S) -> Self {
        Gathered { state, changes: Changes::default(), todo: Vec::new().into_iter() }
    }
}

impl<K, A, O, S> Fold<K, A, O> for Gathered<K, A, S>
where
    K: Hash + Ord,
    A: Accumulator,
    S: State<K, A, O>,
{
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<A>)) {
        self.state.load(key, change);
    }

    fn settle(&mut self) {
        self.state.settle();
    }

    fn change(&mut self, key: K) -> &mut Group<A> {
        self.changes.entry(key).or_default()
    }

    fn finish_next(&mut self, keep: bool, emit: impl FnMut(O, isize)) -> bool {
        if !self.changes.is_empty() {
            let mut changes: Vec<_> = std::mem::take(&mut self.changes).into_iter().collect();
            changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            self.todo = changes.into_iter();
        }
        let Some((key, change)) = self.todo.next() else { return false };
        self.state.change(key, change, keep, emit);
        true
    }

    fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        self.state.take()
    }
}

/// Groups, and those that they are parts of.
pub(super) struct RollUp<K, A, F, R> {
    pub(super) groups: Groups<K, A>,
    pub(super) above: F,
    pub(super) result: R,
}

impl<K, A, O, F, R> Fold<K, A, O> for RollUp<K, A, F, R>
where
    K: Hash + Eq + Send + 'static,
    A: Accumulator + Send,
    O: Eq,
    F: Fn(&K, &mut Vec<K>),
    R: FnMut(&K, &Group<A>) -> Option<O>,
{
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<A>)) {
        change(self.groups.load(key));
    }

    fn settle(&mut self) {
        self.groups.settle(&self.above);
    }

    fn change(&mut self, key: K) -> &mut Group<A> {
        self.groups.change(key)
    }

    fn finish_next(&mut self, keep: bool, emit: impl FnMut(O, isize)) -> bool {
        self.groups.finish_next(&self.above, keep, &mut self.result, emit)
    }

    fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        (!self.groups.is_empty()).then(|| Box::new(std::mem::replace(&mut self.groups, Groups::new())) as _)
    }
}
