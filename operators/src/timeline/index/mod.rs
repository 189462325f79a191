//! Rows with intervals, ordered by start, in blocks that know how far they reach.

mod apply;
mod heads;
#[cfg(test)]
mod tests;

pub(crate) use apply::Op;
use heads::{Head, Heads};

/// So many rows are in a block at most.
const BLOCK: usize = 64;
/// With at least one row to be found for so many others it is quicker to run along all of them than to look for each: memory
/// comes in time where it is read in order.
pub(crate) const DENSE: usize = 128;
/// So many spans are passed over at once.
const STRIDE: usize = 8;

/// Rows `(start, end, content, value)`, at most one of each `(start, content)`, in that order.
///
/// Why blocks: of each block, and of groups of blocks, the greatest end is known. A look-up passes over what ends too early, so
/// that every block that it looks into has something to be found, except for the last: it costs O(log n) and at most a block
/// for each row found, whatever the lengths. Nothing is stored per unit of time, so a row of an hour costs one entry.
#[derive(Clone, Debug)]
pub(crate) struct Index<C, V> {
    blocks: Vec<Block<C, V>>,
    heads: Heads,
    len: usize,
}

/// Up to `BLOCK` rows, at least one. Spans stand apart from the rest: most look-ups pass over most rows.
#[derive(Clone, Debug)]
struct Block<C, V> {
    spans: Vec<(i64, i64)>,
    rows: Vec<(C, V)>,
}

/// What stands in time from a start to an end.
pub(crate) trait Spanned {
    fn span(&self) -> (i64, i64);
}

/// Where a row is, or where it would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    block: usize,
    at: usize,
}

/// How far [`Index::scan`] is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    span: usize,
    place: Place,
}

impl<C, V> Default for Index<C, V> {
    fn default() -> Self {
        Index { blocks: Vec::new(), heads: Heads::default(), len: 0 }
    }
}

/// How many of these spans, which are ordered by start, start before then.
fn starting_before(spans: &[(i64, i64)], start: i64) -> usize {
    let mut passed = 0;
    while spans.get(passed + STRIDE - 1).is_some_and(|span| span.0 < start) {
        passed += STRIDE;
    }
    passed + spans[passed..].iter().take_while(|span| span.0 < start).count()
}

impl<C, V> Block<C, V> {
    /// O(rows).
    fn head(&self) -> Head {
        let end = self.spans.iter().map(|span| span.1).max().expect("no block is empty");
        Head { start: self.spans[0].0, end }
    }

    fn insert(&mut self, at: usize, span: (i64, i64), content: C, value: V) {
        if self.spans.len() == self.spans.capacity() {
            // By itself a vector begins with room for four; most keys have few rows.
            let more = self.spans.len().clamp(1, (BLOCK + 1).saturating_sub(self.spans.len()).max(1));
            self.spans.reserve_exact(more);
            self.rows.reserve_exact(more);
        }
        self.spans.insert(at, span);
        self.rows.insert(at, (content, value));
    }
}

impl<C: Ord, V> Index<C, V> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of a row; or, if it is not there, the one that it would have.
    pub(crate) fn find(&self, start: i64, content: &C) -> Result<Place, Place> {
        let heads = self.heads.as_slice();
        let mut after = self.heads.starting_before(start);
        if heads.get(after).is_some_and(|head| head.start == start) {
            let ties = heads[after..].partition_point(|head| head.start == start);
            after += self.blocks[after..after + ties].partition_point(|block| block.rows[0].0 <= *content);
        }
        let block = after.saturating_sub(1);
        let Some(Block { spans, rows }) = self.blocks.get(block) else { return Err(Place::default()) };
        let from = spans.partition_point(|span| span.0 < start);
        if spans.get(from).is_none_or(|span| span.0 != start) {
            return Err(Place { block, at: from });
        }
        let ties = spans[from..].partition_point(|span| span.0 == start);
        match rows[from..from + ties].binary_search_by(|(c, _)| c.cmp(content)) {
            Ok(at) => Ok(Place { block, at: from + at }),
            Err(at) => Err(Place { block, at: from + at }),
        }
    }

    /// The places of rows that are in order of `(start, content)`: what [`Index::find`] says of each.
    pub(crate) fn find_each<'c>(
        &self,
        wanted: impl ExactSizeIterator<Item = (i64, &'c C)>,
        mut found: impl FnMut(Result<Place, Place>),
    ) where
        C: 'c,
    {
        if wanted.len() * DENSE < self.len {
            return wanted.for_each(|(start, content)| found(self.find(start, content)));
        }
        let heads = self.heads.as_slice();
        let mut place = Place::default();
        for (start, content) in wanted {
            while heads.get(place.block + 1).is_some_and(|head| head.start < start) {
                place = Place { block: place.block + 1, at: 0 };
            }
            let spans = self.blocks.get(place.block).map_or(&[][..], |block| &block.spans);
            place.at += starting_before(&spans[place.at..], start);
            let next = spans.get(place.at).map(|span| span.0);
            let is_tie = next.or(heads.get(place.block + 1).map(|head| head.start)) == Some(start);
            found(if is_tie { self.find(start, content) } else { Err(place) });
        }
    }

    pub(crate) fn value_mut(&mut self, place: Place) -> &mut V {
        &mut self.blocks[place.block].rows[place.at].1
    }

    /// Everything that overlaps `[start, end)`, in order.
    pub(crate) fn overlapping(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, i64, &C, &V)> {
        let upto = self.heads.starting_before(end);
        let mut next = 0;
        let blocks = std::iter::from_fn(move || {
            let b = self.heads.next_reaching(next, upto, start)?;
            next = b + 1;
            Some(&self.blocks[b])
        });
        // Where a block's spans end that start before `end` is not searched for: they are looked at one after the other anyway.
        blocks.flat_map(move |block| {
            let pairs = block.spans.iter().zip(&block.rows).take_while(move |(span, _)| span.0 < end);
            pairs.filter(move |(span, _)| span.1 > start).map(|(span, (c, v))| (span.0, span.1, c, v))
        })
    }

    /// The least start at or after `from`. O(log n).
    pub(crate) fn next_start(&self, from: i64) -> Option<i64> {
        let later = self.heads.starting_before(from);
        let spans = later.checked_sub(1).map_or(&[][..], |block| &self.blocks[block].spans);
        let at = spans.partition_point(|span| span.0 < from);
        spans.get(at).map(|span| span.0).or_else(|| self.heads.as_slice().get(later).map(|head| head.start))
    }

    /// Shows everything that overlaps `[start, end)`, in order; its value may be changed.
    pub(crate) fn visit_overlapping(&mut self, start: i64, end: i64, mut visit: impl FnMut(&C, &mut V)) {
        let upto = self.heads.starting_before(end);
        let mut next = 0;
        while let Some(b) = self.heads.next_reaching(next, upto, start) {
            next = b + 1;
            let Block { spans, rows } = &mut self.blocks[b];
            let upto = spans.partition_point(|span| span.0 < end);
            for (_, (content, value)) in spans[..upto].iter().zip(rows).filter(|(span, _)| span.1 > start) {
                visit(content, value);
            }
        }
    }

    /// Shows every pair of `spans`, which are ordered by start, and rows that overlap, each once, from the cursor on. Stops
    /// between two when the budget is used up; returns where to go on, if it is not through.
    ///
    /// The forward scan: of the spans and rows not done yet, the one that starts first overlaps exactly those of the other kind
    /// that start before it ends, and these come next. O(spans + rows + pairs).
    pub(crate) fn scan(
        &mut self,
        spans: &[impl Spanned],
        cursor: Cursor,
        budget: &mut usize,
        mut pair: impl FnMut(usize, &C, &mut V),
    ) -> Option<Cursor> {
        let Cursor { span: mut n, mut place } = cursor;
        while let Some((start, end)) = spans.get(n).map(Spanned::span) {
            if *budget == 0 {
                return Some(Cursor { span: n, place });
            }
            let mut seen = 1;
            // Rows that start before the span.
            while let Some(head) = self.heads.as_slice().get(place.block).filter(|head| head.start < start) {
                let Block { spans: of_rows, rows } = &mut self.blocks[place.block];
                if head.end <= start {
                    place = Place { block: place.block + 1, at: 0 };
                    continue;
                }
                let before = of_rows[place.at..].iter().take_while(|row| row.0 < start);
                let mut passed = 0;
                for (row, (content, value)) in before.zip(&mut rows[place.at..]) {
                    passed += 1;
                    if row.1 > start {
                        for m in (n..spans.len()).take_while(|m| spans[*m].span().0 < row.1) {
                            pair(m, content, value);
                            seen += 1;
                        }
                    }
                }
                seen += passed;
                place.at += passed;
                if place.at < of_rows.len() {
                    break;
                }
                place = Place { block: place.block + 1, at: 0 };
            }
            // Rows that start in it.
            let mut from = place.at;
            for Block { spans: of_rows, rows } in self.blocks.iter_mut().skip(place.block) {
                let inside = of_rows[from..].iter().zip(&mut rows[from..]).take_while(|(row, _)| row.0 < end);
                let mut all = 0;
                for (_, (content, value)) in inside {
                    pair(n, content, value);
                    all += 1;
                }
                seen += all;
                if from + all < of_rows.len() {
                    break;
                }
                from = 0;
            }
            n += 1;
            *budget = budget.saturating_sub(seen);
        }
        None
    }
}
