//! One epoch of one key: from changes of rows to changes of pairs, and of the rows that have none.

use super::changes::{Changes, Cursor, Row, scan};
use super::options::OverlapOptions;
use crate::timeline::Index;

/// What a join puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows that have none.
    Left,
    /// Left rows that have no pair.
    Anti,
}

/// The rows of one key.
#[derive(Debug)]
pub(super) struct State<A, B> {
    left: Index<A, Held>,
    right: Index<B, isize>,
}

/// What is known of a left row.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// How often it is there; not 0.
    count: isize,
    /// How many right rows match it. Not kept for inner joins. 32 bits: so many rows of one key fit no memory.
    matches: u32,
    /// What the epoch changes about that, until it is settled.
    pending: i32,
}

/// How many right rows match a changed left row.
#[derive(Clone, Copy, Debug, Default)]
struct Matches {
    before: u32,
    after: u32,
}

/// What comes in one epoch for one key.
#[derive(Debug)]
pub(super) struct Arrived<A, B> {
    pub left: Vec<Row<A>>,
    pub right: Vec<Row<B>>,
}

/// An update under way.
#[derive(Debug)]
pub(super) struct Update<A, B> {
    left: Changes<A>,
    right: Changes<B>,
    /// For each changed left row; empty for inner joins.
    matches: Vec<Matches>,
    stage: Stage,
}

/// What is to be done next. The numbers count changed rows.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Changed left rows meet right rows that stay as they are.
    Left(usize),
    /// Changed right rows meet left rows that stay as they are.
    Right(usize),
    /// Changed rows meet changed rows.
    Both(Cursor),
    /// Changed left rows have lost their last match or got their first.
    Unmatched(usize),
    /// Left rows that stay as they are have lost their last match or got their first.
    Settle(usize),
    Done,
}

impl<A, B> Default for State<A, B> {
    fn default() -> Self {
        State { left: Index::default(), right: Index::default() }
    }
}

impl<A: Ord, B: Ord> State<A, B> {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.right.is_empty()
    }
}

impl<A, B> Default for Arrived<A, B> {
    fn default() -> Self {
        Arrived { left: Vec::new(), right: Vec::new() }
    }
}

impl<A: Ord, B: Ord> Update<A, B> {
    /// Takes what changes out of the state, which holds what stays as it is until [`Update::store`].
    pub(super) fn new(
        arrived: Arrived<A, B>,
        state: &mut State<A, B>,
        kind: Kind,
        options: &OverlapOptions<A, B>,
    ) -> Self {
        let mut left = Changes::net(arrived.left, |row| options.left_span(row));
        let mut right = Changes::net(arrived.right, |row| options.right_span(row));
        let mut matches = vec![Matches::default(); if kind == Kind::Inner { 0 } else { left.len() }];
        if !state.left.is_empty() {
            left.take_old(|n, start, content| {
                let held = state.left.remove(start, content)?;
                if let Some(matches) = matches.get_mut(n) {
                    matches.before = held.matches;
                }
                Some(held.count)
            });
        }
        if !state.right.is_empty() {
            right.take_old(|_, start, content| state.right.remove(start, content));
        }
        Update { left, right, matches, stage: Stage::Left(0) }
    }

    /// Goes on until everything is emitted, or so many pairs were looked at. Says whether it is through.
    pub(super) fn resume(
        &mut self,
        state: &mut State<A, B>,
        kind: Kind,
        options: &OverlapOptions<A, B>,
        budget: &mut usize,
        emit: &mut impl FnMut(&A, Option<&B>, isize),
    ) -> bool {
        loop {
            if *budget == 0 {
                return false;
            }
            match self.stage {
                Stage::Left(n) if n < self.left.len() && !state.right.is_empty() => {
                    *budget = budget.saturating_sub(1 + self.left_row(n, state, kind, options, emit));
                    self.stage = Stage::Left(n + 1);
                }
                Stage::Left(_) => self.stage = Stage::Right(0),
                Stage::Right(n) if n < self.right.len() && !state.left.is_empty() => {
                    *budget = budget.saturating_sub(1 + self.right_row(n, state, kind, options, emit));
                    self.stage = Stage::Right(n + 1);
                }
                Stage::Right(_) => self.stage = Stage::Both(Cursor::default()),
                Stage::Both(mut cursor) => {
                    let through = self.both(&mut cursor, kind, options, budget, emit);
                    self.stage = if through { Stage::Unmatched(0) } else { Stage::Both(cursor) };
                }
                Stage::Unmatched(n) if n < self.matches.len() => {
                    *budget -= 1;
                    self.unmatched(n, emit);
                    self.stage = Stage::Unmatched(n + 1);
                }
                Stage::Unmatched(_) => self.stage = Stage::Settle(0),
                Stage::Settle(n) if n < self.right.len() && kind != Kind::Inner => {
                    *budget = budget.saturating_sub(1 + self.settle(n, state, emit));
                    self.stage = Stage::Settle(n + 1);
                }
                Stage::Settle(_) => self.stage = Stage::Done,
                Stage::Done => return true,
            }
        }
    }

    fn left_row(
        &mut self,
        n: usize,
        state: &State<A, B>,
        kind: Kind,
        options: &OverlapOptions<A, B>,
        emit: &mut impl FnMut(&A, Option<&B>, isize),
    ) -> usize {
        let (start, end, row) = self.left.get(n);
        if kind == Kind::Anti && row.new == 0 {
            return 0; // its matches from before are known
        }
        let (mut seen, mut matches) = (0, 0);
        state.right.overlapping(start, end).for_each(|(_, _, other, count)| {
            seen += 1;
            if options.holds(&row.content, other) {
                matches += 1;
                if kind != Kind::Anti {
                    emit(&row.content, Some(other), (row.new - row.old) * count);
                }
            }
        });
        if let Some(of) = self.matches.get_mut(n) {
            of.after = matches;
        }
        seen
    }

    fn right_row(
        &self,
        n: usize,
        state: &mut State<A, B>,
        kind: Kind,
        options: &OverlapOptions<A, B>,
        emit: &mut impl FnMut(&A, Option<&B>, isize),
    ) -> usize {
        let (start, end, row) = self.right.get(n);
        let flip = if kind == Kind::Inner { 0 } else { row.flip() };
        if kind == Kind::Anti && flip == 0 {
            return 0;
        }
        let mut seen = 0;
        state.left.visit_overlapping(start, end, |other, held| {
            seen += 1;
            if options.holds(other, &row.content) {
                held.pending += flip;
                if kind != Kind::Anti {
                    emit(other, Some(&row.content), held.count * (row.new - row.old));
                }
            }
        });
        seen
    }

    fn both(
        &mut self,
        cursor: &mut Cursor,
        kind: Kind,
        options: &OverlapOptions<A, B>,
        budget: &mut usize,
        emit: &mut impl FnMut(&A, Option<&B>, isize),
    ) -> bool {
        let matches = &mut self.matches;
        scan(&self.left, &self.right, cursor, budget, |n, left, right| {
            if !options.holds(&left.content, &right.content) {
                return;
            }
            let diff = left.new * right.new - left.old * right.old;
            if kind != Kind::Anti && diff != 0 {
                emit(&left.content, Some(&right.content), diff);
            }
            if let Some(of) = matches.get_mut(n) {
                of.after += u32::from(right.new != 0);
            }
        })
    }

    fn unmatched(&self, n: usize, emit: &mut impl FnMut(&A, Option<&B>, isize)) {
        let (_, _, row) = self.left.get(n);
        let alone = |matches: u32, count: isize| if matches == 0 { count } else { 0 };
        let diff = alone(self.matches[n].after, row.new) - alone(self.matches[n].before, row.old);
        if diff != 0 {
            emit(&row.content, None, diff);
        }
    }

    fn settle(&self, n: usize, state: &mut State<A, B>, emit: &mut impl FnMut(&A, Option<&B>, isize)) -> usize {
        let (start, end, row) = self.right.get(n);
        if row.flip() == 0 {
            return 0;
        }
        let mut seen = 0;
        state.left.visit_overlapping(start, end, |other, held| {
            seen += 1;
            let was_alone = held.matches == 0;
            held.matches = held.matches.wrapping_add_signed(std::mem::take(&mut held.pending));
            match (was_alone, held.matches == 0) {
                (true, false) => emit(other, None, -held.count),
                (false, true) => emit(other, None, held.count),
                _ => (),
            }
        });
        seen
    }

    /// Puts what is there after the epoch into the state.
    pub(super) fn store(self, state: &mut State<A, B>) {
        let matches = self.matches;
        let left = self.left.into_iter().enumerate().filter(|(_, (_, _, row))| row.new != 0);
        for (n, (start, end, row)) in left {
            let matches = matches.get(n).map_or(0, |of| of.after);
            state.left.insert(start, end, row.content, Held { count: row.new, matches, pending: 0 });
        }
        for (start, end, row) in self.right.into_iter().filter(|(_, _, row)| row.new != 0) {
            state.right.insert(start, end, row.content, row.new);
        }
    }
}
