//! The sweep: from intervals to the stretches of time over which the set that covers does not change.

use crate::interval::Interval;

/// An annotation in a sweep. Its index among the entries is its rank: its place among the children of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a, C> {
    /// The first cell that it covers.
    pub start: i64,
    /// The cell after the last.
    pub end: i64,
    /// Its kind, as a number that is ordered like the kinds of all entries.
    pub kind: u32,
    /// What the epoch does with it: +1 adds it, -1 removes it, 0 leaves it as it is.
    pub diff: isize,
    pub interval: Interval,
    pub content: &'a C,
}

/// Calls `visit(start, end, ranks)` for each maximal stretch of `[start, end)` that one set of entries covers; not for
/// those that nothing covers. `ranks` are ascending.
///
/// O(n log n + size of what is visited).
pub(super) fn sweep<C>(entries: &[Entry<'_, C>], start: i64, end: i64, mut visit: impl FnMut(i64, i64, &[u32])) {
    let ranks = u32::try_from(entries.len()).expect("fewer than 2^32 annotations in one asset");
    let mut starting: Vec<u32> = (0..ranks).collect();
    starting.sort_unstable_by_key(|rank| entries[*rank as usize].start);
    let mut starting = starting.into_iter().peekable();

    let mut active: Vec<u32> = Vec::new();
    let mut at = start;
    while at < end {
        active.retain(|rank| entries[*rank as usize].end > at);
        let before = active.len();
        while let Some(rank) = starting.next_if(|rank| entries[*rank as usize].start <= at) {
            if entries[rank as usize].end > at {
                active.push(rank);
            }
        }
        if active.len() > before {
            // Two sorted pieces, the second short: what the standard library's stable sort is quick at.
            active[before..].sort_unstable();
            active.sort();
        }
        let next_start = starting.peek().map_or(end, |rank| entries[*rank as usize].start.min(end));
        if active.is_empty() {
            at = next_start;
            continue;
        }
        let first_end = active.iter().map(|rank| entries[*rank as usize].end).min().unwrap_or(end);
        let next = next_start.min(first_end).min(end);
        visit(at, next, &active);
        at = next;
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

    #[test]
    fn each_stretch_is_visited_once_with_what_covers_it() {
        let interval = Interval::new(0, 1);
        let entry = |start, end| Entry { start, end, kind: 0, diff: 0, interval, content: &() };
        let entries = [entry(4, 9), entry(2, 8), entry(20, 21)];
        let mut seen = Vec::new();
        sweep(&entries, 0, 100, |start, end, ranks| seen.push((start, end, ranks.to_vec())));
        assert_eq!(
            seen,
            [(2, 4, vec![1]), (4, 8, vec![0, 1]), (8, 9, vec![0]), (20, 21, vec![2])],
            "gaps are jumped over, ranks ascend"
        );
        seen.clear();
        sweep(&entries, 5, 8, |start, end, ranks| seen.push((start, end, ranks.to_vec())));
        assert_eq!(seen, [(5, 8, vec![0, 1])], "cut to the span that was asked for");
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut spans = vec![(5, 7), (0, 2), (2, 3), (6, 9)];
        coalesce(&mut spans);
        assert_eq!(spans, [(0, 3), (5, 9)]);
    }
}
