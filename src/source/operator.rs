//! The dataflow shell of a source: stamps what feeders read with the open epoch, and says where each epoch ends.
//!
//! ```text
//!  openings ──────────▶ ┌────────┐ ──▶ batches@e
//!  sealed, written ─ ─▶ │ source │ ──▶ reports@e    to the clock
//!  feeder ──channel───▶ └────────┘ ──▶ bindings@e   when e closes
//! ```
//!
//! A source never closes an epoch by itself: it holds the last one that was opened until the next is, or until there will
//! be none. It pauses when too much is in flight, and asks for the end of the epoch that it waits for.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::SourceError;
use super::alarm::Alarm;
use super::catalog::Catalog;
use super::feeder::{self, Batch, Fed, Feed, Share};
use super::in_flight::Limits;
use super::intake::Intake;
use super::messages::{Binding, Opening, Report};
use crate::sink::Never;

/// How far what a source has emitted got: what makes it pause.
pub struct Lag<'scope> {
    /// Its frontier is the sealed frontier.
    pub sealed: StreamVec<'scope, u64, Never>,
    /// Its frontier is the least upper of the sinks.
    pub written: StreamVec<'scope, u64, Never>,
    /// How much may be in flight for this source and worker.
    pub limits: Limits,
    /// Whether too much waits at the sinks, of all sources of the process; with a hysteresis of its own.
    pub is_full: Rc<dyn Fn() -> bool>,
}

/// Emits a worker's share of a source at the epochs that `openings` announces, reports to the clock, and binds: when an
/// epoch closes (the next opens, or none will), one [`Binding`] at that epoch for each partition that has moved in it.
pub fn source<'scope>(
    openings: StreamVec<'scope, u64, Opening>,
    lag: Lag<'scope>,
    name: &str,
    share: Share,
    on_error: impl Fn(SourceError) + 'static,
) -> (StreamVec<'scope, u64, Batch>, StreamVec<'scope, u64, Report>, StreamVec<'scope, u64, Binding>) {
    let scope = openings.scope();
    let mut builder = OperatorBuilder::new(format!("Source {name}"), scope);
    let address = builder.operator_info().address;
    let mut alarm = Alarm::new(scope.activator_for(address.clone()));
    let (catalog, metrics, stop) = (share.catalog.clone(), share.metrics.clone(), share.stop.clone());
    let (source, index, peers) = (share.source, share.index, share.peers);
    let feed = Some(feeder::start(share, scope.worker().sync_activator_for(address.to_vec())));
    let mut reading =
        Reading { feed, intake: Intake::new(source, lag.limits), catalog, source, index, peers, on_error };
    let is_full = lag.is_full;

    let mut openings = builder.new_input(openings, Pipeline);
    let (batches, batch_stream) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let (bindings, binding_stream) = builder.new_output();
    // Not connected to the outputs: else what is in flight would wait for itself.
    let mut sealed = builder.new_input_connection(lag.sealed, Pipeline, std::iter::empty());
    let mut written = builder.new_input_connection(lag.written, Pipeline, std::iter::empty());
    let mut batches = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch>>>::from(batches);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);
    let mut bindings = OutputBuilder::<_, CapacityContainerBuilder<Vec<Binding>>>::from(bindings);

    builder.build(move |_| {
        let mut open: Option<[Capability<u64>; 3]> = None;
        move |frontiers| {
            sealed.for_each(|_, _| ());
            written.for_each(|_, _| ());
            let frontier = |at: usize| frontiers[at].frontier().first().copied();
            reading.intake.advance(frontier(1), frontier(2));
            for (partition, offset) in reading.intake.take_written(frontier(2)) {
                reading.catalog.written(partition, offset);
            }

            let mut bindings = bindings.activate();
            openings.for_each_time(|time, data| {
                if let Some([.., capability]) = &open {
                    bindings.session(capability).give_iterator(reading.intake.close());
                    fail::fail_point!("source-close");
                }
                open = Some([time.retain(0), time.retain(1), time.retain(2)]);
                data.flat_map(|d| d.drain(..)).for_each(|opening| reading.open(*time.time(), opening));
            });
            if frontiers[0].is_empty() {
                if let Some([.., capability]) = open.take() {
                    bindings.session(&capability).give_iterator(reading.intake.close());
                    fail::fail_point!("source-close");
                }
                reading.feed = None;
            }
            let Some([batch_cap, report_cap, _]) = &open else { return };

            let (mut batches, mut reports) = (batches.activate(), reports.activate());
            let now = Instant::now();
            let paused = reading.intake.schedule(stop(), is_full(), now);
            metrics.paused_ns.fetch_add(paused.as_nanos() as u64, Relaxed);
            reading.pull(now, |batch| {
                batches.session(batch_cap).give(batch);
                fail::fail_point!("source-read");
            });
            reports.session(report_cap).give_iterator(reading.intake.take_reports().into_iter());
            alarm.wake(reading.intake.wake(reading.feed.is_some()));
        }
    });
    (batch_stream, report_stream, binding_stream)
}

/// What a source reads, and what it decides.
struct Reading<E> {
    feed: Option<Feed>,
    intake: Intake,
    catalog: Catalog,
    source: u16,
    index: usize,
    peers: usize,
    on_error: E,
}

impl<E: Fn(SourceError)> Reading<E> {
    /// An epoch opens: takes new partitions of the source into the catalogue, and reads those that are the worker's own.
    fn open(&mut self, epoch: u64, opening: Opening) {
        self.intake.open(epoch, opening.hidden);
        let Some(feed) = &mut self.feed else { return };
        let mut ours = Vec::new();
        for (_, number, name) in opening.partitions.into_iter().filter(|(source, ..)| *source == self.source) {
            if let Err(error) = self.catalog.adopt(number, &name) {
                return (self.on_error)(error);
            }
            if number as usize % self.peers == self.index {
                ours.push(number);
            }
        }
        feed.open(ours);
    }

    /// Takes what the feeder has, as long as the intake wants more; drops the feed when it has ended.
    fn pull(&mut self, now: Instant, mut give: impl FnMut(Batch)) {
        while let Some(channel) = self.feed.as_ref().filter(|_| self.intake.wants_more()) {
            match channel.fed.try_recv() {
                Ok(Fed::Batch(batch)) => {
                    if let Some(batch) = self.intake.take(batch, now) {
                        give(batch);
                    }
                }
                Ok(Fed::CaughtUp) => self.intake.caught_up(),
                Ok(Fed::Ended) => {
                    self.intake.ended();
                    self.feed = None;
                }
                Ok(Fed::Failed(error)) => {
                    (self.on_error)(error);
                    self.feed = None;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.feed = None,
            }
        }
    }
}
