//! From pairs to rows of the output.

use super::update::Results;

/// Rows are handed on in containers of about so many bytes.
const CONTAINER_BYTES: usize = 1 << 14;

/// The rows that an epoch puts out. Filled here and handed over whole, which takes half as long as to give them one by one.
pub(super) struct Rows<'f, D, F, G> {
    epoch: u64,
    result: &'f F,
    rows: Vec<(D, u64, isize)>,
    give: G,
}

impl<'f, D, F, G: FnMut(&mut Vec<(D, u64, isize)>)> Rows<'f, D, F, G> {
    pub(super) fn new(epoch: u64, result: &'f F, give: G) -> Self {
        Rows { epoch, result, rows: Vec::new(), give }
    }

    /// Hands over what is there and makes room.
    #[cold]
    pub(super) fn flush(&mut self) {
        if !self.rows.is_empty() {
            (self.give)(&mut self.rows);
            self.rows.clear();
        }
        self.rows.reserve_exact((CONTAINER_BYTES / size_of::<(D, u64, isize)>()).max(1));
    }

    /// There are no more.
    pub(super) fn finish(mut self) {
        if !self.rows.is_empty() {
            (self.give)(&mut self.rows);
        }
    }
}

impl<K, A, B, D, F, G> Results<K, A, B> for Rows<'_, D, F, G>
where
    F: Fn(&K, &A, Option<&B>) -> D,
    G: FnMut(&mut Vec<(D, u64, isize)>),
{
    #[inline]
    fn one(&mut self, key: &K, left: &A, right: Option<&B>, diff: isize) {
        if self.rows.len() == self.rows.capacity() {
            self.flush();
        }
        self.rows.push(((self.result)(key, left, right), self.epoch, diff));
    }
}
