//! Waking an operator by the clock.

use std::time::{Duration, Instant};

use timely::scheduling::Activator;

/// One armed timer at a time: an operator that other events wake as well would arm one more at each wake-up.
pub(super) struct Alarm {
    activator: Activator,
    at: Option<Instant>,
}

impl Alarm {
    pub(super) fn new(activator: Activator) -> Self {
        Alarm { activator, at: None }
    }

    /// Wakes the operator after `delay` or earlier.
    pub(super) fn set(&mut self, delay: Duration) {
        let now = Instant::now();
        if self.at.is_none_or(|at| at <= now || at > now + delay) {
            self.at = Some(now + delay);
            self.activator.activate_after(delay);
        }
    }

    /// Wakes the operator again in this round of the worker's, after the others had their turn.
    pub(super) fn now(&self) {
        self.activator.activate();
    }
}
