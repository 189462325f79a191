//! Half-open time intervals in integer nanoseconds, and the grid of buckets laid over them.
//!
//! Every range becomes half-open once, when it enters ([`Interval::from_range`]); from there on all modes of fusion
//! share one rule: an interval covers a bucket if and only if the two overlap.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A non-empty, half-open interval `[start_ns, end_ns)` of media time, in nanoseconds; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    start_ns: i64,
    end_ns: i64,
}

/// What the end of a range in the input means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Boundary {
    /// `[start, end)`; a zero-length range is the single nanosecond at its start.
    #[default]
    Exclusive,
    /// `[start, end]`, that is `[start, end + 1 ns)`.
    Inclusive,
}

/// Why a pair of numbers is not an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// The range starts before the media does.
    Negative {
        /// The start as it was given.
        start_ns: i64,
    },
    /// The range ends before it starts.
    Inverted {
        /// The start as it was given.
        start_ns: i64,
        /// The end as it was given.
        end_ns: i64,
    },
    /// The half-open end does not fit 64 bits.
    Overflow,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeError::Negative { start_ns } => write!(f, "range starts before zero: {start_ns} ns"),
            RangeError::Inverted { start_ns, end_ns } => {
                write!(f, "range ends before it starts: start {start_ns} ns, end {end_ns} ns")
            }
            RangeError::Overflow => write!(f, "range ends beyond the greatest time, 2^63 - 1 ns"),
        }
    }
}

impl std::error::Error for RangeError {}

impl Interval {
    /// `[start_ns, end_ns)`.
    ///
    /// # Panics
    /// If the interval would be empty or negative: a broken invariant of the caller. Input goes through
    /// [`Interval::from_range`].
    pub fn new(start_ns: i64, end_ns: i64) -> Self {
        assert!(0 <= start_ns && start_ns < end_ns, "not an interval: [{start_ns}, {end_ns})");
        Interval { start_ns, end_ns }
    }

    /// The interval that a range of the input stands for.
    ///
    /// # Errors
    /// [`RangeError`] if the range is negative, ends before it starts, or its half-open end overflows.
    ///
    /// ```
    /// use flowstone_operators::interval::{Boundary, Interval};
    /// let point = Interval::from_range(2_400, 2_400, Boundary::Exclusive).unwrap();
    /// assert_eq!((point.start_ns(), point.end_ns()), (2_400, 2_401));
    /// let closed = Interval::from_range(2, 8, Boundary::Inclusive).unwrap();
    /// assert_eq!((closed.start_ns(), closed.end_ns()), (2, 9));
    /// ```
    pub fn from_range(start_ns: i64, end_ns: i64, boundary: Boundary) -> Result<Self, RangeError> {
        if start_ns < 0 {
            return Err(RangeError::Negative { start_ns });
        }
        if end_ns < start_ns {
            return Err(RangeError::Inverted { start_ns, end_ns });
        }
        let end_ns = match boundary {
            Boundary::Exclusive if end_ns > start_ns => end_ns,
            Boundary::Exclusive => start_ns.checked_add(1).ok_or(RangeError::Overflow)?,
            Boundary::Inclusive => end_ns.checked_add(1).ok_or(RangeError::Overflow)?,
        };
        Ok(Interval { start_ns, end_ns })
    }

    /// The first nanosecond inside.
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// The first nanosecond after it.
    pub fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Its length, at least 1.
    pub fn length_ns(&self) -> i64 {
        self.end_ns - self.start_ns
    }

    /// What both cover, if they overlap.
    pub fn intersection(&self, other: &Interval) -> Option<Interval> {
        let (start_ns, end_ns) = (self.start_ns.max(other.start_ns), self.end_ns.min(other.end_ns));
        (start_ns < end_ns).then_some(Interval { start_ns, end_ns })
    }

    /// The least interval that covers both.
    pub fn hull(&self, other: &Interval) -> Interval {
        Interval { start_ns: self.start_ns.min(other.start_ns), end_ns: self.end_ns.max(other.end_ns) }
    }
}

/// A grid of equal buckets from time zero on: bucket `b` is `[b * width, (b + 1) * width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    width_ns: i64,
}

impl Grid {
    /// A grid of buckets of `width_ns`.
    ///
    /// # Panics
    /// If the width is not positive.
    pub fn new(width_ns: i64) -> Self {
        assert!(width_ns > 0, "a bucket has a positive width, not {width_ns} ns");
        Grid { width_ns }
    }

    /// The width of a bucket.
    pub fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// The buckets `[first, end)` that the interval covers, wholly or in part.
    ///
    /// ```
    /// use flowstone_operators::interval::{Grid, Interval};
    /// let seconds = Grid::new(1_000_000_000);
    /// assert_eq!(seconds.cover(&Interval::new(2_000_000_000, 8_000_000_000)), (2, 8));
    /// assert_eq!(seconds.cover(&Interval::new(1_900_000_000, 2_100_000_000)), (1, 3));
    /// ```
    pub fn cover(&self, interval: &Interval) -> (i64, i64) {
        (interval.start_ns / self.width_ns, (interval.end_ns - 1) / self.width_ns + 1)
    }

    /// The time at which a bucket starts; the greatest time if that does not fit 64 bits (the end of the last bucket).
    pub fn start_ns(&self, bucket: i64) -> i64 {
        bucket.saturating_mul(self.width_ns)
    }
}
