//! What the left rows of one worker find on the right side, epoch by epoch. No dataflow.

use std::hash::Hash;
use std::mem::take;

use hashbrown::HashMap;

/// What becomes of a left row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked<'a, L, R> {
    /// It goes, or another one takes its place.
    Gone(&'a L),
    /// It comes, and has found this.
    Came(&'a L, Option<&'a R>),
}

/// A change of a side: a row by its key, and how often it is there more.
type Change<K, D> = ((K, D), isize);

/// What an epoch changes of both sides.
#[derive(Debug)]
pub(super) struct Changes<K, L, R> {
    pub left: Vec<Change<K, L>>,
    pub right: Vec<Change<K, R>>,
}

impl<K, L, R> Default for Changes<K, L, R> {
    fn default() -> Self {
        Changes { left: Vec::new(), right: Vec::new() }
    }
}

/// The rows of the right side, and the left rows that are yet to be looked up.
#[derive(Debug)]
pub(super) struct Looking<K, L, R> {
    /// What left rows of these epochs have found is known.
    known_through: u64,
    right: HashMap<K, R>,
    /// All left rows, if nothing is known of any: they are looked up at the reveal.
    gathered: Option<Vec<Change<K, L>>>,
}

impl<K, L, R> Looking<K, L, R>
where
    K: Hash + Ord + Clone,
    L: Ord,
    R: Ord,
{
    pub(super) fn new(known_through: u64, is_new: bool) -> Self {
        Looking { known_through, right: HashMap::new(), gathered: is_new.then(Vec::new) }
    }

    /// Whether changes of the left side at an epoch make a difference.
    pub(super) fn looks_at(&self, epoch: u64) -> bool {
        self.gathered.is_some() || epoch > self.known_through
    }

    /// Applies a complete epoch, after those before it; tells what becomes of left rows.
    pub(super) fn close(
        &mut self,
        changes: Changes<K, L, R>,
        is_reveal: bool,
        mut tell: impl FnMut(&K, Looked<'_, L, R>),
    ) {
        let Changes { mut left, right } = changes;
        self.change_right(right);
        if let Some(gathered) = &mut self.gathered {
            gathered.append(&mut left);
            if !is_reveal {
                return;
            }
            left = take(gathered);
            self.gathered = None;
        }
        // A row that only seems to change is not looked up again.
        let left = net(left);
        // Rows of one key that go and come may be told by two workers: which comes first is not known there either.
        for ((key, row), times) in &left {
            match *times > 0 {
                true => tell(key, Looked::Came(row, self.right.get(key))),
                false => tell(key, Looked::Gone(row)),
            }
        }
    }

    fn change_right(&mut self, changes: Vec<Change<K, R>>) {
        let (come, go): (Vec<_>, Vec<_>) = net(changes).into_iter().partition(|(_, times)| *times > 0);
        for ((key, _), _) in &go {
            self.right.remove(key);
        }
        self.right.extend(come.into_iter().map(|(row, _)| row));
    }

    /// All rows, for whoever frees them.
    pub(super) fn take(&mut self) -> HashMap<K, R> {
        take(&mut self.right)
    }
}

/// Changes without those that cancel out, in order.
fn net<D: Ord>(mut changes: Vec<(D, isize)>) -> Vec<(D, isize)> {
    changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    changes.dedup_by(|(row, times), (kept, sum)| {
        let is_same = row == kept;
        if is_same {
            *sum += *times;
        }
        is_same
    });
    changes.retain(|(_, times)| *times != 0);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    type Side = Vec<Change<u8, char>>;

    fn closed(looking: &mut Looking<u8, char, char>, left: Side, right: Side, is_reveal: bool) -> String {
        let mut told = Vec::new();
        looking.close(Changes { left, right }, is_reveal, |key, looked| {
            told.push(match looked {
                Looked::Gone(row) => format!("-{key}{row}"),
                Looked::Came(row, found) => format!("+{key}{row}{}", found.unwrap_or(&'?')),
            });
        });
        told.join(" ")
    }

    #[test]
    fn a_row_finds_what_its_own_epoch_has_made_of_the_right_side() {
        let mut looking = Looking::new(0, false);
        assert_eq!(closed(&mut looking, vec![((1, 'a'), 1)], vec![((1, 'x'), 1)], false), "+1ax");
        assert_eq!(closed(&mut looking, vec![], vec![((1, 'x'), -1), ((1, 'y'), 1)], false), "", "it stays");
        assert_eq!(closed(&mut looking, vec![((1, 'b'), 1)], vec![((1, 'z'), 1), ((1, 'y'), -1)], false), "+1bz");
        assert_eq!(closed(&mut looking, vec![((1, 'b'), -1), ((2, 'b'), 1)], vec![], false), "-1b +2b?");
        assert_eq!(closed(&mut looking, vec![((1, 'a'), -1), ((1, 'a'), 1)], vec![((1, 'z'), -1)], false), "");
        assert_eq!(closed(&mut looking, vec![((1, 'a'), -1)], vec![], false), "-1a");
        assert!(looking.take().is_empty());
    }

    #[test]
    fn what_is_new_looks_at_all_rows_at_the_reveal() {
        let mut looking = Looking::new(7, true);
        assert!(looking.looks_at(3));
        assert_eq!(closed(&mut looking, vec![((1, 'a'), 1), ((1, 'b'), 1)], vec![((1, 'x'), 1)], false), "");
        assert_eq!(closed(&mut looking, vec![((1, 'a'), -1)], vec![((1, 'x'), -1), ((1, 'y'), 1)], true), "+1by");
        assert!(!looking.looks_at(7) && looking.looks_at(8));
        assert_eq!(closed(&mut looking, vec![((1, 'c'), 1)], vec![], false), "+1cy");
    }
}
