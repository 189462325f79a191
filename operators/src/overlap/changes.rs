//! What an epoch changes on one side of one key.

/// A row, and how often it is there before and after the epoch.
#[derive(Debug)]
pub(super) struct Row<C> {
    pub content: C,
    pub old: isize,
    pub new: isize,
}

/// Where a row stands in time, and in [`Changes`].
#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    end: i64,
    row: usize,
}

/// The rows of one side that an epoch changes, each once, ordered by start and content.
#[derive(Debug)]
pub(super) struct Changes<C> {
    /// In order. Small, so that sorting and scanning them is quick.
    spans: Vec<Span>,
    /// As they came. Some are in no span: what cancels out.
    rows: Vec<Row<C>>,
}

impl<C> Row<C> {
    /// A row that comes `diff` times.
    pub(super) fn new(content: C, diff: isize) -> Self {
        Row { content, old: 0, new: diff }
    }

    /// Whether the epoch brings the row (1), takes it (-1), or does neither (0).
    pub(super) fn flip(&self) -> i32 {
        i32::from(self.new != 0) - i32::from(self.old != 0)
    }
}

impl<C: Ord> Changes<C> {
    /// The net of what came; `span` gives the place of a row in time.
    pub(super) fn net(mut rows: Vec<Row<C>>, place: impl Fn(&C) -> (i64, i64)) -> Self {
        let spans = rows.iter().enumerate().map(|(row, of)| {
            let (start, end) = place(&of.content);
            Span { start, end, row }
        });
        let mut spans: Vec<Span> = spans.collect();
        spans.sort_unstable_by(|a, b| {
            let ties = || rows[a.row].content.cmp(&rows[b.row].content);
            a.start.cmp(&b.start).then_with(ties)
        });
        spans.dedup_by(|later, kept| {
            let same = later.start == kept.start && rows[later.row].content == rows[kept.row].content;
            if same {
                rows[kept.row].new += rows[later.row].new;
            }
            same
        });
        spans.retain(|span| rows[span.row].new != 0);
        Changes { spans, rows }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The `n`-th row, and its place in time.
    pub(super) fn get(&self, n: usize) -> (i64, i64, &Row<C>) {
        let Span { start, end, row } = self.spans[n];
        (start, end, &self.rows[row])
    }

    /// Finds out what was there before: `take(n, start, content)` takes it.
    pub(super) fn take_old(&mut self, mut take: impl FnMut(usize, i64, &C) -> Option<isize>) {
        for (n, span) in self.spans.iter().enumerate() {
            let row = &mut self.rows[span.row];
            if let Some(old) = take(n, span.start, &row.content) {
                row.old = old;
                row.new += old;
            }
        }
    }

    /// The rows in order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (i64, i64, Row<C>)> {
        let mut rows: Vec<Option<Row<C>>> = self.rows.into_iter().map(Some).collect();
        self.spans.into_iter().filter_map(move |span| Some((span.start, span.end, rows[span.row].take()?)))
    }
}

/// How far a scan of two sides is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    left: usize,
    right: usize,
}

/// Shows all pairs that overlap, each once, as (index left, index right), from the cursor on; stops between two rows when the
/// budget is used up. Says whether it is through.
///
/// The forward scan: of the rows not done yet, of both sides, the one that starts first overlaps exactly the rows of the other
/// side that start before it ends, and these stand at the cursor. O(rows + pairs).
pub(super) fn scan<A, B>(
    left: &Changes<A>,
    right: &Changes<B>,
    cursor: &mut Cursor,
    budget: &mut usize,
    mut pair: impl FnMut(usize, &Row<A>, &Row<B>),
) -> bool {
    let (l, r) = (left.spans.as_slice(), right.spans.as_slice());
    let Cursor { left: mut i, right: mut j } = *cursor;
    while i < l.len() && j < r.len() {
        if *budget == 0 {
            *cursor = Cursor { left: i, right: j };
            return false;
        }
        let mut seen = 1;
        if l[i].start <= r[j].start {
            let row = &left.rows[l[i].row];
            for other in r[j..].iter().take_while(|other| other.start < l[i].end) {
                pair(i, row, &right.rows[other.row]);
                seen += 1;
            }
            i += 1;
        } else {
            let row = &right.rows[r[j].row];
            for (n, other) in (i..).zip(&l[i..]).take_while(|(_, other)| other.start < r[j].end) {
                pair(n, &left.rows[other.row], row);
                seen += 1;
            }
            j += 1;
        }
        *budget = budget.saturating_sub(seen);
    }
    true
}
