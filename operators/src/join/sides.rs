//! The rows of both sides of a key.

use serde::{Deserialize, Serialize};

use super::operator::Unmatched;
use crate::aggregate::{Accumulator, Bag};

/// The rows of both sides of a key; or a change of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "L: Ord + Deserialize<'de>, R: Ord + Deserialize<'de>"))]
pub(super) struct Sides<L: Ord, R: Ord> {
    left: Bag<L>,
    right: Bag<R>,
}

/// A row of one of two collections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Side<L, R> {
    Left(L),
    Right(R),
}

impl<L: Ord, R: Ord> Default for Sides<L, R> {
    fn default() -> Self {
        Sides { left: Bag::default(), right: Bag::default() }
    }
}

impl<L: Ord + Clone + 'static, R: Ord + Clone + 'static> Accumulator for Sides<L, R> {
    type Input = Side<L, R>;

    fn add(&mut self, input: Side<L, R>, times: i64) {
        match input {
            Side::Left(row) => self.left.add(row, times),
            Side::Right(row) => self.right.add(row, times),
        }
    }

    fn merge(&mut self, other: Self) {
        self.left.merge(other.left);
        self.right.merge(other.right);
    }
}

impl<L: Ord + Clone + 'static, R: Ord + Clone + 'static> Sides<L, R> {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.right.is_empty()
    }

    /// Changes the rows; tells `emit` the pairs that go and come, each once, with how often. What would cancel out is not told.
    pub(super) fn change(&mut self, change: Self, unmatched: Unmatched, mut emit: impl FnMut(&L, Option<&R>, i64)) {
        let was_alone = self.right.min().is_none();
        let is_alone = match change.right.is_empty() {
            true => was_alone,
            false => {
                self.right.merge(change.right.clone());
                self.right.min().is_none()
            }
        };
        let before = |right: &R| self.right.times(right) - change.right.times(right);
        let mut tell = |left: &L, right: Option<&R>, times: i64| {
            if times != 0 {
                emit(left, right, times);
            }
        };
        let alone = |times: i64, is: bool| if is && unmatched == Unmatched::Keep { times } else { 0 };
        // Rows of the left that stay as they are, with what changes on the right.
        let touched = if change.right.is_empty() { None } else { Some(&self.left) };
        let staying = touched.into_iter().flat_map(Bag::iter).filter(|(left, _)| change.left.times(left) == 0);
        for (left, times) in staying {
            change.right.changes().for_each(|(right, by)| tell(left, Some(right), times * by));
            tell(left, None, alone(times, is_alone) - alone(times, was_alone));
        }
        // Those that change, with all that was and is there.
        for (left, by) in change.left.changes() {
            let old = self.left.times(left);
            let new = old + by;
            for (right, times) in self.right.iter() {
                tell(left, Some(right), new * times - old * before(right));
            }
            for (right, _) in change.right.changes().filter(|(right, _)| self.right.times(right) == 0) {
                tell(left, Some(right), -old * before(right));
            }
            tell(left, None, alone(new, is_alone) - alone(old, was_alone));
        }
        self.left.merge(change.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies changes; answers what is told, in order.
    fn changed(sides: &mut Sides<u8, char>, changes: &[(Side<u8, char>, i64)]) -> String {
        let mut change = Sides::default();
        changes.iter().for_each(|(row, times)| change.add(row.clone(), *times));
        let mut told = Vec::new();
        sides.change(change, Unmatched::Keep, |left, right, times| {
            told.push(format!("{times:+} {left}{}", right.unwrap_or(&'-')));
        });
        told.join(", ")
    }

    #[test]
    fn what_would_cancel_out_is_not_told() {
        let (left, right) = (Side::Left, Side::Right);
        let mut sides = Sides::default();
        assert_eq!(changed(&mut sides, &[(left(1), 1)]), "+1 1-");
        assert_eq!(changed(&mut sides, &[(left(2), 1), (right('a'), 1)]), "+1 1a, -1 1-, +1 2a", "2 was never alone");
        assert_eq!(changed(&mut sides, &[(right('a'), -1), (right('b'), 1)]), "-1 1a, +1 1b, -1 2a, +1 2b");
        assert_eq!(
            changed(&mut sides, &[(left(1), -1), (left(3), 1), (right('b'), -1), (right('c'), 2)]),
            "-1 2b, +2 2c, -1 1b, +2 3c"
        );
        assert_eq!(changed(&mut sides, &[(left(2), 2), (right('c'), -1)]), "-1 3c, +1 2c", "from 1 * 2 to 3 * 1");
        assert_eq!(changed(&mut sides, &[(right('c'), -1), (left(2), -3)]), "-1 3c, +1 3-, -3 2c");
        assert_eq!(changed(&mut sides, &[(left(3), -1)]), "-1 3-");
        assert!(sides.is_empty());
    }
}
