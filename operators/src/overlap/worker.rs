//! A worker's keys, and what is there of them.

use std::hash::Hash;

use hashbrown::HashMap;

use super::gather::{Spare, Todo};
use super::state::{Known, State};
use super::update::{Emit, Join, Results, Update};

/// The keys that a worker owns.
pub(super) struct Worker<K, A, B, L> {
    join: Join<A, B>,
    states: HashMap<K, State<A, B, L>>,
    update: Update<A, B>,
    /// The key that is being updated, and a state for it if it has none.
    now: Option<(K, State<A, B, L>)>,
    pub spare: Spare<K, A, B>,
}

impl<K: Ord + Hash, A: Ord, B: Ord, L: Known> Worker<K, A, B, L> {
    pub(super) fn new(join: Join<A, B>) -> Self {
        let (states, update, spare) = (HashMap::new(), Update::default(), Spare::default());
        Worker { join, states, update, now: None, spare }
    }

    /// Goes on with an epoch until it is done, or so many pairs were looked at. Says whether it is done.
    ///
    /// What is there afterwards is kept only if `more` epochs may follow.
    pub(super) fn resume(
        &mut self,
        todo: &mut Todo<K, A, B>,
        more: bool,
        budget: &mut usize,
        results: &mut impl Results<K, A, B>,
    ) -> bool {
        loop {
            let (key, mut fresh, arrived) = match self.now.take() {
                Some((key, fresh)) => (key, fresh, None),
                None => match todo.next(&mut self.spare) {
                    Some((key, arrived)) => (key, State::default(), Some(arrived)),
                    None => return true,
                },
            };
            let held = self.states.get_mut(&key);
            let is_new = held.is_none();
            let state = held.unwrap_or(&mut fresh);
            let before = arrived.map(|arrived| self.update.begin(arrived, state, &self.join));
            let done = self.update.resume(state, &self.join, budget, &mut Emit::new(&key, results));
            if done && more {
                self.update.store(state);
            }
            let is_empty = state.is_empty();
            before.into_iter().for_each(|before| self.spare.keep(before));
            if !done {
                self.now = Some((key, fresh));
                return false;
            }
            match (is_new, is_empty) {
                (true, false) => drop(self.states.insert(key, fresh)),
                (false, true) => drop(self.states.remove(&key)),
                _ => (),
            }
        }
    }
}

impl<K, A, B, L> Worker<K, A, B, L>
where
    K: Send + 'static,
    A: Send + 'static,
    B: Send + 'static,
    L: Send + 'static,
{
    /// The input has ended, and everything is done.
    pub(super) fn end(&mut self) {
        if !self.states.is_empty() {
            self.join.options.reaper.take(std::mem::take(&mut self.states));
        }
    }
}
