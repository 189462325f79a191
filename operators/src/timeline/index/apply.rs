//! Changes of an index.

use super::heads::{Head, Heads};
use super::{BLOCK, Block, Index, Place};

/// So many changes of a block are made one by one: to move what is behind each costs less than to move all rows to another.
const FEW: usize = 8;

/// What becomes of a row: it is there with a value, or it is gone.
#[derive(Debug)]
pub(crate) struct Op<C, V> {
    pub start: i64,
    pub end: i64,
    pub content: C,
    pub value: Option<V>,
    /// What [`Index::find`] said of it when the index was as it is.
    pub place: Result<Place, Place>,
}

impl<C: Ord, V> Index<C, V> {
    /// Rows that are in order and have no two the same `(start, content)`; at most so many. O(n).
    pub(crate) fn from_sorted(rows: impl Iterator<Item = (i64, i64, C, V)>, at_most: usize) -> Self {
        let mut index = Merged::with_capacity(0);
        index.cut(rows.map(|(start, end, content, value)| ((start, end), (content, value))), at_most);
        index.finish()
    }

    /// Makes changes that are in order, at most one of each `(start, content)`.
    ///
    /// Few are made one by one, O(log n) each. Many are merged block by block: O(blocks, and rows in those that change).
    pub(crate) fn apply(&mut self, ops: impl ExactSizeIterator<Item = Op<C, V>> + DoubleEndedIterator) {
        if self.is_empty() {
            let at_most = ops.len();
            let rows = ops.filter_map(|op| Some((op.start, op.end, op.content, op.value?)));
            *self = Index::from_sorted(rows, at_most);
        } else if ops.len() * 4 > self.blocks.len() {
            self.merge(ops);
        } else {
            // From the last to the first: what is changed does not move what is still to be.
            ops.rev().for_each(|op| self.apply_one(op));
        }
    }

    fn apply_one(&mut self, op: Op<C, V>) {
        match (op.place, op.value) {
            (Ok(place), Some(value)) => *self.value_mut(place) = value,
            (Ok(place), None) => self.remove_at(place),
            (Err(place), Some(value)) => self.insert_at(place, (op.start, op.end), op.content, value),
            (Err(_), None) => (),
        }
    }

    fn insert_at(&mut self, place: Place, span: (i64, i64), content: C, value: V) {
        let Place { block: mut b, mut at } = place;
        self.len += 1;
        // What came after this place may have been cut off from its block, or gone with it.
        while self.blocks.get(b).is_some_and(|block| block.spans.len() < at) {
            (b, at) = (b + 1, at - self.blocks[b].spans.len());
        }
        if b == self.blocks.len() {
            let block = Block { spans: vec![span], rows: vec![(content, value)] };
            self.heads.insert(b, block.head());
            self.blocks.push(block);
            return;
        }
        let block = &mut self.blocks[b];
        block.insert(at, span, content, value);
        if block.spans.len() <= BLOCK {
            self.heads.set(b, self.heads.as_slice()[b].with(span));
            return;
        }
        let half = block.spans.len() / 2;
        let later = Block { spans: block.spans.split_off(half), rows: block.rows.split_off(half) };
        self.heads.set(b, block.head());
        self.heads.insert(b + 1, later.head());
        self.blocks.insert(b + 1, later);
    }

    fn remove_at(&mut self, place: Place) {
        let Place { block: b, at } = place;
        self.len -= 1;
        let block = &mut self.blocks[b];
        let gone = block.spans.remove(at);
        block.rows.remove(at);
        if block.spans.is_empty() {
            self.blocks.remove(b);
            self.heads.remove(b);
            return;
        }
        if at == 0 || gone.1 == self.heads.as_slice()[b].end {
            self.heads.set(b, block.head());
        }
        // One of two small neighbours, so that what goes leaves nothing behind. With the later one only: what is still to be
        // applied stands before.
        let size = |b: usize| self.blocks.get(b).map_or(BLOCK, |block| block.spans.len());
        if size(b) + size(b + 1) <= BLOCK / 2 {
            let mut later = self.blocks.remove(b + 1);
            self.heads.remove(b + 1);
            let block = &mut self.blocks[b];
            block.spans.append(&mut later.spans);
            block.rows.append(&mut later.rows);
            self.heads.set(b, block.head());
        }
    }

    /// Applies changes in one pass over the blocks; those without one are not looked into.
    fn merge(&mut self, ops: impl Iterator<Item = Op<C, V>>) {
        let Index { blocks, heads, .. } = std::mem::take(self);
        let mut ops = ops.peekable();
        let mut merged = Merged::with_capacity(blocks.len() + 1);
        let (mut of_this, mut rows) = (Vec::new(), Vec::new());
        for (b, (mut block, head)) in blocks.into_iter().zip(heads.as_slice().iter().copied()).enumerate() {
            let of_block = |op: &Op<C, V>| op.place().block == b;
            of_this.extend(std::iter::from_fn(|| ops.next_if(of_block)));
            if of_this.is_empty() {
                merged.push(block, head);
            } else if of_this.len() <= FEW && block.spans.len() + of_this.len() <= BLOCK {
                if let Some(head) = block.change(&mut of_this, head) {
                    merged.push(block, head);
                }
            } else {
                block.merge(of_this.drain(..), &mut rows);
                merged.refill(block, &mut rows);
            }
        }
        *self = merged.finish();
    }
}

impl<C, V> Op<C, V> {
    fn place(&self) -> Place {
        self.place.unwrap_or_else(|place| place)
    }
}

type Whole<C, V> = ((i64, i64), (C, V));

impl<C, V> Block<C, V> {
    /// Makes changes one by one; there must be room. Returns the new head, unless no row is left.
    fn change(&mut self, ops: &mut Vec<Op<C, V>>, mut head: Head) -> Option<Head> {
        let mut shrinks = false;
        // From the last to the first: what is changed does not move what is still to be.
        for op in ops.drain(..).rev() {
            let at = op.place().at;
            match (op.place, op.value) {
                (Ok(_), Some(value)) => self.rows[at].1 = value,
                (Ok(_), None) => {
                    self.spans.remove(at);
                    self.rows.remove(at);
                    shrinks = true;
                }
                (Err(_), Some(value)) => {
                    let span = (op.start, op.end);
                    self.insert(at, span, op.content, value);
                    head = head.with(span);
                }
                (Err(_), None) => (),
            }
        }
        if self.spans.is_empty() {
            return None;
        }
        Some(if shrinks { self.head() } else { head })
    }

    /// Moves the rows out, with those of `ops` in their places.
    fn merge(&mut self, ops: impl Iterator<Item = Op<C, V>>, rows: &mut Vec<Whole<C, V>>) {
        let mut old = self.spans.drain(..).zip(self.rows.drain(..));
        let mut done = 0;
        for op in ops {
            let at = op.place().at;
            rows.extend(old.by_ref().take(at - done));
            done = at;
            if op.place.is_ok() {
                old.next();
                done += 1;
            }
            rows.extend(op.value.map(|value| ((op.start, op.end), (op.content, value))));
        }
        rows.extend(old);
    }
}

/// The blocks of an index that is being made.
struct Merged<C, V> {
    blocks: Vec<Block<C, V>>,
    heads: Vec<Head>,
}

impl<C, V> Merged<C, V> {
    fn with_capacity(blocks: usize) -> Self {
        Merged { blocks: Vec::with_capacity(blocks), heads: Vec::with_capacity(blocks) }
    }

    fn push(&mut self, block: Block<C, V>, head: Head) {
        self.blocks.push(block);
        self.heads.push(head);
    }

    /// Puts rows into an empty block, or into several if they are many.
    fn refill(&mut self, mut block: Block<C, V>, rows: &mut Vec<Whole<C, V>>) {
        if rows.len() > BLOCK {
            let len = rows.len();
            self.cut(rows.drain(..), len);
        } else if !rows.is_empty() {
            for (span, row) in rows.drain(..) {
                block.spans.push(span);
                block.rows.push(row);
            }
            let head = block.head();
            self.push(block, head);
        }
    }

    /// Makes blocks of about the same size, with room to grow, of at most so many rows.
    fn cut(&mut self, mut rows: impl Iterator<Item = Whole<C, V>>, len: usize) {
        let count = len.div_ceil(BLOCK * 3 / 4);
        for n in 0..count {
            let size = len * (n + 1) / count - len * n / count;
            let mut block = Block { spans: Vec::with_capacity(size), rows: Vec::with_capacity(size) };
            for (span, row) in rows.by_ref().take(size) {
                block.spans.push(span);
                block.rows.push(row);
            }
            if block.spans.is_empty() {
                return;
            }
            let head = block.head();
            self.push(block, head);
        }
    }

    fn finish(self) -> Index<C, V> {
        let len = self.blocks.iter().map(|block| block.spans.len()).sum();
        Index { blocks: self.blocks, heads: Heads::new(self.heads), len }
    }
}
