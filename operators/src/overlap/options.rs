//! What a join of intervals is asked to do.

use std::fmt;

use crate::interval::Interval;
use crate::reaper::Reaper;

/// Options of [`overlap_join`](super::overlap_join) and its kin: which rows match.
pub struct OverlapOptions<A, B> {
    left: Box<dyn Fn(&A) -> Interval>,
    right: Box<dyn Fn(&B) -> Interval>,
    touching: bool,
    predicate: Option<Box<Predicate<A, B>>>,
    pub(super) reaper: Reaper,
}

type Predicate<A, B> = dyn Fn(&A, &B) -> bool;

impl<A, B> OverlapOptions<A, B> {
    /// Rows match that have at least a nanosecond in common.
    ///
    /// `left` and `right` say where a row stands in time; always the same of equal rows.
    pub fn new(left: impl Fn(&A) -> Interval + 'static, right: impl Fn(&B) -> Interval + 'static) -> Self {
        OverlapOptions {
            left: Box::new(left),
            right: Box::new(right),
            touching: false,
            predicate: None,
            reaper: Reaper::default(),
        }
    }

    /// Rows match as well if one ends where the other starts.
    pub fn with_touching(mut self) -> Self {
        self.touching = true;
        self
    }

    /// Rows match only if this holds, too. It must always say the same of equal rows. It is asked of rows that overlap alone.
    pub fn with_predicate(mut self, predicate: impl Fn(&A, &B) -> bool + 'static) -> Self {
        self.predicate = Some(Box::new(predicate));
        self
    }

    /// Where the state goes when the input has ended.
    pub fn with_reaper(mut self, reaper: Reaper) -> Self {
        self.reaper = reaper;
        self
    }

    /// Where a left row stands: rows match if these overlap, and the predicate holds.
    pub(super) fn left_span(&self, row: &A) -> (i64, i64) {
        self.span((self.left)(row))
    }

    pub(super) fn right_span(&self, row: &B) -> (i64, i64) {
        self.span((self.right)(row))
    }

    /// Half-open intervals touch if and only if they overlap when both are a nanosecond longer. What ends at the greatest time
    /// need not be longer: nothing starts there.
    fn span(&self, interval: Interval) -> (i64, i64) {
        (interval.start_ns(), interval.end_ns().saturating_add(i64::from(self.touching)))
    }

    pub(super) fn has_predicate(&self) -> bool {
        self.predicate.is_some()
    }

    pub(super) fn holds(&self, left: &A, right: &B) -> bool {
        self.predicate.as_ref().is_none_or(|predicate| predicate(left, right))
    }
}

impl<A, B> fmt::Debug for OverlapOptions<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlapOptions")
            .field("touching", &self.touching)
            .field("predicate", &self.predicate.is_some())
            .field("reaper", &self.reaper)
            .finish_non_exhaustive()
    }
}
