//! When a sink that does not keep up is given up, so that it holds nobody else (law L10).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Says that these sinks, by their numbers in the plan, get nothing more in this run: one that does not keep up, and those
/// that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detach {
    /// The one that does not keep up first.
    pub sinks: Vec<usize>,
}

/// What becomes of a sink that does not keep up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long its upper may stand still while a sealed epoch waits for it.
    pub limit: Duration,
    /// What is said then.
    pub detach: Detach,
}

/// How far a sink is with what was released to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The oldest epoch that was released to it and that it has not acknowledged.
    pub epoch: u64,
    /// Of a fill the changes that were written, 0 of other epochs. A fill is the whole content: it may take longer than the
    /// limit as long as it goes on, else a large sink could never be filled.
    pub written: u64,
}

/// Watches one sink.
///
/// Its lag is the time since the oldest epoch that it owes was released to it or, if it was behind then already, since its
/// upper last moved: a sink that is late and gets on is slow, and makes the sources pause; one that stands still is given up.
#[derive(Debug)]
pub struct Lag {
    limit: Duration,
    owed: Option<(Owed, Instant)>,
}

/// What is to be done about a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It owes nothing.
    UpToDate,
    /// It has this much time left; to be looked at again then.
    InTime(Duration),
    /// It has stood still for so long.
    Late(Duration),
}

impl Lag {
    /// Gives a sink up when it has stood still for `limit`.
    pub fn new(limit: Duration) -> Self {
        Lag { limit, owed: None }
    }

    /// What to do at this moment. To be called whenever something may have changed, and when [`Verdict::InTime`] is over.
    pub fn look(&mut self, owed: Option<Owed>, now: Instant) -> Verdict {
        let Some(owed) = owed else {
            self.owed = None;
            return Verdict::UpToDate;
        };
        let since = self.owed.filter(|(before, _)| *before == owed).map_or(now, |(_, since)| since);
        self.owed = Some((owed, since));
        let stood = now.saturating_duration_since(since);
        if stood >= self.limit { Verdict::Late(stood) } else { Verdict::InTime(self.limit - stood) }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{InTime, Late, UpToDate};
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn epoch(epoch: u64) -> Option<Owed> {
        Some(Owed { epoch, written: 0 })
    }

    #[test]
    fn a_sink_that_stands_still_for_the_limit_is_late() {
        let (mut lag, start) = (Lag::new(seconds(10)), Instant::now());
        assert_eq!(lag.look(epoch(5), start), InTime(seconds(10)));
        assert_eq!(lag.look(epoch(5), start + seconds(4)), InTime(seconds(6)));
        assert_eq!(lag.look(epoch(5), start + seconds(10)), Late(seconds(10)));
        assert_eq!(lag.look(epoch(5), start + seconds(12)), Late(seconds(12)));
    }

    #[test]
    fn a_sink_that_owes_nothing_has_all_the_time_again() {
        let (mut lag, start) = (Lag::new(seconds(10)), Instant::now());
        assert_eq!(lag.look(None, start), UpToDate);
        assert_eq!(lag.look(epoch(5), start + seconds(60)), InTime(seconds(10)), "idle time does not count");
        assert_eq!(lag.look(None, start + seconds(69)), UpToDate);
        assert_eq!(lag.look(epoch(5), start + seconds(71)), InTime(seconds(10)), "released again, as after a reset");
    }

    #[test]
    fn a_sink_that_is_behind_and_gets_on_is_in_time() {
        let (mut lag, start) = (Lag::new(seconds(10)), Instant::now());
        for n in 0..100 {
            assert_eq!(lag.look(epoch(n), start + seconds(9 * n)), InTime(seconds(10)));
        }
        assert_eq!(lag.look(epoch(99), start + seconds(9 * 99 + 10)), Late(seconds(10)));
    }

    #[test]
    fn a_fill_may_take_longer_as_long_as_it_is_written() {
        let (mut lag, start) = (Lag::new(seconds(10)), Instant::now());
        let fill = |written| Some(Owed { epoch: 5, written });
        assert_eq!(lag.look(fill(0), start), InTime(seconds(10)));
        assert_eq!(lag.look(fill(100), start + seconds(9)), InTime(seconds(10)));
        assert_eq!(lag.look(fill(200), start + seconds(18)), InTime(seconds(10)));
        assert_eq!(lag.look(fill(200), start + seconds(28)), Late(seconds(10)), "a commit that hangs");
    }
}
