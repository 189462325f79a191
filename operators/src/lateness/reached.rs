//! What an epoch brings of each partition.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Events with their times, those that have one; and of each epoch that is complete the greatest time of each partition.
type Reached<'scope, D, P> = (StreamVec<'scope, u64, (D, Option<i64>)>, StreamVec<'scope, u64, (P, i64)>);

/// Passes events on at once; how far this worker has seen each partition, at the end of an epoch.
pub(super) fn reached<'scope, D, P>(
    events: StreamVec<'scope, u64, D>,
    of: impl Fn(&D) -> Option<(P, i64)> + 'static,
) -> Reached<'scope, D, P>
where
    D: 'static,
    P: Hash + Eq + Clone + 'static,
{
    let mut builder = OperatorBuilder::new("Reached".to_owned(), events.scope());
    let mut events = builder.new_input(events, Pipeline);
    let (timed, timed_stream) = builder.new_output();
    let (times, times_stream) = builder.new_output();
    let mut timed = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, Option<i64>)>>>::from(timed);
    let mut times = OutputBuilder::<_, CapacityContainerBuilder<Vec<(P, i64)>>>::from(times);
    builder.build(move |_| {
        let mut open: BTreeMap<u64, (Capability<u64>, HashMap<P, i64>)> = BTreeMap::new();
        move |frontiers| {
            let (mut timed, mut times) = (timed.activate(), times.activate());
            events.for_each_time(|time, data| {
                let (_, greatest) = open.entry(*time.time()).or_insert_with(|| (time.retain(1), HashMap::new()));
                let mut timed = timed.session(&time);
                for event in data.flat_map(|d| d.drain(..)) {
                    let at = of(&event).map(|(partition, at)| {
                        greatest.entry(partition).and_modify(|time| *time = at.max(*time)).or_insert(at);
                        at
                    });
                    timed.give((event, at));
                }
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontiers[0].less_equal(e.key())) {
                let (capability, greatest) = entry.remove();
                times.session(&capability).give_iterator(greatest.into_iter());
            }
        }
    });
    (timed_stream, times_stream)
}
