//! What a worker's part of a sink's operator holds, from the first epoch to the last.

use std::time::{Duration, Instant};

use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

use super::FINISHED;
use super::feed::Feed;
use crate::sink::Change;
use crate::sink::lag::Verdict;

pub(super) enum Stage {
    /// The writer is on another worker.
    Elsewhere,
    Feeding(Box<Feeding>),
    /// Everything is written, and the writer gone.
    Finished,
    /// The sink gets nothing more. Whoever waits for its upper must not pass: so this is held for ever.
    Detached {
        _upper: Option<Capability<u64>>,
    },
}

/// A writer is fed.
pub(super) struct Feeding {
    feed: Feed,
    upper: Capability<u64>,
    settled: Capability<u64>,
    late: Capability<u64>,
    /// When the operator is woken to look at the lag; one timer at a time.
    alarm: Option<Instant>,
}

impl Stage {
    /// `capabilities` are those of the operator's outputs: upper, settled, late.
    pub(super) fn new(feed: Option<Feed>, capabilities: Vec<Capability<u64>>) -> Self {
        // Other workers have nothing to say.
        let Some(feed) = feed else { return Stage::Elsewhere };
        let [upper, settled, late] = <[_; 3]>::try_from(capabilities).expect("there are three outputs");
        Stage::Feeding(Box::new(Feeding { feed, upper, settled, late, alarm: None }))
    }

    pub(super) fn take(&mut self, epoch: u64, changes: Vec<Change>) {
        match self {
            Stage::Feeding(feeding) => feeding.feed.take(epoch, changes),
            Stage::Elsewhere => unreachable!("changes are routed to a worker with a writer"),
            Stage::Finished => unreachable!("a writer finishes when nothing can come any more"),
            // The gates of other workers have not heard of it yet.
            Stage::Detached { .. } => drop(changes),
        }
    }

    /// Takes everything back that the writer has not begun.
    pub(super) fn detach(&mut self) {
        *self = match std::mem::replace(self, Stage::Finished) {
            Stage::Feeding(feeding) => Stage::Detached { _upper: Some(feeding.upper) },
            Stage::Elsewhere | Stage::Finished => Stage::Detached { _upper: None },
            detached @ Stage::Detached { .. } => detached,
        };
    }

    /// No change before `frontier` will come any more; `revealed` is when what was hidden is shown, if that is known by now,
    /// else it will not be before `reveal`.
    pub(super) fn advance(&mut self, mut frontier: Option<u64>, revealed: Option<u64>, reveal: Option<u64>) {
        let Stage::Feeding(feeding) = self else { return };
        let feed = &mut feeding.feed;
        if let Some(at) = revealed {
            feed.reveal(at);
        }
        if feed.awaits_reveal() {
            match reveal {
                // The gate may know already, and have let the fill pass.
                Some(reveal) => frontier = Some(frontier.map_or(reveal, |frontier| frontier.min(reveal))),
                None => feed.forget(),
            }
        }
        match feed.advance(frontier) {
            FINISHED => *self = Stage::Finished,
            upper if upper > *feeding.upper.time() => {
                feeding.upper.downgrade(&upper);
                feeding.settled.downgrade(&upper);
            }
            _ => (),
        }
    }

    /// Whether the sink has stood still for too long: for how long, and what to say so with. If it has some left, the operator is woken then.
    pub(super) fn is_late(&mut self, now: Instant, timer: &Activator) -> Option<(Duration, &Capability<u64>)> {
        let Stage::Feeding(feeding) = self else { return None };
        match feeding.feed.lag(now) {
            Verdict::UpToDate => None,
            Verdict::Late(stood) => Some((stood, &feeding.late)),
            Verdict::InTime(left) => {
                if feeding.alarm.is_none_or(|at| at <= now || at > now + left) {
                    feeding.alarm = Some(now + left);
                    timer.activate_after(left);
                }
                None
            }
        }
    }
}
