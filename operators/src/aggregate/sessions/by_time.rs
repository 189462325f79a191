//! What rows come to at each time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::aggregate::accumulator::Accumulator;
use crate::aggregate::group::Group;

/// What the rows of each time come to; or a change of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ByTime<A>(pub(super) BTreeMap<i64, Group<A>>);

impl<A> Default for ByTime<A> {
    fn default() -> Self {
        ByTime(BTreeMap::new())
    }
}

impl<A: Accumulator> Accumulator for ByTime<A> {
    type Input = (i64, A::Input);

    fn add(&mut self, (time, input): Self::Input, times: i64) {
        self.0.entry(time).or_default().add(input, times);
    }

    fn merge(&mut self, other: Self) {
        for (time, group) in other.0 {
            match self.0.entry(time) {
                Entry::Vacant(entry) => drop(entry.insert(group)),
                Entry::Occupied(mut entry) => entry.get_mut().merge(group),
            }
        }
    }
}
