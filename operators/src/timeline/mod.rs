//! What is there in the time of one key, indexed: the state of operators on intervals.

mod index;

pub(crate) use index::{Cursor, DENSE, Index, Op, Place, Spanned};

use std::cmp::Ordering;

use crate::interval::Interval;

/// Annotations of one key, ordered by start.
///
/// Nothing is stored per bucket, so an annotation of one hour costs one entry, and one among short ones does not make their
/// look-ups slower: see [`Index`].
#[derive(Debug)]
pub(crate) struct Timeline<C> {
    index: Index<C, ()>,
    /// What was loaded at the start and never needed since; [`Timeline::settle`] puts it into the index.
    ///
    /// Most assets of an archive are not touched by a run: to load them costs a pointer an annotation.
    loaded: Vec<C>,
}

impl<C> Default for Timeline<C> {
    fn default() -> Self {
        Timeline { index: Index::default(), loaded: Vec::new() }
    }
}

impl<C: Ord + Clone> Timeline<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty() && self.loaded.is_empty()
    }

    /// Takes in an annotation that is not asked for yet.
    pub(crate) fn load(&mut self, content: C) {
        self.loaded.push(content);
    }

    /// Puts what was loaded where it can be found.
    pub(crate) fn settle(&mut self, interval: impl Fn(&C) -> Interval) {
        let loaded = std::mem::take(&mut self.loaded);
        if !loaded.is_empty() {
            self.insert(loaded.iter().map(|content| (interval(content), content)).collect());
        }
    }

    /// Adds annotations. What is there already stays.
    ///
    /// Into an empty timeline: O(n log n). Else O(log n) each, or if they are many O(what is there).
    pub(crate) fn insert(&mut self, mut added: Vec<(Interval, &C)>) {
        // Stable: it makes use of the runs that there are.
        added.sort_by(|(a, of_a), (b, of_b)| before((a, of_a), (b, of_b)));
        if self.index.is_empty() {
            added.dedup();
            let rows = added.iter().map(|(at, content)| (at.start_ns(), at.end_ns(), (*content).clone(), ()));
            self.index = Index::from_sorted(rows, added.len());
            return;
        }
        let op = |(at, content): &(Interval, &C)| self.op(*at, content, Some(()));
        let ops: Vec<_> = added.iter().map(op).collect();
        self.index.apply(ops.into_iter());
    }

    /// Removes annotations `(interval, content, tag)`. Returns the tags of those that are not there.
    pub(crate) fn remove<T>(&mut self, mut gone: Vec<(Interval, &C, T)>) -> Vec<T> {
        gone.sort_by(|(a, of_a, _), (b, of_b, _)| before((a, of_a), (b, of_b)));
        let (mut ops, mut missing) = (Vec::with_capacity(gone.len()), Vec::new());
        for (at, content, tag) in gone {
            match self.op(at, content, None) {
                op if op.place.is_ok() => ops.push(op),
                _ => missing.push(tag),
            }
        }
        if !ops.is_empty() {
            self.index.apply(ops.into_iter());
        }
        missing
    }

    fn op(&self, at: Interval, content: &C, value: Option<()>) -> Op<C, ()> {
        let place = self.index.find(at.start_ns(), content);
        Op { start: at.start_ns(), end: at.end_ns(), content: content.clone(), value, place }
    }

    /// Everything that overlaps `[start_ns, end_ns)`, ordered by start: `(start, end, content)`.
    ///
    /// O(log n), and at most a block for each that is found.
    pub(crate) fn overlapping(&self, start_ns: i64, end_ns: i64) -> impl Iterator<Item = (i64, i64, &C)> {
        self.index.overlapping(start_ns, end_ns).map(|(start, end, content, ())| (start, end, content))
    }

    /// The least start at or after `from_ns`.
    pub(crate) fn next_start(&self, from_ns: i64) -> Option<i64> {
        self.index.next_start(from_ns)
    }
}

/// By start; contents, which lie elsewhere, are looked at only if starts are the same.
fn before<C: Ord>((a, of_a): (&Interval, &C), (b, of_b): (&Interval, &C)) -> Ordering {
    a.start_ns().cmp(&b.start_ns()).then_with(|| of_a.cmp(of_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (i64, i64, u32);

    fn insert(timeline: &mut Timeline<u32>, rows: &[Row]) {
        timeline.insert(rows.iter().map(|(start, end, content)| (Interval::new(*start, *end), content)).collect());
    }

    /// Which of the rows were not there.
    fn remove(timeline: &mut Timeline<u32>, rows: &[Row]) -> Vec<u32> {
        let row = |(start, end, content): &'_ Row| (Interval::new(*start, *end), *content);
        let rows: Vec<_> = rows.iter().map(row).collect();
        timeline.remove(rows.iter().map(|(at, content)| (*at, content, *content)).collect())
    }

    fn overlapping(timeline: &Timeline<u32>, start: i64, end: i64) -> Vec<u32> {
        let mut found: Vec<u32> = timeline.overlapping(start, end).map(|(_, _, c)| *c).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn overlaps_are_found_whatever_the_lengths() {
        let mut timeline = Timeline::default();
        let all = [(0, 1, 1), (0, 3600, 2), (5, 7, 3), (6, 10, 4), (3599, 3600, 5), (0, i64::MAX, 6)];
        insert(&mut timeline, &all);
        for (start, end) in
            [(0, 1), (i64::MAX - 9, i64::MAX), (1, 5), (6, 7), (7, 3599), (3599, 3601), (3600, i64::MAX)]
        {
            let expected: Vec<u32> = all.iter().filter(|a| a.0 < end && a.1 > start).map(|a| a.2).collect();
            assert_eq!(overlapping(&timeline, start, end), expected, "[{start}, {end})");
        }
        assert_eq!((timeline.next_start(1), timeline.next_start(7)), (Some(5), Some(3599)));
        assert_eq!(timeline.next_start(3600), None);
    }

    #[test]
    fn the_next_start_is_found_across_blocks() {
        let mut timeline = Timeline::default();
        let rows: Vec<Row> = (0..1_000).map(|n| (n * 10, n * 10 + 3, n as u32)).collect();
        insert(&mut timeline, &rows);
        for from in 0..9_999 {
            let expected = rows.iter().map(|row| row.0).find(|start| *start >= from);
            assert_eq!(timeline.next_start(from), expected, "from {from}");
        }
    }

    #[test]
    fn what_was_loaded_is_found_once_it_is_settled() {
        let mut timeline = Timeline::default();
        timeline.load(1);
        timeline.load(2);
        assert!(!timeline.is_empty());
        timeline.settle(|content| Interval::new(i64::from(*content), i64::from(*content) + 2));
        assert_eq!(overlapping(&timeline, 1, 3), [1, 2]);
        assert!(remove(&mut timeline, &[(1, 3, 1), (2, 4, 2)]).is_empty());
        assert!(timeline.is_empty());
    }

    #[test]
    fn removal_leaves_nothing() {
        let mut timeline = Timeline::default();
        insert(&mut timeline, &[(2, 8, 1)]);
        insert(&mut timeline, &[(4, 9, 2), (2, 8, 1)]);
        assert_eq!(remove(&mut timeline, &[(2, 8, 1), (2, 9, 7)]), [7]);
        assert_eq!(remove(&mut timeline, &[(2, 8, 1)]), [1]);
        assert_eq!(overlapping(&timeline, 0, 100), [2]);
        assert!(remove(&mut timeline, &[(4, 9, 2)]).is_empty());
        assert!(timeline.is_empty());
    }
}
