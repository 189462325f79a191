//! Rows with intervals, ordered by start, in blocks that know how far they reach.

/// So many rows are in a block at most.
const BLOCK: usize = 128;
/// So many blocks, or groups of them, are summed up in one number: 2 to this power.
const FAN_BITS: usize = 4;
const FAN: usize = 1 << FAN_BITS;

/// Rows `(start, end, content, value)`, at most one of each `(start, content)`, in that order.
///
/// Why blocks: of each block, and of groups of blocks, the greatest end is known. A look-up passes over what ends too early, so
/// that every block that it looks into has something to be found, except for the last: it costs O(log n) and at most a block
/// for each thing found, whatever the lengths. Nothing is stored per unit of time, so a row of an hour costs one entry.
#[derive(Clone, Debug)]
pub(crate) struct Index<C, V> {
    blocks: Vec<Block<C, V>>,
    /// One a block.
    heads: Vec<Head>,
    /// Of groups of heads, then of groups of groups, the greatest end. The last level has at most `FAN` numbers.
    reach: Vec<Vec<i64>>,
    len: usize,
}

/// What is asked of a block before it is looked into.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The least start.
    start: i64,
    /// The greatest end.
    end: i64,
}

/// Up to `BLOCK` rows. Spans apart from the rest: most look-ups pass over most rows.
#[derive(Clone, Debug)]
struct Block<C, V> {
    spans: Vec<(i64, i64)>,
    rows: Vec<(C, V)>,
}

/// Where a row is, or where it belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    block: usize,
    at: usize,
}

impl<C, V> Default for Index<C, V> {
    fn default() -> Self {
        Index { blocks: Vec::new(), heads: Vec::new(), reach: Vec::new(), len: 0 }
    }
}

impl<C, V> Block<C, V> {
    fn head(&self) -> Head {
        let end = self.spans.iter().map(|span| span.1).max().expect("no block is empty");
        Head { start: self.spans[0].0, end }
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

    /// Rows that are in order and have no two the same `(start, content)`. O(n).
    pub(crate) fn from_sorted(rows: impl ExactSizeIterator<Item = (i64, i64, C, V)>) -> Self {
        // Room to grow in each block; as many blocks as that takes, all of about the same size.
        let (len, count) = (rows.len(), rows.len().div_ceil(BLOCK * 3 / 4));
        let mut rows = rows;
        let blocks: Vec<Block<C, V>> = (0..count)
            .map(|n| {
                let size = len * (n + 1) / count - len * n / count;
                let (spans, rows) = rows.by_ref().take(size).map(|(start, end, c, v)| ((start, end), (c, v))).unzip();
                Block { spans, rows }
            })
            .collect();
        let heads = blocks.iter().map(Block::head).collect();
        let mut index = Index { blocks, heads, reach: Vec::new(), len };
        index.sum_up(0);
        index
    }

    /// All rows, in order.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = (i64, i64, C, V)> {
        self.blocks.into_iter().flat_map(|block| {
            block.spans.into_iter().zip(block.rows).map(|((start, end), (content, value))| (start, end, content, value))
        })
    }

    /// Adds a row; says whether it is new. One that is there already stays as it is.
    pub(crate) fn insert(&mut self, start: i64, end: i64, content: C, value: V) -> bool {
        let Err(Place { block: b, at }) = self.find(start, &content) else { return false };
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.push(Block { spans: vec![(start, end)], rows: vec![(content, value)] });
            self.heads.push(Head { start, end });
            return true;
        }
        let block = &mut self.blocks[b];
        if block.spans.len() == block.spans.capacity() {
            // Half as much again, not double: most keys have few rows.
            let more = (block.spans.len() / 2).clamp(1, BLOCK - block.spans.len() + 1);
            block.spans.reserve_exact(more);
            block.rows.reserve_exact(more);
        }
        block.spans.insert(at, (start, end));
        block.rows.insert(at, (content, value));
        if block.spans.len() > BLOCK {
            self.split(b);
            return true;
        }
        let head = &mut self.heads[b];
        head.start = head.start.min(start);
        if head.end < end {
            head.end = end;
            self.raise(b, end);
        }
        true
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, start: i64, content: &C) -> Option<V> {
        let Place { block: b, at } = self.find(start, content).ok()?;
        self.len -= 1;
        let block = &mut self.blocks[b];
        block.spans.remove(at);
        let (_, value) = block.rows.remove(at);
        if block.spans.is_empty() {
            self.blocks.remove(b);
            self.heads.remove(b);
            self.sum_up(b);
            return Some(value);
        }
        self.heads[b] = block.head();
        self.sum_up_one(b);
        self.join(b);
        Some(value)
    }

    /// Everything that overlaps `[start, end)`, in order.
    pub(crate) fn overlapping(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, i64, &C, &V)> {
        let upto = self.heads.partition_point(|head| head.start < end);
        let mut next = 0;
        let blocks = std::iter::from_fn(move || {
            let b = self.next_reaching(next, upto, start)?;
            next = b + 1;
            Some(&self.blocks[b])
        });
        blocks.flat_map(move |block| {
            let upto = block.spans.partition_point(|span| span.0 < end);
            let pairs = block.spans[..upto].iter().zip(&block.rows);
            pairs.filter(move |(span, _)| span.1 > start).map(|(span, (c, v))| (span.0, span.1, c, v))
        })
    }

    /// Shows everything that overlaps `[start, end)`, in order; its value may be changed.
    pub(crate) fn visit_overlapping(&mut self, start: i64, end: i64, mut visit: impl FnMut(&C, &mut V)) {
        let upto = self.heads.partition_point(|head| head.start < end);
        let mut next = 0;
        while let Some(b) = self.next_reaching(next, upto, start) {
            next = b + 1;
            let Block { spans, rows } = &mut self.blocks[b];
            let upto = spans.partition_point(|span| span.0 < end);
            for (_, (content, value)) in spans[..upto].iter().zip(rows).filter(|(span, _)| span.1 > start) {
                visit(content, value);
            }
        }
    }

    /// The least start at or after `from`.
    pub(crate) fn next_start(&self, from: i64) -> Option<i64> {
        let b = self.heads.partition_point(|head| head.start < from);
        let before = b.checked_sub(1).and_then(|b| {
            let spans = &self.blocks[b].spans;
            spans.get(spans.partition_point(|span| span.0 < from)).map(|span| span.0)
        });
        before.or_else(|| self.heads.get(b).map(|head| head.start))
    }

    /// The place of a row; or, if it is not there, the one that it would have.
    fn find(&self, start: i64, content: &C) -> Result<Place, Place> {
        let from = self.heads.partition_point(|head| head.start < start);
        let ties = self.heads[from..].partition_point(|head| head.start == start);
        let after = from + self.blocks[from..from + ties].partition_point(|block| block.rows[0].0 <= *content);
        let block = after.saturating_sub(1);
        let Some(Block { spans, rows }) = self.blocks.get(block) else { return Err(Place::default()) };
        let from = spans.partition_point(|span| span.0 < start);
        let ties = spans[from..].partition_point(|span| span.0 == start);
        match rows[from..from + ties].binary_search_by(|(c, _)| c.cmp(content)) {
            Ok(at) => Ok(Place { block, at: from + at }),
            Err(at) => Err(Place { block, at: from + at }),
        }
    }

    /// The first of the blocks from `b` to before `upto` that has something which ends after `start`.
    fn next_reaching(&self, b: usize, upto: usize, start: i64) -> Option<usize> {
        let (mut at, mut level) = self.climb(b, 0);
        while at << (FAN_BITS * level) < upto {
            let end = if level == 0 { self.heads[at].end } else { self.reach[level - 1][at] };
            if end <= start {
                (at, level) = self.climb(at + 1, level);
            } else if level == 0 {
                return Some(at);
            } else {
                (at, level) = (at << FAN_BITS, level - 1);
            }
        }
        None
    }

    /// The greatest group that begins here.
    fn climb(&self, mut at: usize, mut level: usize) -> (usize, usize) {
        while at.is_multiple_of(FAN) && level < self.reach.len() {
            (at, level) = (at >> FAN_BITS, level + 1);
        }
        (at, level)
    }

    /// Cuts a block in two.
    fn split(&mut self, b: usize) {
        let block = &mut self.blocks[b];
        let half = block.spans.len() / 2;
        let later = Block { spans: block.spans.split_off(half), rows: block.rows.split_off(half) };
        self.heads[b] = block.head();
        self.heads.insert(b + 1, later.head());
        self.blocks.insert(b + 1, later);
        self.sum_up(b);
    }

    /// Makes one of a block and a neighbour if both are small, so that what is removed leaves nothing behind.
    fn join(&mut self, b: usize) {
        let size = |b: usize| self.blocks.get(b).map_or(BLOCK, |block| block.spans.len());
        let b = if b > 0 && size(b - 1) < size(b + 1) { b - 1 } else { b };
        if size(b) + size(b + 1) > BLOCK / 2 {
            return;
        }
        let mut later = self.blocks.remove(b + 1);
        self.heads.remove(b + 1);
        let block = &mut self.blocks[b];
        block.spans.append(&mut later.spans);
        block.rows.append(&mut later.rows);
        self.heads[b] = block.head();
        self.sum_up(b);
    }

    /// Something in block `b` ends at `end`, later than all before.
    fn raise(&mut self, b: usize, end: i64) {
        let mut at = b;
        for level in &mut self.reach {
            at >>= FAN_BITS;
            if level[at] >= end {
                return;
            }
            level[at] = end;
        }
    }

    /// The head of block `b` has changed, and no other.
    fn sum_up_one(&mut self, b: usize) {
        let mut at = b;
        for level in 0..self.reach.len() {
            at >>= FAN_BITS;
            self.reach[level][at] = self.greatest(level, at);
        }
    }

    /// The heads from that of block `b` on have changed.
    fn sum_up(&mut self, b: usize) {
        let (mut from, mut below, mut level) = (b, self.heads.len(), 0);
        while below > FAN {
            (from, below) = (from >> FAN_BITS, below.div_ceil(FAN));
            if self.reach.len() == level {
                self.reach.push(Vec::new());
                from = 0;
            }
            self.reach[level].truncate(from);
            for at in from..below {
                let end = self.greatest(level, at);
                self.reach[level].push(end);
            }
            level += 1;
        }
        self.reach.truncate(level);
    }

    /// The greatest end in group `at` of a level.
    fn greatest(&self, level: usize, at: usize) -> i64 {
        let from = at << FAN_BITS;
        let greatest = match level.checked_sub(1) {
            None => self.heads[from..].iter().take(FAN).map(|head| head.end).max(),
            Some(below) => self.reach[below][from..].iter().take(FAN).copied().max(),
        };
        greatest.expect("no group is empty")
    }
}
