//! What a table of generations must know of its records.

use std::fmt;
use std::sync::Arc;

use crate::table::Versioned;

/// What a record is to a table of generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A row, or the deletion of one, that belongs to no operation: it is shown as it comes.
    Free,
    /// A row, or the deletion of one, of the operation with this number.
    Row(u64),
    /// It says how the operation with this number stands; `None` if nothing is known of it any more.
    Operation(u64, Option<Stage>),
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has begun. Its rows may come before this is known, and are kept.
    Started,
    /// Nothing of it will follow, once there were `awaits` distinct keys.
    Finished {
        /// Zero: what comes later is shown as it comes.
        awaits: u64,
    },
    /// It is as if it had never been.
    Canceled,
}

/// A record of a table whose rows may belong to operations.
///
/// Records of a series have one [`route`](Versioned::route), so that all of it is on one worker; rows have a
/// [`key_hash`](Versioned::key_hash) of their own. The key of a row has the number of its operation in it. Deletions of such
/// rows must be [remembered](Versioned::is_remembered), as they count among the keys that a finished operation waits for.
pub trait Generational: Versioned {
    /// What the record is to the table.
    fn role(&self) -> Role;
    /// Whether both belong to one series of operations. Not asked of records that belong to none.
    fn same_series(&self, other: &Self) -> bool;
    /// Of a record that says that an operation is finished: the same, and it waits for nothing.
    fn fulfilled(&self) -> Self;
}

/// Shared records are the records themselves.
impl<R: Generational> Generational for Arc<R> {
    fn role(&self) -> Role {
        (**self).role()
    }
    fn same_series(&self, other: &Self) -> bool {
        (**self).same_series(other)
    }
    fn fulfilled(&self) -> Self {
        Arc::new((**self).fulfilled())
    }
}

/// Why what a record says of an operation is not done. An operation ends once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is to be canceled, and is finished: its rows are shown, or will be.
    CanceledAfterFinished,
    /// It is to be finished, and was canceled: its rows are gone.
    FinishedAfterCanceled,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::CanceledAfterFinished => "the operation is finished and can not be canceled",
            Refusal::FinishedAfterCanceled => "the operation was canceled and can not be finished",
        })
    }
}
