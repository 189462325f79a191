//! How aggregation is set up.

use crate::pace::Pace;
use crate::reaper::Reaper;

/// Options of [`aggregate`](super::aggregate).
#[derive(Clone, Debug, Default)]
pub struct AggregateOptions {
    pub(super) quiet_through: Option<u64>,
    pub(super) reaper: Reaper,
    pub(super) pace: Pace,
}

impl AggregateOptions {
    /// Up to this epoch the input is only taken in: what it gives is known to everyone who reads the output.
    pub fn with_quiet_through(mut self, epoch: u64) -> Self {
        self.quiet_through = Some(epoch);
        self
    }

    /// Where the state goes when the input has ended.
    pub fn with_reaper(mut self, reaper: Reaper) -> Self {
        self.reaper = reaper;
        self
    }

    /// Whether those who take the results can follow.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}
