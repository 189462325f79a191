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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(in_flight: &InFlight) -> (u64, u64) {
        (in_flight.unsealed_bytes, in_flight.unwritten_bytes)
    }

    #[test]
    fn bytes_count_until_their_epoch_is_sealed_and_written() {
        let mut in_flight = InFlight::default();
        in_flight.open(10, false);
        in_flight.emit(5);
        in_flight.emit(6);
        in_flight.open(20, false);
        in_flight.emit(100);
        assert_eq!(bytes(&in_flight), (111, 111));
        in_flight.advance(Some(10), Some(10));
        assert_eq!(bytes(&in_flight), (111, 111), "not below the frontiers");
        in_flight.advance(Some(20), Some(10));
        assert_eq!(bytes(&in_flight), (100, 111));
        in_flight.advance(Some(20), Some(20));
        assert_eq!(bytes(&in_flight), (100, 100));
        in_flight.open(30, false);
        in_flight.advance(None, None);
        assert_eq!((bytes(&in_flight), in_flight.epochs.len()), ((0, 0), 0));
    }

    #[test]
    fn hidden_epochs_need_only_be_sealed() {
        let mut in_flight = InFlight::default();
        in_flight.open(10, true);
        in_flight.emit(5);
        in_flight.open(20, false);
        assert_eq!(bytes(&in_flight), (5, 0));
        in_flight.advance(Some(20), Some(0));
        assert_eq!((bytes(&in_flight), in_flight.epochs.len()), ((0, 0), 0));
    }

    #[test]
    fn the_open_epoch_counts_whatever_the_frontiers_are() {
        let mut in_flight = InFlight::default();
        in_flight.open(10, false);
        in_flight.emit(5);
        in_flight.advance(None, None);
        in_flight.emit(5);
        assert_eq!(bytes(&in_flight), (10, 10));
        assert!(in_flight.is_open_epoch_filled());
        in_flight.open(20, false);
        assert!(!in_flight.is_open_epoch_filled());
        in_flight.advance(None, None);
        assert_eq!(bytes(&in_flight), (0, 0));
    }

    #[test]
    fn epochs_without_bytes_take_no_memory() {
        let mut in_flight = InFlight::default();
        for epoch in 0..100_000 {
            in_flight.open(epoch, false);
        }
        assert_eq!(in_flight.epochs.len(), 0);
    }

    #[test]
    fn a_pause_lasts_until_all_is_below_three_quarters() {
        let limits = Limits { unsealed_bytes: 100, unwritten_bytes: 200 };
        let (mut in_flight, mut pause, now) = (InFlight::default(), Pause::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        for (epoch, bytes) in [(10, 30), (20, 65), (30, 5)] {
            in_flight.open(epoch, false);
            assert!(!pause.look(&in_flight, &limits, false, now));
            in_flight.emit(bytes);
        }
        assert!(pause.look(&in_flight, &limits, false, now), "at the limit");
        assert_eq!(pause.take(later), Duration::from_secs(1));
        assert_eq!(pause.take(later), Duration::ZERO, "counted once");
        in_flight.open(40, false);
        in_flight.advance(Some(11), Some(11));
        assert!(!pause.look(&in_flight, &limits, false, now), "70 are below 75");
        assert_eq!(pause.take(later), Duration::ZERO);

        assert!(pause.look(&in_flight, &limits, true, now), "the sinks are full");
        in_flight.emit(10);
        assert!(pause.look(&in_flight, &limits, false, now), "80 are not below 75");
        in_flight.advance(Some(40), Some(11));
        assert!(!pause.look(&in_flight, &limits, false, now));
    }

    #[test]
    fn without_limits_nothing_pauses() {
        let mut in_flight = InFlight::default();
        in_flight.open(1, false);
        in_flight.emit(1 << 60);
        assert!(!Pause::default().look(&in_flight, &Limits::NONE, false, Instant::now()));
        let none = Limits { unsealed_bytes: 0, unwritten_bytes: 0 };
        assert!(!Pause::default().look(&InFlight::default(), &none, false, Instant::now()), "one batch gets through");
    }
}
