//! How much a source has put into the dataflow that is not yet durable, and when it must pause.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The bytes of epochs that are not sealed, or not written by all sinks.
///
/// Hidden epochs are shown to the sinks all at once in the end: they need not be written, only sealed.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// In order. Those that neither count as unsealed nor as unwritten are taken out.
    epochs: VecDeque<Epoch>,
    unsealed_bytes: u64,
    unwritten_bytes: u64,
    /// The open epoch, and whether it is hidden.
    open: (u64, bool),
}

#[derive(Debug)]
struct Epoch {
    epoch: u64,
    bytes: u64,
    is_sealed: bool,
    is_written: bool,
}

impl InFlight {
    /// What is emitted from now on belongs to this epoch, which is above all others.
    pub(super) fn open(&mut self, epoch: u64, hidden: bool) {
        self.open = (epoch, hidden);
    }

    /// So many bytes were emitted in the open epoch.
    pub(super) fn emit(&mut self, bytes: u64) {
        let (epoch, hidden) = self.open;
        if self.epochs.back().is_none_or(|last| last.epoch != epoch) {
            self.epochs.push_back(Epoch { epoch, bytes: 0, is_sealed: false, is_written: hidden });
        }
        self.epochs.back_mut().expect("pushed above").bytes += bytes;
        self.unsealed_bytes += bytes;
        self.unwritten_bytes += if hidden { 0 } else { bytes };
    }

    /// All epochs below the first frontier are sealed, all below the second are written; `None`: all there will ever be.
    pub(super) fn advance(&mut self, sealed: Option<u64>, written: Option<u64>) {
        let is_below = |epoch: u64, frontier: Option<u64>| frontier.is_none_or(|frontier| epoch < frontier);
        // Not the open epoch: more may be added to it, whatever the frontiers are.
        let open = self.open.0;
        for epoch in self.epochs.iter_mut().filter(|epoch| epoch.epoch != open) {
            if !epoch.is_sealed && is_below(epoch.epoch, sealed) {
                epoch.is_sealed = true;
                self.unsealed_bytes -= epoch.bytes;
            }
            if !epoch.is_written && is_below(epoch.epoch, written) {
                epoch.is_written = true;
                self.unwritten_bytes -= epoch.bytes;
            }
        }
        self.epochs.retain(|epoch| !(epoch.is_sealed && epoch.is_written));
    }

    /// Whether the open epoch holds anything: then what a paused source waits for may be its end.
    pub(super) fn is_open_epoch_filled(&self) -> bool {
        self.epochs.back().is_some_and(|last| last.epoch == self.open.0)
    }
}

/// When a source pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in epochs that are not sealed.
    pub unsealed_bytes: u64,
    /// Bytes in epochs that are not hidden and not written by all sinks.
    pub unwritten_bytes: u64,
}

impl Limits {
    /// A source that never pauses by itself.
    pub const NONE: Limits = Limits { unsealed_bytes: u64::MAX, unwritten_bytes: u64::MAX };
}

/// Whether a source pauses: from the moment when a limit is reached until all are below three quarters.
#[derive(Debug, Default)]
pub(super) struct Pause {
    since: Option<Instant>,
}

impl Pause {
    /// Whether to pause now. `is_full` has a hysteresis of its own.
    pub(super) fn look(&mut self, in_flight: &InFlight, limits: &Limits, is_full: bool, now: Instant) -> bool {
        let is_paused = self.since.is_some();
        let is_over = |bytes: u64, limit: u64| {
            let limit = if is_paused { limit / 4 * 3 } else { limit };
            bytes >= limit.max(1)
        };
        let over = is_full
            || is_over(in_flight.unsealed_bytes, limits.unsealed_bytes)
            || is_over(in_flight.unwritten_bytes, limits.unwritten_bytes);
        self.since = over.then(|| self.since.unwrap_or(now));
        over
    }

    /// How long the pause has lasted since the last call.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let since = self.since.as_mut().map(|since| std::mem::replace(since, now));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}
