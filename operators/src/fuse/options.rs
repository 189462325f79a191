//! What fusion is asked to do.

use std::sync::Arc;

use crate::interval::Grid;
use crate::pace::Pace;
use crate::reaper::Reaper;

/// What one fused document stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// A bucket of the grid.
    Buckets(Grid),
    /// Consecutive buckets with the same children: the same content as buckets in far fewer documents.
    Runs(Grid),
    /// The exact stretch between two neighbouring end points of annotations.
    Segments,
}

impl Emit {
    /// The cells in which everything is counted. A segment is a run of one-nanosecond buckets.
    pub(super) fn grid(&self) -> Grid {
        match self {
            Emit::Buckets(grid) | Emit::Runs(grid) => *grid,
            Emit::Segments => Grid::new(1),
        }
    }
}

/// Options of [`fuse`](super::fuse): what is emitted, and what a document needs to be one.
#[derive(Debug)]
pub struct FuseOptions<K: ?Sized> {
    pub(super) emit: Emit,
    pub(super) min_kinds: usize,
    pub(super) require: Vec<Arc<K>>,
    pub(super) max_children: usize,
    pub(super) quiet_through: Option<u64>,
    pub(super) reaper: Reaper,
    pub(super) pace: Pace,
}

impl<K: ?Sized> Clone for FuseOptions<K> {
    fn clone(&self) -> Self {
        FuseOptions { require: self.require.clone(), reaper: self.reaper.clone(), pace: self.pace.clone(), ..*self }
    }
}

impl<K: Ord + ?Sized> FuseOptions<K> {
    /// Documents of this form with at least two kinds, and any number of children.
    pub fn new(emit: Emit) -> Self {
        FuseOptions {
            emit,
            min_kinds: 2,
            require: Vec::new(),
            max_children: usize::MAX,
            quiet_through: None,
            reaper: Reaper::default(),
            pace: Pace::default(),
        }
    }

    /// A document needs children of at least so many kinds.
    pub fn with_min_kinds(mut self, min_kinds: usize) -> Self {
        self.min_kinds = min_kinds;
        self
    }

    /// A document needs a child of each of these kinds.
    pub fn with_required(mut self, kinds: impl IntoIterator<Item: Into<Arc<K>>>) -> Self {
        self.require = kinds.into_iter().map(Into::into).collect();
        self.require.sort_unstable();
        self.require.dedup();
        self
    }

    /// A document with more children is not formed, but reported as a [`Rejection`](super::Rejection).
    pub fn with_max_children(mut self, max_children: usize) -> Self {
        self.max_children = max_children;
        self
    }

    /// Up to this epoch the input is only taken in: what it gives is known to everyone who reads the output.
    ///
    /// Such input must be additions alone, and each of them once. It costs no sweep and forms no document.
    pub fn with_quiet_through(mut self, epoch: u64) -> Self {
        self.quiet_through = Some(epoch);
        self
    }

    /// Where the state goes when the input has ended.
    pub fn with_reaper(mut self, reaper: Reaper) -> Self {
        self.reaper = reaper;
        self
    }

    /// Whether those who take the documents can follow.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The most children that a document may have.
    pub fn max_children(&self) -> usize {
        self.max_children
    }
}
