//! Values in order, with how often they are there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::accumulator::Accumulator;

/// Values in order, each with how often it is there: the state behind minimum, maximum, the number of distinct values,
/// histograms, and the first of any order.
///
/// A retraction may take the greatest value away, and then the next one must be known: so all are kept. O(log n) for each
/// change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bag<V: Ord> {
    /// Never zero times.
    values: BTreeMap<V, i64>,
}

impl<V: Ord> Default for Bag<V> {
    fn default() -> Self {
        Bag { values: BTreeMap::new() }
    }
}

impl<V: Ord> Bag<V> {
    /// The values that are there, from the least one on, each with how often. One that was only taken away is not there.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&V, i64)> {
        self.values.iter().filter(|(_, times)| **times > 0).map(|(value, times)| (value, *times))
    }

    /// Whether nothing was added or taken away, on balance.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, also those that were only taken away, each with how often.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&V, i64)> {
        self.values.iter().map(|(value, times)| (value, *times))
    }

    /// How often a value is there; less than not at all, if it was only taken away.
    pub fn times(&self, value: &V) -> i64 {
        self.values.get(value).copied().unwrap_or(0)
    }

    /// The least value.
    pub fn min(&self) -> Option<&V> {
        self.iter().next().map(|(value, _)| value)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<&V> {
        self.iter().next_back().map(|(value, _)| value)
    }

    /// How many values there are that differ.
    pub fn distinct(&self) -> usize {
        self.iter().count()
    }
}

impl<V: Ord + Clone + 'static> Accumulator for Bag<V> {
    type Input = V;

    fn add(&mut self, input: V, times: i64) {
        if times == 0 {
            return;
        }
        match self.values.entry(input) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(times)),
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() = entry.get().wrapping_add(times);
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }

    fn merge(&mut self, mut other: Self) {
        if self.values.len() < other.values.len() {
            std::mem::swap(&mut self.values, &mut other.values);
        }
        other.values.into_iter().for_each(|(value, times)| self.add(value, times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_greatest_value_goes_the_next_one_is_known() {
        let mut bag = Bag::default();
        [3, 9, 5, 9].into_iter().for_each(|value| bag.add(value, 1));
        assert_eq!((bag.min(), bag.max(), bag.distinct()), (Some(&3), Some(&9), 3));
        bag.add(9, -1);
        assert_eq!(bag.max(), Some(&9), "it was there twice");
        bag.add(9, -1);
        assert_eq!((bag.max(), bag.distinct()), (Some(&5), 2));
        let mut gone = Bag::default();
        [3, 5].into_iter().for_each(|value| gone.add(value, -1));
        assert_eq!(gone.min(), None, "a difference takes away what is elsewhere");
        bag.merge(gone);
        assert_eq!(bag, Bag::default());
    }
}
