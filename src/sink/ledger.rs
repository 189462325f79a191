//! What a store that is a server was told of itself, and what it is to be told next.
//!
//! With its rows such a store keeps two epochs: all below the upper are in it (law L13), and all versions in it are below the
//! bound. Neither is told with each epoch: the upper every few seconds while it grows, the bound some seconds ahead.

use std::time::{Duration, Instant};

use super::epochs::Epochs;

/// How far above an epoch the bound is set: once in so many milliseconds it is told anew.
const AHEAD: u64 = 10_000;

/// How often the store is told its upper, while it grows.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What is kept with a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// All epochs below are in the store; there may be more.
    pub upper: u64,
    /// All epochs in the store are below.
    pub above: u64,
}

/// What is to be done while nothing is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// To ask again later.
    In(Duration),
    Tell(Told),
}

/// Counts what is written, and remembers what was told.
pub(super) struct Ledger {
    pub epochs: Epochs,
    durable_upper: u64,
    told: Told,
    told_at: Instant,
    /// All epochs of earlier runs are below.
    opened_above: u64,
}

impl Ledger {
    /// Of a store that was opened.
    pub fn new(told: Told) -> Self {
        Ledger {
            epochs: Epochs::new(told.upper),
            durable_upper: told.upper,
            told,
            told_at: Instant::now(),
            opened_above: told.above.max(told.upper),
        }
    }

    /// All epochs of earlier runs are below.
    pub fn opened_above(&self) -> u64 {
        self.opened_above
    }

    /// All epochs below are closed, and each of their rows has an outcome, as of [`Ledger::advance`].
    pub fn durable_upper(&self) -> u64 {
        self.durable_upper
    }

    /// What the store says of itself.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Takes account of what was acknowledged and closed; the durable upper.
    pub fn advance(&mut self) -> u64 {
        self.durable_upper = self.durable_upper.max(self.epochs.upper());
        self.durable_upper
    }

    /// What the store must know before anything of an epoch is written.
    pub fn before(&self, epoch: u64) -> Option<Told> {
        let told = Told { upper: self.durable_upper, above: epoch.saturating_add(AHEAD) };
        (epoch >= self.told.above).then_some(told)
    }

    /// What it is told when a fill is written.
    pub fn after_fill(&self) -> Told {
        Told { upper: self.durable_upper, ..self.told }
    }

    /// What it is told while nothing is on its way.
    pub fn turn(&self, now: Instant) -> Turn {
        if self.durable_upper == self.told.upper {
            return Turn::Nothing;
        }
        match TELL_EVERY.checked_sub(now.saturating_duration_since(self.told_at)) {
            None | Some(Duration::ZERO) => Turn::Tell(self.after_fill()),
            Some(left) => Turn::In(left),
        }
    }

    /// What it is told at the end, if that is news: the bound may be that of what was written. Only above what earlier runs may
    /// have written is known what is there.
    pub fn at_the_end(&self) -> Option<Told> {
        let above = Some(self.epochs.above()).filter(|above| *above >= self.opened_above);
        let above = above.map_or(self.told.above, |above| above.min(self.told.above));
        Some(Told { upper: self.durable_upper, above }).filter(|told| *told != self.told)
    }

    /// It was told.
    pub fn was_told(&mut self, told: Told) {
        (self.told, self.told_at) = (told, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ledger: &mut Ledger, epoch: u64) {
        ledger.epochs.wrote(epoch, 1);
        ledger.epochs.acknowledged(epoch, 1);
        ledger.epochs.close(epoch);
        ledger.advance();
    }

    #[test]
    fn the_bound_is_told_ahead_and_not_with_each_epoch() {
        let mut ledger = Ledger::new(Told::default());
        let told = ledger.before(5).unwrap();
        assert_eq!(told, Told { upper: 0, above: 10_005 });
        ledger.was_told(told);
        assert_eq!((ledger.before(5), ledger.before(10_004)), (None, None));
        written(&mut ledger, 5);
        assert_eq!(ledger.before(10_005), Some(Told { upper: 6, above: 20_005 }));
    }

    #[test]
    fn the_upper_is_told_now_and_then_and_only_if_it_grows() {
        let mut ledger = Ledger::new(Told { upper: 3, above: 100 });
        let now = Instant::now();
        assert_eq!(ledger.turn(now), Turn::Nothing);
        written(&mut ledger, 5);
        assert!(matches!(ledger.turn(now), Turn::In(left) if left <= TELL_EVERY));
        assert_eq!(ledger.turn(now + TELL_EVERY * 2), Turn::Tell(Told { upper: 6, above: 100 }));
        ledger.was_told(ledger.after_fill());
        assert_eq!(ledger.turn(now + TELL_EVERY * 2), Turn::Nothing);
    }

    #[test]
    fn at_the_end_the_bound_is_that_of_what_was_written_unless_an_earlier_run_may_have_written_more() {
        let mut ledger = Ledger::new(Told { upper: 3, above: 4 });
        ledger.was_told(Told { upper: 3, above: 10_005 });
        written(&mut ledger, 5);
        assert_eq!(ledger.at_the_end(), Some(Told { upper: 6, above: 6 }));
        ledger.was_told(Told { upper: 6, above: 6 });
        assert_eq!(ledger.at_the_end(), None);
        let mut ledger = Ledger::new(Told { upper: 3, above: 900 });
        written(&mut ledger, 5);
        assert_eq!(ledger.at_the_end(), Some(Told { upper: 6, above: 900 }));
    }
}
