//! One epoch of one key: from changes of rows to changes of pairs, and of the rows that have none.

use super::changes::{self, Changes, Span, scan};
use super::gather::Arrived;
use super::options::OverlapOptions;
use super::state::{Known, State};
use crate::timeline::{self, DENSE, Index, Op, Place};

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

/// What is asked for.
#[derive(Debug)]
pub(super) struct Join<A, B> {
    pub kind: Kind,
    pub options: OverlapOptions<A, B>,
}

/// Where results go.
pub(super) trait Results<K, A, B> {
    /// A pair, or a left row without one, comes or goes so often.
    fn one(&mut self, key: &K, left: &A, right: Option<&B>, diff: isize);
}

/// Where the results of a key go.
pub(super) struct Emit<'r, K, R> {
    key: &'r K,
    results: &'r mut R,
}

impl<'r, K, R> Emit<'r, K, R> {
    pub(super) fn new(key: &'r K, results: &'r mut R) -> Self {
        Emit { key, results }
    }
}

/// The update under way. One after the other, so that its vectors are not made anew for every key.
#[derive(Debug)]
pub(super) struct Update<A, B> {
    left: Changes<A>,
    right: Changes<B>,
    /// Where the changed rows are in the state, or would be.
    left_places: Vec<Result<Place, Place>>,
    right_places: Vec<Result<Place, Place>>,
    /// For each changed left row; empty for inner joins.
    matches: Vec<Matches>,
    stage: Stage,
}

/// How many right rows match a changed left row.
#[derive(Clone, Copy, Debug, Default)]
struct Matches {
    before: u32,
    after: u32,
}

/// What is to be done next. The numbers count changed rows.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Changed left rows meet right rows that stay as they are: by look-ups, or by a scan.
    Left(usize),
    LeftScan(timeline::Cursor),
    /// Changed right rows meet left rows that stay as they are.
    Right(usize),
    RightScan(timeline::Cursor),
    /// Changed rows meet changed rows.
    Both(changes::Cursor),
    /// Changed left rows have lost their last match or got their first.
    Unmatched(usize),
    /// Left rows that stay as they are have lost their last match or got their first.
    Settle(usize),
    Done,
}

impl Stage {
    fn left<A: Ord, B: Ord>(changes: &Changes<A>, others: &Index<B, isize>) -> Self {
        match changes.len() * DENSE >= others.len() {
            true => Stage::LeftScan(timeline::Cursor::default()),
            false => Stage::Left(0),
        }
    }

    fn right<A: Ord, B: Ord, L>(changes: &Changes<B>, others: &Index<A, L>) -> Self {
        match changes.len() * DENSE >= others.len() {
            true => Stage::RightScan(timeline::Cursor::default()),
            false => Stage::Right(0),
        }
    }
}

impl<A, B> Default for Update<A, B> {
    fn default() -> Self {
        Update {
            left: Changes::default(),
            right: Changes::default(),
            left_places: Vec::new(),
            right_places: Vec::new(),
            matches: Vec::new(),
            stage: Stage::Done,
        }
    }
}

impl<A: Ord, B: Ord> Update<A, B> {
    /// Begins with a key. Until [`Update::store`] its state shows only what stays as it is.
    ///
    /// Returns the vectors of the last time, which nobody needs any more.
    pub(super) fn begin<L: Known>(
        &mut self,
        arrived: Arrived<A, B>,
        state: &mut State<A, B, L>,
        join: &Join<A, B>,
    ) -> Arrived<A, B> {
        let before = Arrived {
            left: self.left.set(arrived.left, |row| join.options.left_span(row)),
            right: self.right.set(arrived.right, |row| join.options.right_span(row)),
        };
        self.matches.clear();
        if L::MATCHES {
            self.matches.resize(self.left.len(), Matches::default());
        }
        hide(&mut self.left, &mut self.left_places, &mut state.left, |n, known| {
            if let Some(matches) = self.matches.get_mut(n) {
                matches.before = known.matches();
            }
            std::mem::take(known.count())
        });
        hide(&mut self.right, &mut self.right_places, &mut state.right, |_, count| std::mem::take(count));
        self.stage = Stage::left(&self.left, &state.right);
        before
    }

    /// Goes on until everything is emitted, or so many pairs were looked at. Says whether it is through.
    pub(super) fn resume<K, L: Known>(
        &mut self,
        state: &mut State<A, B, L>,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) -> bool {
        while *budget > 0 {
            self.stage = match self.stage {
                Stage::Left(n) if n < self.left.len() => {
                    self.look_up_left(n, state, join, budget, emit);
                    Stage::Left(n + 1)
                }
                Stage::LeftScan(cursor) => match self.scan_left(cursor, state, join, budget, emit) {
                    Some(cursor) => Stage::LeftScan(cursor),
                    None => Stage::right(&self.right, &state.left),
                },
                Stage::Left(_) => Stage::right(&self.right, &state.left),
                Stage::Right(n) if n < self.right.len() => {
                    self.look_up_right(n, state, join, budget, emit);
                    Stage::Right(n + 1)
                }
                Stage::RightScan(cursor) => match self.scan_right(cursor, state, join, budget, emit) {
                    Some(cursor) => Stage::RightScan(cursor),
                    None => Stage::Both(changes::Cursor::default()),
                },
                Stage::Right(_) => Stage::Both(changes::Cursor::default()),
                Stage::Both(cursor) => match self.both::<K, L>(cursor, join, budget, emit) {
                    Some(cursor) => Stage::Both(cursor),
                    None => Stage::Unmatched(0),
                },
                Stage::Unmatched(n) if n < self.matches.len() => {
                    self.unmatched(n, budget, emit);
                    Stage::Unmatched(n + 1)
                }
                Stage::Unmatched(_) => Stage::Settle(0),
                Stage::Settle(n) if L::MATCHES && n < self.right.len() => {
                    self.settle(n, state, budget, emit);
                    Stage::Settle(n + 1)
                }
                Stage::Settle(_) => Stage::Done,
                Stage::Done => return true,
            };
        }
        false
    }

    fn look_up_left<K, L: Known>(
        &mut self,
        n: usize,
        state: &State<A, B, L>,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) {
        let (Span { start, end, .. }, (row, old, new)) = (self.left.spans[n], self.left.get(n));
        *budget -= 1;
        if !join.pairs::<L>() && new == 0 {
            return; // its matches from before are known
        }
        let mut matches = 0;
        state.right.overlapping(start, end).for_each(|(_, _, other, count)| {
            *budget = budget.saturating_sub(1);
            if *count != 0 && join.options.holds(row, other) {
                matches += 1;
                join.emit_pair::<K, L>(row, other, (new - old) * count, emit);
            }
        });
        if L::MATCHES {
            self.matches[n].after = matches;
        }
    }

    fn scan_left<K, L: Known>(
        &mut self,
        cursor: timeline::Cursor,
        state: &mut State<A, B, L>,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) -> Option<timeline::Cursor> {
        let (left, matches) = (&self.left, &mut self.matches);
        state.right.scan(&left.spans, cursor, budget, |n, other, count| {
            let (row, old, new) = left.get(n);
            if *count != 0 && join.options.holds(row, other) {
                if L::MATCHES {
                    matches[n].after += 1;
                }
                join.emit_pair::<K, L>(row, other, (new - old) * *count, emit);
            }
        })
    }

    fn look_up_right<K, L: Known>(
        &self,
        n: usize,
        state: &mut State<A, B, L>,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) {
        let (Span { start, end, .. }, (row, old, new)) = (self.right.spans[n], self.right.get(n));
        *budget -= 1;
        let flip = self.right.flip(n);
        if !join.pairs::<L>() && flip == 0 {
            return;
        }
        state.left.visit_overlapping(start, end, |other, known| {
            *budget = budget.saturating_sub(1);
            let count = *known.count();
            if count != 0 && join.options.holds(other, row) {
                known.note(flip);
                join.emit_pair::<K, L>(other, row, count * (new - old), emit);
            }
        });
    }

    fn scan_right<K, L: Known>(
        &self,
        cursor: timeline::Cursor,
        state: &mut State<A, B, L>,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) -> Option<timeline::Cursor> {
        let right = &self.right;
        state.left.scan(&right.spans, cursor, budget, |n, other, known| {
            let (row, old, new) = right.get(n);
            let count = *known.count();
            if count != 0 && join.options.holds(other, row) {
                known.note(right.flip(n));
                join.emit_pair::<K, L>(other, row, count * (new - old), emit);
            }
        })
    }

    fn both<K, L: Known>(
        &mut self,
        cursor: changes::Cursor,
        join: &Join<A, B>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) -> Option<changes::Cursor> {
        let Update { left, right, matches, .. } = self;
        if left.old.is_empty() && right.old.is_empty() && !L::MATCHES && !join.options.has_predicate() {
            return scan_new(left, right, cursor, budget, emit);
        }
        let mut meet = |emit: &mut Emit<'_, K, _>, i: usize, j: usize| {
            let ((a, a_old, a_new), (b, b_old, b_new)) = (left.get(i), right.get(j));
            if !join.options.holds(a, b) {
                return;
            }
            if L::MATCHES {
                matches[i].after += u32::from(b_new != 0);
            }
            let diff = a_new * b_new - a_old * b_old;
            if diff != 0 {
                join.emit_pair::<K, L>(a, b, diff, emit);
            }
        };
        scan(
            &left.spans,
            &right.spans,
            cursor,
            budget,
            &mut (emit, &mut meet),
            |(emit, meet), i, j| {
                let inside = right.before(j, left.spans[i].end).zip(j..);
                inside.map(|(_, j)| meet(emit, i, j)).count()
            },
            |(emit, meet), i, j| {
                let inside = left.before(i, right.spans[j].end).zip(i..);
                inside.map(|(_, i)| meet(emit, i, j)).count()
            },
        )
    }

    fn unmatched<K>(&self, n: usize, budget: &mut usize, emit: &mut Emit<'_, K, impl Results<K, A, B>>) {
        let (row, old, new) = self.left.get(n);
        let Matches { before, after } = self.matches[n];
        *budget -= 1;
        let alone = |matches: u32, count: isize| if matches == 0 { count } else { 0 };
        let diff = alone(after, new) - alone(before, old);
        if diff != 0 {
            emit.results.one(emit.key, row, None, diff);
        }
    }

    fn settle<K, L: Known>(
        &self,
        n: usize,
        state: &mut State<A, B, L>,
        budget: &mut usize,
        emit: &mut Emit<'_, K, impl Results<K, A, B>>,
    ) {
        let Span { start, end, .. } = self.right.spans[n];
        *budget -= 1;
        if self.right.flip(n) == 0 {
            return;
        }
        state.left.visit_overlapping(start, end, |other, known| {
            *budget = budget.saturating_sub(1);
            match known.settle() {
                _ if *known.count() == 0 => (),
                (0, 1..) => emit.results.one(emit.key, other, None, -*known.count()),
                (1.., 0) => emit.results.one(emit.key, other, None, *known.count()),
                _ => (),
            }
        });
    }

    /// Puts what is there after the epoch into the state.
    pub(super) fn store<L: Known>(&mut self, state: &mut State<A, B, L>) {
        let matches = &self.matches;
        let whole = self.left.drain().zip(self.left_places.drain(..)).enumerate();
        state.left.apply(whole.map(|(n, ((start, end, content, new), place))| {
            let matches = matches.get(n).map_or(0, |of| of.after);
            Op { start, end, content, value: (new != 0).then(|| L::new(new, matches)), place }
        }));
        let whole = self.right.drain().zip(self.right_places.drain(..));
        state.right.apply(whole.map(|((start, end, content, new), place)| Op {
            start,
            end,
            content,
            value: (new != 0).then_some(new),
            place,
        }));
    }
}

impl<A, B> Join<A, B> {
    /// Whether pairs are put out.
    fn pairs<L: Known>(&self) -> bool {
        !L::MATCHES || self.kind != Kind::Anti
    }

    fn emit_pair<K, L: Known>(&self, left: &A, right: &B, diff: isize, emit: &mut Emit<'_, K, impl Results<K, A, B>>) {
        if self.pairs::<L>() {
            emit.results.one(emit.key, left, Some(right), diff);
        }
    }
}

/// Puts out all pairs of rows that were not there before.
fn scan_new<K, A: Ord, B: Ord>(
    left: &Changes<A>,
    right: &Changes<B>,
    cursor: changes::Cursor,
    budget: &mut usize,
    emit: &mut Emit<'_, K, impl Results<K, A, B>>,
) -> Option<changes::Cursor> {
    scan(
        &left.spans,
        &right.spans,
        cursor,
        budget,
        emit,
        |emit, i, j| {
            let (row, times) = left.row(&left.spans[i]);
            let mut seen = 0;
            for span in right.before(j, left.spans[i].end) {
                let (other, count) = right.row(span);
                emit.results.one(emit.key, row, Some(other), times * count);
                seen += 1;
            }
            seen
        },
        |emit, i, j| {
            let (row, times) = right.row(&right.spans[j]);
            let mut seen = 0;
            for span in left.before(i, right.spans[j].end) {
                let (other, count) = left.row(span);
                emit.results.one(emit.key, other, Some(row), count * times);
                seen += 1;
            }
            seen
        },
    )
}

/// Finds the changed rows and takes out how often they were there.
fn hide<C: Ord, V>(
    changes: &mut Changes<C>,
    places: &mut Vec<Result<Place, Place>>,
    index: &mut Index<C, V>,
    mut take: impl FnMut(usize, &mut V) -> isize,
) {
    places.clear();
    if index.is_empty() {
        places.resize(changes.len(), Err(Place::default()));
        return;
    }
    let wanted = (0..changes.len()).map(|n| (changes.spans[n].start, changes.get(n).0));
    index.find_each(wanted, |place| places.push(place));
    for (n, place) in places.iter().enumerate() {
        if let Ok(place) = place {
            changes.set_old(n, take(n, index.value_mut(*place)));
        }
    }
}
