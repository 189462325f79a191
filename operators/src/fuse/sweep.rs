//! The sweep: from intervals to the stretches of time over which the set that covers does not change.

use std::ops::Range;

use crate::interval::Interval;

/// An annotation in a sweep. Its index among the entries is its rank: its place among the children of a document.
#[derive(Debug)]
pub(super) struct Entry<'a, C> {
    /// The first cell that it covers.
    pub start: i64,
    /// The cell after the last.
    pub end: i64,
    /// Its kind, as a number that is ordered like the kinds of all entries.
    pub kind: u32,
    /// What the epoch does with it: +1 adds it, -1 removes it, 0 leaves it as it is.
    pub diff: i32,
    pub interval: Interval,
    pub content: &'a C,
}

// Derived, they would ask for contents that can be copied.
impl<C> Copy for Entry<'_, C> {}

impl<C> Clone for Entry<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

/// A sweep; what it needs room for is kept from one to the next.
#[derive(Default)]
pub(super) struct Sweep {
    /// `(first cell, rank)` of each entry, by first cell.
    starting: Vec<(i64, u32)>,
    runs: Vec<Range<usize>>,
    active: Active,
}

/// Up to so many entries in up to so many runs are merged by looking at the head of each: the library makes use only of
/// runs that are long.
const SHORT: usize = 1_024;
const HEADS: usize = 8;

impl Sweep {
    /// Calls `visit(start, end, ranks)` for each maximal stretch of cells that one set of entries covers; not for those that
    /// nothing covers. `ranks` are ascending.
    ///
    /// O(n log n + size of what is visited).
    pub(super) fn visit<C>(&mut self, entries: &[Entry<'_, C>], mut visit: impl FnMut(i64, i64, &[u32])) {
        self.order(entries);
        let Sweep { starting, active, .. } = self;
        active.clear();
        let mut starting = starting.iter().copied().peekable();
        // Nothing is active: on to the next start.
        while let Some(&(mut at, _)) = starting.peek() {
            loop {
                active.expire(at);
                active.enter(std::iter::from_fn(|| starting.next_if(|(first, _)| *first == at)), entries);
                if active.ranks.is_empty() {
                    break;
                }
                let next = starting.peek().map_or(active.first_end, |(first, _)| active.first_end.min(*first));
                visit(at, next, &active.ranks);
                at = next;
            }
        }
    }
}

impl Sweep {
    /// Orders entries by their first cells. Those of a kind are in this order already: runs, which are merged.
    fn order<C>(&mut self, entries: &[Entry<'_, C>]) {
        let Sweep { starting, runs, .. } = self;
        let first = |at: usize| {
            let rank = u32::try_from(at).expect("fewer than 2^32 annotations in one asset");
            (entries[at].start, rank)
        };
        starting.clear();
        runs.clear();
        if entries.len() <= SHORT {
            let mut from = 0;
            for at in 1..=entries.len() {
                if entries.get(at).is_none_or(|entry| entry.start < entries[at - 1].start) {
                    runs.push(from..at);
                    from = at;
                }
            }
        }
        if runs.is_empty() || runs.len() > HEADS {
            starting.extend((0..entries.len()).map(first));
            return starting.sort();
        }
        while let Some(run) = runs.iter_mut().min_by_key(|run| entries[run.start].start) {
            starting.push(first(run.start));
            run.start += 1;
            if run.start == run.end {
                runs.retain(|run| run.start < run.end);
            }
        }
    }
}

/// What covers the present cell, by rank.
#[derive(Default)]
struct Active {
    ranks: Vec<u32>,
    /// The ends, in the same order: looked at with each step, they stand together.
    ends: Vec<i64>,
    /// The least of them.
    first_end: i64,
}

/// So many that enter at once are sorted in, not put in one by one.
const MANY: usize = 16;

impl Active {
    fn clear(&mut self) {
        self.ranks.clear();
        self.ends.clear();
        self.first_end = i64::MAX;
    }

    /// Lets go what ends at `at` or before.
    fn expire(&mut self, at: i64) {
        if self.first_end > at {
            return;
        }
        let (mut kept, mut first_end) = (0, i64::MAX);
        for n in 0..self.ends.len() {
            let end = self.ends[n];
            (self.ends[kept], self.ranks[kept]) = (end, self.ranks[n]);
            kept += usize::from(end > at);
            first_end = if end > at { first_end.min(end) } else { first_end };
        }
        self.ends.truncate(kept);
        self.ranks.truncate(kept);
        self.first_end = first_end;
    }

    /// Takes in what starts here.
    fn enter<C>(&mut self, starting: impl Iterator<Item = (i64, u32)>, entries: &[Entry<'_, C>]) {
        let before = self.ranks.len();
        for (_, rank) in starting {
            let end = entries[rank as usize].end;
            self.ranks.push(rank);
            self.ends.push(end);
            self.first_end = self.first_end.min(end);
        }
        if self.ranks.len() - before > MANY {
            // Two sorted pieces: what the stable sort is quick at.
            self.ranks[before..].sort_unstable();
            self.ranks.sort();
            self.ends.clear();
            self.ends.extend(self.ranks.iter().map(|rank| entries[*rank as usize].end));
            return;
        }
        for n in before..self.ranks.len() {
            let place = self.ranks[..n].partition_point(|other| *other < self.ranks[n]);
            self.ranks[place..=n].rotate_right(1);
            self.ends[place..=n].rotate_right(1);
        }
    }
}

/// Cells `[start, end)`, coalesced: sorted, neither overlapping nor touching.
pub(super) fn coalesce(spans: &mut Vec<(i64, i64)>) {
    spans.sort_unstable();
    spans.dedup_by(|later, kept| {
        let joins = later.0 <= kept.1;
        if joins {
            kept.1 = kept.1.max(later.1);
        }
        joins
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: i64, end: i64) -> Entry<'static, ()> {
        Entry { start, end, kind: 0, diff: 0, interval: Interval::new(0, 1), content: &() }
    }

    #[test]
    fn each_stretch_is_visited_once_with_what_covers_it() {
        let entries = [entry(4, 9), entry(2, 8), entry(20, 21)];
        let mut seen = Vec::new();
        Sweep::default().visit(&entries, |start, end, ranks| seen.push((start, end, ranks.to_vec())));
        assert_eq!(
            seen,
            [(2, 4, vec![1]), (4, 8, vec![0, 1]), (8, 9, vec![0]), (20, 21, vec![2])],
            "gaps are jumped over, ranks ascend"
        );
    }

    #[test]
    fn many_that_start_at_once_are_in_order_too() {
        for starts in [1, 3, 50] {
            let entries: Vec<_> = (0..200).map(|n| entry((n * 7 % starts) * 10, 500 + n * 31 % 97)).collect();
            let mut cells = 0;
            Sweep::default().visit(&entries, |start, end, ranks| {
                for at in start..end {
                    let covers = |n: &u32| entries[*n as usize].start <= at && entries[*n as usize].end > at;
                    assert!((0..200).filter(covers).eq(ranks.iter().copied()), "{starts} starts, cell {at}");
                    cells += 1;
                }
            });
            assert_eq!(cells, 596, "up to the last end");
        }
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut spans = vec![(5, 7), (0, 2), (2, 3), (6, 9)];
        coalesce(&mut spans);
        assert_eq!(spans, [(0, 3), (5, 9)]);
    }
}
