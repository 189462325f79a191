//! What an epoch changes on one side of one key.

use crate::timeline::Spanned;

/// With more rows than this it pays to put them in the order in which they are read.
const SCATTERED: usize = 4096;

/// Where a row stands in time, and among the rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub start: i64,
    pub end: i64,
    at: usize,
}

/// The rows of one side that an epoch changes, each once, ordered by start and content.
#[derive(Debug)]
pub(super) struct Changes<C> {
    /// In order. Small, so that they are sorted and scanned quickly.
    pub spans: Vec<Span>,
    /// Rows and how often they are there after the epoch, as they came. Some are in no span: what cancels out.
    rows: Vec<(C, isize)>,
    /// How often each was there before, in the order of spans; empty if none was.
    pub old: Vec<isize>,
    /// For sorting; kept, so as not to be made anew for every key.
    packed: Vec<u64>,
    unsorted: Vec<Span>,
}

impl Spanned for Span {
    fn span(&self) -> (i64, i64) {
        (self.start, self.end)
    }
}

impl<C> Default for Changes<C> {
    fn default() -> Self {
        Changes { spans: Vec::new(), rows: Vec::new(), old: Vec::new(), packed: Vec::new(), unsorted: Vec::new() }
    }
}

impl<C: Ord> Changes<C> {
    /// Takes in rows and how often each comes, and leaves the net of it; `place` says where a row stands in time.
    ///
    /// Returns the vector of the last time.
    pub(super) fn set(&mut self, rows: Vec<(C, isize)>, place: impl Fn(&C) -> (i64, i64)) -> Vec<(C, isize)> {
        let before = std::mem::replace(&mut self.rows, rows);
        self.old.clear();
        self.spans.clear();
        self.spans.extend(self.rows.iter().enumerate().map(|(at, row)| {
            let (start, end) = place(&row.0);
            Span { start, end, at }
        }));
        if !self.spans.is_sorted_by_key(|span| span.start) {
            self.sort();
        }
        if !self.spans.is_sorted_by(|a, b| a.start < b.start) {
            self.net();
        }
        if self.rows.len() > SCATTERED {
            self.arrange();
        }
        before
    }

    /// Orders the spans by start.
    fn sort(&mut self) {
        let Changes { spans, packed, unsorted, .. } = self;
        let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let last = spans.iter().map(|span| span.start).max().unwrap_or(0);
        // A number of 64 bits each, if start and place fit into one: these are sorted in half the time.
        let bits = usize::BITS - spans.len().leading_zeros();
        if last.abs_diff(first).leading_zeros() < bits {
            spans.sort_unstable_by_key(|span| span.start);
            return;
        }
        packed.clear();
        packed.extend((0_u64..).zip(spans.iter()).map(|(n, span)| (span.start.abs_diff(first) << bits) | n));
        packed.sort_unstable();
        std::mem::swap(spans, unsorted);
        spans.clear();
        spans.extend(packed.iter().map(|packed| unsorted[(packed & ((1 << bits) - 1)) as usize]));
    }

    /// Orders spans of the same start by content; makes one of equal rows, and none of those that cancel out.
    fn net(&mut self) {
        let Changes { spans, rows, .. } = self;
        for ties in spans.chunk_by_mut(|a, b| a.start == b.start).filter(|ties| ties.len() > 1) {
            ties.sort_unstable_by(|a, b| rows[a.at].0.cmp(&rows[b.at].0));
        }
        spans.dedup_by(|later, kept| {
            let same = later.start == kept.start && rows[later.at].0 == rows[kept.at].0;
            if same {
                rows[kept.at].1 += rows[later.at].1;
            }
            same
        });
        spans.retain(|span| rows[span.at].1 != 0);
    }

    /// Puts the rows in the order of spans, those in no span last.
    fn arrange(&mut self) {
        let Changes { spans, rows, .. } = self;
        for n in 0..spans.len() {
            // Where the row is by now: what stood before `n` has been swapped away.
            let mut at = spans[n].at;
            while at < n {
                at = spans[at].at;
            }
            rows.swap(n, at);
            spans[n].at = at;
        }
        (0..).zip(spans).for_each(|(n, span)| span.at = n);
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The spans from the `n`-th on that start before `end`.
    pub(super) fn before(&self, n: usize, end: i64) -> impl Iterator<Item = &Span> {
        self.spans[n..].iter().take_while(move |span| span.start < end)
    }

    /// The row of a span, and how often it is there after the epoch.
    pub(super) fn row(&self, span: &Span) -> (&C, isize) {
        let (content, new) = &self.rows[span.at];
        (content, *new)
    }

    /// The `n`-th row was there so often.
    pub(super) fn set_old(&mut self, n: usize, old: isize) {
        self.old.resize(self.spans.len(), 0);
        self.old[n] = old;
        self.rows[self.spans[n].at].1 += old;
    }

    /// The `n`-th row, and how often it is there before and after the epoch.
    pub(super) fn get(&self, n: usize) -> (&C, isize, isize) {
        let (content, new) = self.row(&self.spans[n]);
        (content, self.old.get(n).copied().unwrap_or(0), new)
    }

    /// Whether the epoch brings the `n`-th row (1), takes it (-1), or does neither (0).
    pub(super) fn flip(&self, n: usize) -> i32 {
        let (_, old, new) = self.get(n);
        i32::from(new != 0) - i32::from(old != 0)
    }

    /// Takes all rows out, in order, with how often they are there after the epoch.
    pub(super) fn drain(&mut self) -> impl ExactSizeIterator<Item = (i64, i64, C, isize)> + DoubleEndedIterator {
        self.arrange();
        let whole = self.spans.iter().zip(self.rows.drain(..));
        whole.map(|(span, (content, new))| (span.start, span.end, content, new))
    }
}

/// How far a scan of two sides is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    left: usize,
    right: usize,
}

/// Meets all pairs of two sides that overlap, each once, from the cursor on: a row of one side with the next ones of the other.
/// Stops between two rows when the budget is used up; returns where to go on, if it is not through.
///
/// The forward scan: of the rows not done yet, of both sides, the one that starts first overlaps exactly those of the other
/// side that start before it ends, and these come next. O(rows + pairs).
///
/// `left_first` meets the given left row with the right rows from the given one on, as long as they start before it ends;
/// `right_first` the other way round. Both say how many these are.
pub(super) fn scan<T>(
    left: &[Span],
    right: &[Span],
    cursor: Cursor,
    budget: &mut usize,
    to: &mut T,
    mut left_first: impl FnMut(&mut T, usize, usize) -> usize,
    mut right_first: impl FnMut(&mut T, usize, usize) -> usize,
) -> Option<Cursor> {
    let Cursor { left: mut i, right: mut j } = cursor;
    while i < left.len() && j < right.len() {
        if *budget == 0 {
            return Some(Cursor { left: i, right: j });
        }
        let seen = if left[i].start <= right[j].start {
            i += 1;
            left_first(to, i - 1, j)
        } else {
            j += 1;
            right_first(to, i, j - 1)
        };
        *budget = budget.saturating_sub(1 + seen);
    }
    None
}
