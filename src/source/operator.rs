//! The dataflow shell of a source: stamps what feeders read with the open epoch.

use std::sync::mpsc::TryRecvError;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::SourceError;
use super::feeder::{self, Batch, Fed, Share};

/// Bytes put into the dataflow before other operators get their turn.
const FUEL_BYTES: usize = 4 << 20;

/// What a source tells the epoch clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Report {
    /// Everything that was present at the start is in the dataflow.
    CaughtUp,
    /// Nothing will follow.
    Ended,
}

/// Emits a worker's share of a source at the epochs that `openings` announces, and reports to the clock.
///
/// A source never closes an epoch by itself: it holds the last one that was opened until the next is, or until there will
/// be none.
pub fn source<'scope>(
    openings: StreamVec<'scope, u64, u64>,
    name: &str,
    share: Share,
    on_error: impl Fn(SourceError) + 'static,
) -> (StreamVec<'scope, u64, Batch>, StreamVec<'scope, u64, Report>) {
    let scope = openings.scope();
    let mut builder = OperatorBuilder::new(format!("Source {name}"), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let fed = feeder::start(share, scope.worker().sync_activator_for(address.to_vec()));
    let mut openings = builder.new_input(openings, Pipeline);
    let (batches, batch_stream) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let mut batches = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch>>>::from(batches);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);

    builder.build(move |_| {
        let mut open: Option<(Capability<u64>, Capability<u64>)> = None;
        let mut fed = Some(fed);
        let mut caught_up = false;
        move |frontiers| {
            openings.for_each_time(|time, _| open = Some((time.retain(0), time.retain(1))));
            if frontiers[0].is_empty() {
                (open, fed) = (None, None);
            }
            let Some((batch_cap, report_cap)) = &open else { return };
            let (mut batches, mut reports) = (batches.activate(), reports.activate());
            let mut fuel = FUEL_BYTES;
            while let Some(receiver) = &fed {
                if fuel == 0 {
                    activator.activate();
                    return;
                }
                match receiver.try_recv() {
                    Ok(Fed::Batch(batch)) => {
                        fuel = fuel.saturating_sub(batch.raw.buffer.len());
                        batches.session(batch_cap).give(batch);
                    }
                    Ok(Fed::CaughtUp) => {
                        caught_up = true;
                        reports.session(report_cap).give(Report::CaughtUp);
                    }
                    Ok(Fed::Ended) => {
                        // Together, so that the clock opens no epoch between the two.
                        let mut session = reports.session(report_cap);
                        session.give_iterator((!caught_up).then_some(Report::CaughtUp).into_iter());
                        session.give(Report::Ended);
                        fed = None;
                    }
                    Ok(Fed::Failed(error)) => {
                        on_error(error);
                        fed = None;
                    }
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => fed = None,
                }
            }
        }
    });
    (batch_stream, report_stream)
}
