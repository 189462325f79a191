//! An accumulator, and how many rows it has.

use serde::{Deserialize, Serialize};

use super::accumulator::Accumulator;

/// What is known of the rows of a group; or of a change of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group<A> {
    /// How many rows it has.
    pub rows: i64,
    /// What they come to.
    pub of: A,
}

impl<A: Accumulator> Group<A> {
    /// Adds a row so many times.
    pub fn add(&mut self, input: A::Input, times: i64) {
        self.rows += times;
        self.of.add(input, times);
    }

    /// Adds everything that `other` has.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.of.merge(other.of);
    }
}
