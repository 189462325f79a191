//! What stores that are servers have in common when they do not answer: waiting longer and longer, and saying so now and then.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// How often the log says that a store still does not answer.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Waits twice as long each time, and never exactly as long as others do.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: FIRST, random: super::identity::random() }
    }
}

impl Backoff {
    /// How long to wait now.
    pub fn delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // Between half of it and all of it.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (self.random >> 33) as f64 / (1_u64 << 31) as f64;
        whole.mul_f64(0.5 + share / 2.0)
    }

    /// Waits that long.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }
}

/// Says in the log that a store is in trouble: at once, then now and then, and when it is over.
#[derive(Debug)]
pub(super) struct Trouble {
    object: String,
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Trouble {
    /// Of this store.
    pub fn new(object: &str) -> Self {
        Trouble { object: object.to_owned(), since: None, said: None }
    }

    /// It is, for this reason.
    pub fn say(&mut self, reason: &str) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if self.said.is_none_or(|said| now - said >= SAY_EVERY) {
            self.said = Some(now);
            let passed = (now - since).as_secs();
            tracing::warn!(
                "{} does not take what is written; trying again (for {passed} s now): {reason}",
                self.object
            );
        }
    }

    /// It is over.
    pub fn over(&mut self) {
        if let Some(since) = self.since.take() {
            // Short ones come and go under load.
            if since.elapsed() >= Duration::from_secs(2) {
                tracing::info!("{} takes what is written again, after {} s", self.object, since.elapsed().as_secs());
                self.said = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_never_less_than_half_of_it() {
        let mut backoff = Backoff::default();
        let mut expected = FIRST;
        for _ in 0..12 {
            let delay = backoff.delay();
            assert!(expected / 2 <= delay && delay <= expected, "{delay:?} of {expected:?}");
            expected = (expected * 2).min(LONGEST);
        }
        assert_eq!(expected, LONGEST);
    }
}
