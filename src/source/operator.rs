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

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::SourceError;
use super::alarm::Alarm;
use super::catalog::Catalog;
use super::feeder::{self, Batch, Fed, Share};
use super::in_flight::Limits;
use super::intake::{Intake, Wake};
use crate::sink::Never;

/// An epoch that opens; it is the time of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// Whether the epoch is shown to the sinks only later, together with others.
    pub hidden: bool,
    /// New partitions of all sources, as (source, number, name). The first opening names those that are new at the start.
    pub partitions: Vec<(u16, u32, String)>,
}

/// What a source tells the epoch clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Report {
    /// Everything that was present at the start is in the dataflow. Once a source and worker.
    CaughtUp,
    /// Nothing will follow. Once a source and worker, after [`Report::CaughtUp`].
    Ended,
    /// This process was asked to stop. At most once a source and worker.
    Stop,
    /// The source is paused, and the open epoch holds some of what it waits for: the epoch should close now. At most once
    /// an epoch, source and worker.
    Full,
}

/// Where an epoch ends in a partition: records below `upper` belong to it or to earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition's number.
    pub partition: u32,
    /// The offset to go on from.
    pub upper: u64,
    /// With `upper`, the partition's [`Bookmark`](super::Bookmark).
    pub mark: String,
}

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
    let stop = share.stop.clone();
    let catalog = share.catalog.clone();
    let (number, index, peers) = (share.source, share.index, share.peers);
    let metrics = share.metrics.clone();
    let feed = feeder::start(share, scope.worker().sync_activator_for(address.to_vec()));

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
    let (limits, is_full) = (lag.limits, lag.is_full);

    builder.build(move |_| {
        let mut open: Option<[Capability<u64>; 3]> = None;
        let mut feed = Some(feed);
        let mut intake = Intake::new(number, limits);
        move |frontiers| {
            sealed.for_each(|_, _| ());
            written.for_each(|_, _| ());
            let frontier = |at: usize| frontiers[at].frontier().first().copied();
            intake.advance(frontier(1), frontier(2));

            let mut bindings = bindings.activate();
            openings.for_each_time(|time, data| {
                if let Some([.., capability]) = &open {
                    bindings.session(capability).give_iterator(intake.close());
                    fail::fail_point!("source-close");
                }
                open = Some([time.retain(0), time.retain(1), time.retain(2)]);
                for opening in data.flat_map(|d| d.drain(..)) {
                    intake.open(*time.time(), opening.hidden);
                    let new = opening.partitions.into_iter().filter(|(source, ..)| *source == number);
                    let Some(feed) = &feed else { continue };
                    match adopt(&catalog, new, index, peers) {
                        Ok(ours) => feed.open(ours),
                        Err(error) => on_error(error),
                    }
                }
            });
            if frontiers[0].is_empty() {
                if let Some([.., capability]) = open.take() {
                    bindings.session(&capability).give_iterator(intake.close());
                    fail::fail_point!("source-close");
                }
                feed = None;
            }
            let Some([batch_cap, report_cap, _]) = &open else { return };

            let (mut batches, mut reports) = (batches.activate(), reports.activate());
            let now = Instant::now();
            let paused = intake.schedule(stop(), is_full(), now);
            metrics.paused_ns.fetch_add(paused.as_nanos() as u64, Relaxed);
            while let Some(channel) = feed.as_ref().filter(|_| intake.wants_more()) {
                match channel.fed.try_recv() {
                    Ok(Fed::Batch(batch)) => {
                        if let Some(batch) = intake.take(batch, now) {
                            batches.session(batch_cap).give(batch);
                            fail::fail_point!("source-read");
                        }
                    }
                    Ok(Fed::CaughtUp) => intake.caught_up(),
                    Ok(Fed::Ended) => {
                        intake.ended();
                        feed = None;
                    }
                    Ok(Fed::Failed(error)) => {
                        on_error(error);
                        feed = None;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => feed = None,
                }
            }
            reports.session(report_cap).give_iterator(intake.take_reports().into_iter());
            match intake.wake(feed.is_some()) {
                Wake::Now => alarm.now(),
                Wake::After(delay) => alarm.set(delay),
                Wake::Never => {}
            }
        }
    });
    (batch_stream, report_stream, binding_stream)
}

/// Takes new partitions of a source into the catalogue; gives the numbers of those that are the worker's own.
fn adopt(
    catalog: &Catalog,
    new: impl Iterator<Item = (u16, u32, String)>,
    index: usize,
    peers: usize,
) -> Result<Vec<u32>, SourceError> {
    let mut ours = Vec::new();
    for (_, number, name) in new {
        catalog.adopt(number, &name)?;
        if number as usize % peers == index {
            ours.push(number);
        }
    }
    Ok(ours)
}
