//! What a table says of an epoch.

use std::ops::AddAssign;

/// A change of a table's state, for a journal. A deletion that must be remembered is state too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum TableChange<R> {
    /// The state of the key is this record.
    Set(R),
    /// There is nothing of the key of this record any more.
    Remove(R),
}

impl<R> TableChange<R> {
    /// The same change of what `of` makes of the record.
    pub fn map<S>(self, of: impl FnOnce(R) -> S) -> TableChange<S> {
        match self {
            TableChange::Set(record) => TableChange::Set(of(record)),
            TableChange::Remove(record) => TableChange::Remove(of(record)),
        }
    }
}

/// Takes what a table says of an epoch: of its rows, and of the state behind them.
pub(crate) trait Output<R, S = R> {
    /// A row comes (+1) or goes (-1).
    fn show(&mut self, row: &R, diff: isize);
    /// State has changed.
    fn note(&mut self, change: TableChange<S>);
    /// Whether rows are looked at when they are shown. Those that are costly to make need not be made otherwise; that there are
    /// more or less of them is said all the same, by [`Output::grow`].
    fn looks(&self) -> bool {
        true
    }
    /// There are so many more rows than those that were shown.
    fn grow(&mut self, _rows: isize) {}
}

/// What to do with rows, and what with changes of state.
impl<R, T, S: FnMut(&R, isize), N: FnMut(TableChange<T>)> Output<R, T> for (S, N) {
    fn show(&mut self, row: &R, diff: isize) {
        self.0(row, diff);
    }

    fn note(&mut self, change: TableChange<T>) {
        self.1(change);
    }
}

/// What closing an epoch found, besides the changes of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Records that came after a newer one of their key.
    pub superseded: u64,
    /// Keys whose records come from different partitions without a version.
    pub ambiguous: u64,
    /// Records that were too old to become rows.
    pub expired: u64,
    /// Records of operations that are over.
    pub stale: u64,
    /// Operations that took the place of another, or were the first.
    pub swaps: u64,
}

impl AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        self.superseded += other.superseded;
        self.ambiguous += other.ambiguous;
        self.expired += other.expired;
        self.stale += other.stale;
        self.swaps += other.swaps;
    }
}
