//! What is there of one key.

use crate::timeline::Index;

/// The rows of one key. `L` is what is known of a left row: see [`Known`].
#[derive(Debug)]
pub(super) struct State<A, B, L> {
    pub left: Index<A, L>,
    pub right: Index<B, isize>,
}

/// What is known of a left row: how often it is there, and, if the join asks for it, how many right rows match it.
pub(super) trait Known {
    /// Whether matches are counted.
    const MATCHES: bool;

    fn new(count: isize, matches: u32) -> Self;

    /// How often the row is there; 0 while an epoch is changing it.
    fn count(&mut self) -> &mut isize;

    fn matches(&self) -> u32;

    /// An epoch changes the number of matches; it may do so several times until it is settled.
    fn note(&mut self, flip: i32);

    /// What the epoch has changed counts from now on. Returns the matches before and after.
    fn settle(&mut self) -> (u32, u32);
}

/// For inner joins nobody asks how many match.
impl Known for isize {
    const MATCHES: bool = false;

    fn new(count: isize, _: u32) -> Self {
        count
    }

    fn count(&mut self) -> &mut isize {
        self
    }

    fn matches(&self) -> u32 {
        0
    }

    fn note(&mut self, _: i32) {}

    fn settle(&mut self) -> (u32, u32) {
        (0, 0)
    }
}

/// For joins that put out rows without a match. 32 bits for the matches: so many rows of one key fit no memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched {
    count: isize,
    matches: u32,
    pending: i32,
}

impl Known for Matched {
    const MATCHES: bool = true;

    fn new(count: isize, matches: u32) -> Self {
        Matched { count, matches, pending: 0 }
    }

    fn count(&mut self) -> &mut isize {
        &mut self.count
    }

    fn matches(&self) -> u32 {
        self.matches
    }

    fn note(&mut self, flip: i32) {
        self.pending += flip;
    }

    fn settle(&mut self) -> (u32, u32) {
        let before = self.matches;
        self.matches = before.wrapping_add_signed(std::mem::take(&mut self.pending));
        (before, self.matches)
    }
}

impl<A, B, L> Default for State<A, B, L> {
    fn default() -> Self {
        State { left: Index::default(), right: Index::default() }
    }
}

impl<A: Ord, B: Ord, L> State<A, B, L> {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.right.is_empty()
    }
}
