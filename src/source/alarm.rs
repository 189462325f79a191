//! Waking an operator by the clock.

use std::time::{Duration, Instant};

use timely::scheduling::Activator;

use super::intake::Wake;

/// One armed timer at a time: an operator that other events wake as well would arm one more at each wake-up.
pub(super) struct Alarm {
    activator: Activator,
    at: Option<Instant>,
}

impl Alarm {
    pub(super) fn new(activator: Activator) -> Self {
        Alarm { activator, at: None }
    }

    /// Wakes the operator then, or earlier.
    pub(super) fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Now => self.activator.activate(),
            Wake::After(delay) => self.set(delay),
            Wake::Never => {}
        }
    }

    fn set(&mut self, delay: Duration) {
        let now = Instant::now();
        if self.at.is_none_or(|at| at <= now || at > now + delay) {
            self.at = Some(now + delay);
            self.activator.activate_after(delay);
        }
    }
}
