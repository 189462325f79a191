//! The rows of several parts as one sorted sequence.

use crate::error::JournalError;
use crate::part::{BASE_BYTES, Block, Blocks, Change, RowAt};

/// Where the merge is in one part.
struct Cursor<'a> {
    blocks: Blocks<'a>,
    block: Block,
    at: usize,
    row: RowAt,
}

impl<'a> Cursor<'a> {
    /// At the first row; `None` if there is none.
    fn new(mut blocks: Blocks<'a>) -> Result<Option<Self>, JournalError> {
        Ok(first_row(&mut blocks)?.map(|(block, at, row)| Cursor { blocks, block, at, row }))
    }

    /// To the next row; `false` if there is none.
    fn advance(&mut self) -> Result<bool, JournalError> {
        if let Some(row) = self.block.next_row(&mut self.at) {
            self.row = row;
            return Ok(true);
        }
        let Some((block, at, row)) = first_row(&mut self.blocks)? else { return Ok(false) };
        (self.block, self.at, self.row) = (block, at, row);
        Ok(true)
    }

    fn change(&self) -> Change<'_> {
        self.block.change(&self.row)
    }
}

fn first_row(blocks: &mut Blocks<'_>) -> Result<Option<(Block, usize, RowAt)>, JournalError> {
    for block in blocks {
        let block = block?;
        let mut at = BASE_BYTES;
        if let Some(row) = block.next_row(&mut at) {
            return Ok(Some((block, at, row)));
        }
    }
    Ok(None)
}

/// A heap of cursors, the one with the least row on top.
pub(super) struct Cursors<'a> {
    heap: Vec<Cursor<'a>>,
}

impl<'a> Cursors<'a> {
    pub(super) fn new(parts: Vec<Blocks<'a>>) -> Result<Self, JournalError> {
        let mut heap = Vec::with_capacity(parts.len());
        for blocks in parts {
            heap.extend(Cursor::new(blocks)?);
        }
        // Sorted is a heap, too.
        heap.sort_by(|a, b| a.change().order().cmp(&b.change().order()));
        Ok(Cursors { heap })
    }

    pub(super) fn current(&self) -> Option<Change<'_>> {
        self.heap.first().map(Cursor::change)
    }

    pub(super) fn advance(&mut self) -> Result<(), JournalError> {
        let Some(top) = self.heap.first_mut() else { return Ok(()) };
        if !top.advance()? {
            self.heap.swap_remove(0);
        }
        self.sift_down();
        Ok(())
    }

    fn sift_down(&mut self) {
        let mut parent = 0;
        loop {
            let children = 2 * parent + 1..(2 * parent + 3).min(self.heap.len());
            let Some(least) = children.min_by(|a, b| self.order(*a).cmp(&self.order(*b))) else { return };
            if self.order(parent) <= self.order(least) {
                return;
            }
            self.heap.swap(parent, least);
            parent = least;
        }
    }

    fn order(&self, i: usize) -> (u16, u64, &[u8], u64) {
        self.heap[i].change().order()
    }
}
