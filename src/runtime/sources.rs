//! The sources of a pipeline, and the clock that drives them, in the dataflow.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flowstone_operators::table::Tick;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concatenate, ConnectLoop, Feedback};
use timely::dataflow::{Scope, StreamVec};

use super::RunError;
use super::clock::{self, EpochClock, Openings};
use super::setup::Setup;
use crate::sink::{Never, Reveal};
use crate::source::feeder::{Batch, Share};
use crate::source::messages::Binding;
use crate::source::operator::{Lag, source};

/// What sources put into the dataflow.
pub(super) struct Sources<'scope> {
    pub batches: Vec<StreamVec<'scope, u64, Batch>>,
    pub bindings: StreamVec<'scope, u64, Binding>,
    pub reveals: StreamVec<'scope, u64, Reveal>,
    /// Only if a table lets rows go.
    pub ticks: Option<StreamVec<'scope, u64, Tick>>,
}

/// The sources, and the clock that drives them.
pub(super) fn sources<'scope>(
    scope: Scope<'scope, u64>,
    setup: &Setup,
    sealed: &StreamVec<'scope, u64, Never>,
    written: &StreamVec<'scope, u64, Never>,
) -> Sources<'scope> {
    let (report_loop, reports) = scope.feedback(Default::default());
    let feeders = setup.catalogs.len() * scope.peers();
    let hiding = setup.start.hiding(setup.journal.is_some());
    let now = std::time::Instant::now();
    let clock = EpochClock::new(setup.start.first_epoch, setup.epoch_length, hiding, feeders, now);
    let rows = setup.plan.tables.iter().filter_map(|table| table.keep_ns).map(Duration::from_nanos);
    let ids = setup.plan.aggregates.iter().filter_map(|aggregate| aggregate.spec.ids?.keep_ms);
    let keep = rows.chain(ids.map(Duration::from_millis)).min();
    let clock = clock.with_ticks(keep);
    let found = setup.found_partitions();
    let Openings { openings, reveals } = clock::openings(scope, reports, clock, setup.control.clone(), found);
    let ticks = keep.map(|_| openings.clone().flat_map(|opening| opening.tick.then(Tick::default)));
    let (mut batches, mut all_reports, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (name, catalog)) in setup.catalogs.iter().enumerate() {
        let control = setup.control.clone();
        let share = Share {
            source: setup.start.sources[number].id,
            catalog: catalog.clone(),
            index: scope.index(),
            peers: scope.peers(),
            bounded: setup.bounded,
            leader: scope.index() == 0,
            stop: Arc::new(move || control.is_stopping()),
            metrics: setup.metrics.sources[number].1.clone(),
        };
        let waiting = setup.gauges.waiting.clone();
        let lag = Lag {
            sealed: sealed.clone(),
            written: written.clone(),
            limits: setup.limits,
            is_full: Rc::new(move || waiting.is_full()),
        };
        let (control, owner) = (setup.control.clone(), name.clone());
        let on_error = move |source| control.fail(RunError::Source { name: owner.clone(), source });
        let (stream, reports, bound) = source(openings.clone(), lag, name, share, on_error);
        batches.push(stream);
        all_reports.push(reports);
        bindings.push(bound);
    }
    scope.concatenate(all_reports).connect_loop(report_loop);
    Sources { batches, bindings: scope.concatenate(bindings), reveals, ticks }
}
