//! What is known of blocks without looking into them.

/// So many blocks, or groups of them, are summed up in one number: 2 to this power.
const FAN_BITS: usize = 4;
const FAN: usize = 1 << FAN_BITS;

/// Where the rows of a block begin and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The least start.
    pub start: i64,
    /// The greatest end.
    pub end: i64,
}

/// One head a block, in order; and the greatest end of groups of them, of groups of groups, and so on.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads {
    heads: Vec<Head>,
    /// The last level has at most `FAN` numbers.
    levels: Vec<Vec<i64>>,
}

impl Head {
    /// With one row more.
    pub(super) fn with(self, (start, end): (i64, i64)) -> Self {
        Head { start: self.start.min(start), end: self.end.max(end) }
    }
}

impl Heads {
    pub(super) fn new(heads: Vec<Head>) -> Self {
        let mut heads = Heads { heads, levels: Vec::new() };
        heads.sum_up(0);
        heads
    }

    pub(super) fn as_slice(&self) -> &[Head] {
        &self.heads
    }

    /// The first blocks: those that start before `start`.
    pub(super) fn starting_before(&self, start: i64) -> usize {
        self.heads.partition_point(|head| head.start < start)
    }

    /// The first of the blocks from `b` to before `upto` that has something which ends after `start`.
    ///
    /// O(log n), or as many steps as there are blocks up to the one found, if these are fewer.
    pub(super) fn next_reaching(&self, b: usize, upto: usize, start: i64) -> Option<usize> {
        let (mut at, mut level) = self.climb(b, 0);
        while at << (FAN_BITS * level) < upto {
            let end = if level == 0 { self.heads[at].end } else { self.levels[level - 1][at] };
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
        while at.is_multiple_of(FAN) && level < self.levels.len() {
            (at, level) = (at >> FAN_BITS, level + 1);
        }
        (at, level)
    }

    /// The head of block `b` is another one.
    pub(super) fn set(&mut self, b: usize, head: Head) {
        let end = std::mem::replace(&mut self.heads[b], head).end;
        let mut at = b;
        for level in 0..self.levels.len() {
            at >>= FAN_BITS;
            if head.end >= end {
                if self.levels[level][at] >= head.end {
                    return;
                }
                self.levels[level][at] = head.end;
            } else {
                self.levels[level][at] = self.greatest(level, at);
            }
        }
    }

    /// There is one more block before the `b`-th.
    pub(super) fn insert(&mut self, b: usize, head: Head) {
        self.heads.insert(b, head);
        self.sum_up(b);
    }

    /// Block `b` is gone.
    pub(super) fn remove(&mut self, b: usize) {
        self.heads.remove(b);
        self.sum_up(b);
    }

    /// Everything from block `b` on has changed.
    fn sum_up(&mut self, b: usize) {
        let (mut from, mut below, mut level) = (b, self.heads.len(), 0);
        while below > FAN {
            (from, below) = (from >> FAN_BITS, below.div_ceil(FAN));
            if self.levels.len() == level {
                self.levels.push(Vec::new());
                from = 0;
            }
            self.levels[level].truncate(from);
            for at in from..below {
                let end = self.greatest(level, at);
                self.levels[level].push(end);
            }
            level += 1;
        }
        self.levels.truncate(level);
    }

    /// The greatest end in group `at` of a level.
    fn greatest(&self, level: usize, at: usize) -> i64 {
        let from = at << FAN_BITS;
        let greatest = match level.checked_sub(1) {
            None => self.heads[from..].iter().take(FAN).map(|head| head.end).max(),
            Some(below) => self.levels[below][from..].iter().take(FAN).copied().max(),
        };
        greatest.expect("no group is empty")
    }
}
