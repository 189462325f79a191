//! The epoch clock: worker 0 opens epochs for all sources of all workers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{Scope, StreamVec};

use super::Control;
use crate::source::catalog::Catalog;
use crate::source::operator::{Opening, Report};

/// How often the clock looks for a request to stop, when it has nothing else to do.
const STOP_DELAY: Duration = Duration::from_millis(50);

/// Numbers epochs and decides when the next one opens.
///
/// The first epoch takes in everything that is present at the start, so that operators run once in bulk; later ones open
/// at regular times. Numbers are milliseconds since 1970, and always grow, also when the system's clock goes back.
#[derive(Debug)]
pub struct EpochClock {
    epoch: u64,
    length: Duration,
    opened: Instant,
    /// Reports that are still to come.
    catching_up: usize,
    running: usize,
}

/// What the clock does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// The open epoch goes on; look again after this time.
    Wait(Duration),
    /// The open epoch closes, and this one opens.
    Open(u64),
    /// The open epoch closes, and none opens any more.
    Close,
    /// Stop at once: the first epoch is not complete, and must never be.
    Abandon,
}

impl EpochClock {
    /// A clock whose first epoch is `first`, for so many feeders: sources times workers.
    pub fn new(first: u64, length: Duration, feeders: usize, now: Instant) -> Self {
        EpochClock { epoch: first, length, opened: now, catching_up: feeders, running: feeders }
    }

    /// Takes a report in.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::CaughtUp => self.catching_up -= 1,
            Report::Ended => self.running -= 1,
            Report::Stop | Report::Full => {}
        }
    }

    /// What to do at this moment. `unix_ms` is the system's clock, which may go back; `now` does not.
    pub fn tick(&mut self, stop: bool, unix_ms: u64, now: Instant) -> Tick {
        if self.catching_up > 0 {
            return if stop { Tick::Abandon } else { Tick::Wait(STOP_DELAY) };
        }
        if stop || self.running == 0 {
            return Tick::Close;
        }
        // By monotonic age: a system clock that was set back must not hold an epoch open.
        let age = now.saturating_duration_since(self.opened);
        if age < self.length {
            return Tick::Wait((self.length - age).min(STOP_DELAY));
        }
        self.epoch = unix_ms.max(self.epoch + 1);
        self.opened = now;
        Tick::Open(self.epoch)
    }
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Announces epochs to all workers; `reports` come back from their sources over a feedback edge.
pub fn openings<'scope>(
    scope: Scope<'scope, u64>,
    reports: StreamVec<'scope, u64, Report>,
    clock: EpochClock,
    control: Arc<Control>,
    catalogs: Vec<Catalog>,
) -> StreamVec<'scope, u64, Opening> {
    let is_clock = scope.index() == 0;
    let mut builder = OperatorBuilder::new("EpochClock".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    // Not connected to the output: else the sources' epochs would wait for the reports about them.
    let mut reports = builder.new_input_connection(reports, Exchange::new(|_: &Report| 0), std::iter::empty());
    let (openings, stream) = builder.new_output_connection(std::iter::empty());
    let mut openings = OutputBuilder::<_, CapacityContainerBuilder<Vec<Opening>>>::from(openings);

    builder.build(move |mut capabilities| {
        let mut capability = capabilities.pop().filter(|_| is_clock);
        let mut clock = clock;
        if let Some(capability) = &mut capability {
            capability.downgrade(&clock.epoch);
        }
        let mut announced = false;
        let mut named: Vec<u32> = catalogs.iter().map(Catalog::known).collect();
        let mut opening = move || {
            let mut partitions = Vec::new();
            for (source, (catalog, named)) in (0..).zip(catalogs.iter().zip(&mut named)) {
                for (number, name) in catalog.names_from(*named) {
                    partitions.push((source, number, name));
                    *named = number + 1;
                }
            }
            Opening { hidden: false, partitions }
        };
        move |_frontiers| {
            reports.for_each(|_, data| data.drain(..).for_each(|report| clock.report(report)));
            let Some(held) = &mut capability else { return };
            if !announced {
                announced = true;
                openings.activate().session(held).give(opening());
            }
            loop {
                match clock.tick(control.is_stopping(), unix_ms(), Instant::now()) {
                    Tick::Wait(delay) => {
                        activator.activate_after(delay);
                        return;
                    }
                    Tick::Open(epoch) => {
                        control.set_filling();
                        held.downgrade(&epoch);
                        openings.activate().session(held).give(opening());
                    }
                    Tick::Close => {
                        control.set_filling();
                        capability = None;
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
    stream.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(250);

    #[test]
    fn the_first_epoch_is_open_until_everything_present_is_in() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, 2, start);
        assert!(matches!(clock.tick(false, 99_000, start + 9 * LENGTH), Tick::Wait(_)));
        clock.report(Report::CaughtUp);
        assert!(matches!(clock.tick(false, 99_000, start + 9 * LENGTH), Tick::Wait(_)));
        clock.report(Report::CaughtUp);
        assert_eq!(clock.tick(false, 99_000, start + 9 * LENGTH), Tick::Open(99_000));
        assert!(matches!(clock.tick(false, 99_100, start + 9 * LENGTH + LENGTH / 2), Tick::Wait(_)));
    }

    #[test]
    fn epochs_grow_and_close_also_when_the_clock_goes_back() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, 1, start);
        clock.report(Report::CaughtUp);
        assert_eq!(clock.tick(false, 500, start + LENGTH), Tick::Open(1001));
        assert_eq!(clock.tick(false, 500, start + 2 * LENGTH), Tick::Open(1002));
    }

    #[test]
    fn it_closes_when_all_sources_have_ended_or_a_stop_is_asked_for() {
        let start = Instant::now();
        let mut clock = EpochClock::new(1000, LENGTH, 1, start);
        assert_eq!(clock.tick(true, 0, start), Tick::Abandon, "what is not read must not look deleted");
        clock.report(Report::CaughtUp);
        assert_eq!(clock.tick(true, 0, start), Tick::Close);
        clock.report(Report::Ended);
        assert_eq!(clock.tick(false, 0, start), Tick::Close);
    }
}
