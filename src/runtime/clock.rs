//! The epoch clock: worker 0 opens epochs for all sources of all workers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{Scope, StreamVec};

use super::Control;
use crate::sink::Reveal;
use crate::source::messages::{Opening, Report};

/// How often the clock looks for a request to stop, when it has nothing else to do.
const STOP_DELAY: Duration = Duration::from_millis(50);

/// Hidden epochs are so long, whatever `epoch:` says, because nobody waits for them: short enough that the parts of one are
/// written while the next is read, and that sources need not pause for them; shorter ones would only make more parts.
const HIDDEN_EPOCH: Duration = Duration::from_millis(125);

/// Numbers epochs and decides when the next one opens.
///
/// Epochs open at regular times. Numbers are milliseconds since 1970, and always grow, also when the system's clock goes back.
/// While a run catches up its epochs are hidden; the one after that reveals what they did, so that operators run once in bulk.
#[derive(Debug)]
pub struct EpochClock {
    epoch: u64,
    length: Duration,
    opened: Instant,
    hiding: Hiding,
    /// Reports that are still to come.
    catching_up: usize,
    running: usize,
    /// A source waits for the end of the open epoch.
    full: bool,
    ticks: Option<Ticks>,
}

/// When tables look for rows whose time is over.
#[derive(Debug)]
struct Ticks {
    /// At most so often.
    delay: Duration,
    last: Option<Instant>,
}

/// Rows stay for at most so long after their time, besides the epoch's length.
const TICK_DELAY: Duration = Duration::from_secs(60);

/// Rows that are kept for a short time go in better time than [`TICK_DELAY`]: this many ticks while they are kept.
const TICKS_WHILE_KEPT: u32 = 16;

/// Whether a run shows what it reads, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hiding {
    /// Epochs are shown as they come.
    Never,
    /// Epochs are sealed and hidden until everything that was present at the start is in.
    Epochs,
    /// There is no journal: one hidden epoch, which takes in everything that was present at the start.
    OneEpoch,
    /// What was hidden is shown.
    Revealed,
}

/// What the clock does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// The open epoch goes on; look again after this time.
    Wait(Duration),
    /// The open epoch closes, and this one opens.
    Open(u64),
    /// The open epoch closes, and this one opens, at which everything hidden is shown.
    Reveal(u64),
    /// The open epoch closes, and none opens any more.
    Close,
    /// Stop at once: what is read is incomplete, and nothing of it is kept.
    Abandon,
}

impl EpochClock {
    /// A clock whose first epoch is `first`, for so many feeders: sources times workers.
    pub fn new(first: u64, length: Duration, hiding: Hiding, feeders: usize, now: Instant) -> Self {
        EpochClock {
            epoch: first,
            length,
            opened: now,
            hiding,
            catching_up: feeders,
            running: feeders,
            full: false,
            ticks: None,
        }
    }

    /// The same for a pipeline with a table that keeps rows for only `keep`, the shortest if there are several.
    pub fn with_ticks(self, keep: Option<Duration>) -> Self {
        let ticks = keep.map(|keep| Ticks { delay: TICK_DELAY.min(keep / TICKS_WHILE_KEPT), last: None });
        EpochClock { ticks, ..self }
    }

    /// Whether rows go in the epoch that opens now: in the first that is shown, and then regularly.
    pub fn is_tick(&mut self, now: Instant) -> bool {
        let is_hidden = self.is_hidden();
        let due = |ticks: &&mut Ticks| ticks.last.is_none_or(|last| now.saturating_duration_since(last) >= ticks.delay);
        let Some(ticks) = self.ticks.as_mut().filter(|_| !is_hidden).filter(due) else { return false };
        ticks.last = Some(now);
        true
    }

    /// Whether the open epoch is hidden.
    pub fn is_hidden(&self) -> bool {
        matches!(self.hiding, Hiding::Epochs | Hiding::OneEpoch)
    }

    /// Takes a report in.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::CaughtUp => self.catching_up -= 1,
            Report::Ended => self.running -= 1,
            Report::Full => self.full = true,
            Report::Stop => (),
        }
    }

    /// What to do at this moment. `unix_ms` is the system's clock, which may go back; `now` does not.
    pub fn tick(&mut self, stop: bool, unix_ms: u64, now: Instant) -> Tick {
        let complete = self.catching_up == 0;
        if self.is_hidden() && complete {
            self.hiding = Hiding::Revealed;
            // The reveal itself takes nothing in for longer than it must.
            self.opened = now.checked_sub(self.length).unwrap_or(now);
            return Tick::Reveal(self.next(unix_ms));
        }
        if stop && !complete && self.hiding == Hiding::OneEpoch {
            return Tick::Abandon;
        }
        if stop || self.running == 0 {
            return Tick::Close;
        }
        // By monotonic age: a system clock that was set back must not hold an epoch open.
        let age = now.saturating_duration_since(self.opened);
        let length = match self.hiding {
            Hiding::OneEpoch => return Tick::Wait(STOP_DELAY),
            Hiding::Epochs => HIDDEN_EPOCH,
            Hiding::Never | Hiding::Revealed => self.length,
        };
        if age < length && !self.full {
            return Tick::Wait((length - age).min(STOP_DELAY));
        }
        self.opened = now;
        Tick::Open(self.next(unix_ms))
    }

    fn opening(&mut self, partitions: Vec<(u16, u32, String)>) -> Opening {
        Opening { hidden: self.is_hidden(), tick: self.is_tick(Instant::now()), partitions }
    }

    fn next(&mut self, unix_ms: u64) -> u64 {
        self.full = false;
        self.epoch = unix_ms.max(self.epoch + 1);
        self.epoch
    }
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// What the clock tells all workers.
pub struct Openings<'scope> {
    /// The epochs that open, and the partitions that were found until then.
    pub openings: StreamVec<'scope, u64, Opening>,
    /// One message at the epoch that reveals what was hidden. While epochs are hidden, its frontier passes with theirs.
    pub reveals: StreamVec<'scope, u64, Reveal>,
}

/// Announces epochs to all workers; `reports` come back from their sources over a feedback edge. `found` gives the partitions
/// that were found since it was last called.
pub fn openings<'scope>(
    scope: Scope<'scope, u64>,
    reports: StreamVec<'scope, u64, Report>,
    clock: EpochClock,
    control: std::sync::Arc<Control>,
    mut found: impl FnMut() -> Vec<(u16, u32, String)> + 'static,
) -> Openings<'scope> {
    let is_clock = scope.index() == 0;
    let mut builder = OperatorBuilder::new("EpochClock".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    // Not connected to the outputs: else the sources' epochs would wait for the reports about them.
    let mut reports = builder.new_input_connection(reports, Exchange::new(|_: &Report| 0), std::iter::empty());
    let (openings, opening_stream) = builder.new_output_connection(std::iter::empty());
    let (reveals, reveal_stream) = builder.new_output_connection(std::iter::empty());
    let mut openings = OutputBuilder::<_, CapacityContainerBuilder<Vec<Opening>>>::from(openings);
    let mut reveals = OutputBuilder::<_, CapacityContainerBuilder<Vec<Reveal>>>::from(reveals);

    builder.build(move |mut capabilities| {
        let mut clock = clock;
        let mut reveal = capabilities.pop().filter(|_| is_clock && clock.is_hidden());
        let mut capability = capabilities.pop().filter(|_| is_clock);
        drop(capabilities);
        capability.iter_mut().chain(&mut reveal).for_each(|held| held.downgrade(&clock.epoch));
        let (mut announced, mut stop) = (false, false);
        move |_frontiers| {
            reports.for_each(|_, data| {
                for report in data.drain(..) {
                    if report == Report::Stop {
                        stop = true;
                        control.set_stopped_by_peer();
                    }
                    clock.report(report);
                }
            });
            let Some(held) = &mut capability else { return };
            if !announced {
                announced = true;
                let opening = clock.opening(found());
                openings.activate().session(held).give(opening);
            }
            loop {
                let tick = clock.tick(stop || control.is_stopping(), unix_ms(), Instant::now());
                match tick {
                    Tick::Wait(delay) => {
                        activator.activate_after(delay);
                        return;
                    }
                    Tick::Open(epoch) | Tick::Reveal(epoch) => {
                        held.downgrade(&epoch);
                        let opening = clock.opening(found());
                        openings.activate().session(held).give(opening);
                        if let Some(held) = &mut reveal {
                            held.downgrade(&epoch);
                            if tick == Tick::Reveal(epoch) {
                                control.set_filling(epoch);
                                reveals.activate().session(held).give(Reveal);
                                reveal = None;
                            }
                        }
                    }
                    Tick::Close => {
                        if clock.is_hidden() {
                            control.set_unfinished();
                        }
                        (capability, reveal) = (None, None);
                        return;
                    }
                    Tick::Abandon => {
                        control.abandon();
                        return;
                    }
                }
            }
        }
    });
    Openings { openings: opening_stream.broadcast(), reveals: reveal_stream.broadcast() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(250);

    #[test]
    fn hidden_epochs_are_revealed_once_everything_present_is_in() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, Hiding::Epochs, 2, start);
        assert!(matches!(clock.tick(false, 2000, start + HIDDEN_EPOCH / 2), Tick::Wait(_)));
        assert_eq!(clock.tick(false, 2000, start + HIDDEN_EPOCH), Tick::Open(2000));
        clock.report(Report::CaughtUp);
        assert!(clock.is_hidden());
        clock.report(Report::CaughtUp);
        let now = start + HIDDEN_EPOCH + HIDDEN_EPOCH / 9;
        assert_eq!(clock.tick(false, 2010, now), Tick::Reveal(2010));
        assert_eq!(clock.tick(false, 2010, now), Tick::Open(2011), "the reveal is over at once");
        assert!(!clock.is_hidden());
        assert!(matches!(clock.tick(false, 2100, now + LENGTH / 2), Tick::Wait(_)));
    }

    #[test]
    fn without_a_journal_one_epoch_takes_everything_in() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, Hiding::OneEpoch, 1, start);
        assert!(matches!(clock.tick(false, 99_000, start + 9 * LENGTH), Tick::Wait(_)));
        assert_eq!(clock.tick(true, 0, start), Tick::Abandon, "what is not read must not look deleted");
        clock.report(Report::CaughtUp);
        assert_eq!(clock.tick(true, 0, start), Tick::Reveal(1001), "what is read is not thrown away");
        assert_eq!(clock.tick(true, 0, start), Tick::Close);
    }

    #[test]
    fn epochs_grow_and_close_also_when_the_clock_goes_back() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, Hiding::Never, 1, start);
        assert_eq!(clock.tick(false, 500, start + LENGTH), Tick::Open(1001));
        assert_eq!(clock.tick(false, 500, start + 2 * LENGTH), Tick::Open(1002));
    }

    #[test]
    fn rows_go_at_the_first_epoch_that_is_shown_and_then_regularly() {
        let start = Instant::now();
        let keep = |keep| EpochClock::new(1000, LENGTH, Hiding::Epochs, 1, start).with_ticks(keep);
        let mut clock = keep(Some(Duration::from_secs(90 * 24 * 3600)));
        assert!(!clock.is_tick(start), "hidden");
        clock.report(Report::CaughtUp);
        assert_eq!(clock.tick(false, 1010, start), Tick::Reveal(1010));
        assert!(clock.is_tick(start) && !clock.is_tick(start), "once an epoch");
        assert!(!clock.is_tick(start + TICK_DELAY - LENGTH));
        assert!(clock.is_tick(start + TICK_DELAY) && !clock.is_tick(start + TICK_DELAY + LENGTH));
        let mut never = keep(None);
        never.report(Report::CaughtUp);
        assert_eq!(never.tick(false, 1010, start), Tick::Reveal(1010));
        assert!(!never.is_tick(start));
        let mut soon = keep(Some(Duration::from_millis(320)));
        soon.hiding = Hiding::Never;
        assert!(soon.is_tick(start) && !soon.is_tick(start + Duration::from_millis(19)));
        assert!(soon.is_tick(start + Duration::from_millis(20)));
    }

    #[test]
    fn it_closes_when_all_sources_have_ended_or_a_stop_is_asked_for() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, Hiding::Epochs, 1, start);
        assert_eq!(clock.tick(true, 0, start), Tick::Close, "the next run goes on with what is sealed");
        let mut clock = EpochClock::new(1000, LENGTH, Hiding::Never, 1, start);
        clock.report(Report::Ended);
        assert_eq!(clock.tick(false, 0, start), Tick::Close);
    }
}
