//! What is taken from events that are records; of the others come dead letters.

use std::sync::atomic::Ordering::Relaxed;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::accumulation::Of;
use super::fusion::Rows;
use super::tables::Letters;
use crate::record::{Record, RowDiff};

/// Gives what `take` takes from each event, where `pact` brings it; the second output has the dead letters of those of which that
/// can not be taken. These have given nothing.
pub(super) fn taken<'scope, T: 'static>(
    events: StreamVec<'scope, u64, Record>,
    pact: impl ParallelizationContract<u64, Vec<Record>>,
    name: String,
    of: Of<'_, 'scope>,
    mut take: impl FnMut(&Record, &mut dyn FnMut(T)) -> Result<(), String> + 'static,
) -> (StreamVec<'scope, u64, T>, Rows<'scope>) {
    let mut builder = OperatorBuilder::new(name, events.scope());
    let mut input = builder.new_input(events, pact);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (taken, taken_stream) = builder.new_output();
    let (letters, letters_stream) = builder.new_output();
    let mut taken = OutputBuilder::<_, CapacityContainerBuilder<Vec<T>>>::from(taken);
    let mut letters = OutputBuilder::<_, CapacityContainerBuilder<Vec<RowDiff>>>::from(letters);
    let (metrics, of) = (of.metrics.clone(), Letters::new(of.setup));
    builder.build(move |_| {
        move |_| {
            let (mut taken, mut letters) = (taken.activate(), letters.activate());
            input.for_each_time(|time, data| {
                let (mut taken, mut letters) = (taken.session(&time), letters.session(&time));
                let (mut dead, mut deletions) = (0, 0);
                for record in data.flat_map(|d| d.drain(..)) {
                    if let Err(reason) = take(&record, &mut |of| taken.give(of)) {
                        dead += 1;
                        deletions += u64::from(record.is_deletion());
                        letters.give((of.of(&record, reason), *time.time(), 1));
                    }
                }
                metrics.applied.fetch_sub(dead - deletions, Relaxed);
                metrics.deletions.fetch_sub(deletions, Relaxed);
                metrics.dead_letters.fetch_add(dead, Relaxed);
            });
        }
    });
    (taken_stream, letters_stream)
}
