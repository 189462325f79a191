//! The dataflow shell of fusion.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::documents::{Content, Room};
use super::moment::{Moment, Rejection};
use super::options::FuseOptions;
use super::update::{Changes, Facets, update};
use crate::interval::Interval;
use crate::pace::Pace;
use crate::route::Route;
use crate::timeline::Timeline;

/// So many documents are put out before other operators get their turn.
const FUEL: usize = 1 << 16;

type Keys<A, C> = HashMap<A, Changes<C>>;

/// An epoch under way: its capabilities for both outputs, and the keys that are still to be done.
struct Ready<A, C> {
    epoch: u64,
    moments: Capability<u64>,
    rejections: Capability<u64>,
    todo: std::vec::IntoIter<(A, Changes<C>)>,
}

/// Fuses the annotations of each key that overlap in time.
///
/// **Law.** At every epoch the accumulated output is exactly what the accumulated input gives: for each bucket, run or
/// segment (see [`Emit`](super::Emit)) that annotations of enough kinds cover, one [`Moment`] with all of them as
/// children, ordered by (kind, start, end, content). It depends neither on the number of workers nor on how the input is
/// cut into epochs or ordered inside one. An epoch emits only the moments whose content changes; an epoch whose changes
/// cancel out emits nothing.
///
/// `interval` gives the range of an annotation, `kind` its type (modality).
///
/// The input must be a set: an annotation is there once or not at all. Removing one that is not there does nothing.
///
/// **Cost.** Work: O(log n) for each change, and the documents that its range touches. State: one entry an annotation,
/// whatever its length; freed when the annotation goes.
///
/// After a restart, [`FuseOptions::with_quiet_through`] loads what the readers of the output know already.
///
/// The second output holds the documents that would have more than the allowed number of children.
///
/// ```
/// use flowstone_operators::fuse::{Emit, FuseOptions, fuse};
/// use flowstone_operators::interval::{Grid, Interval};
/// use differential_dataflow::input::InputSession;
///
/// let seconds = |n: i64| n * 1_000_000_000;
/// timely::execute_directly(move |worker| {
///     let mut input = InputSession::new();
///     let (seen, found) = std::sync::mpsc::channel();
///     worker.dataflow(|scope| {
///         let options = FuseOptions::new(Emit::Buckets(Grid::new(seconds(1))));
///         let annotations = input.to_collection(scope);
///         let (moments, _rejected) = fuse(annotations, options, |(_, range): &(String, Interval)| *range, |(kind, _)| kind);
///         moments.inspect(move |(moment, _, _)| seen.send(moment.interval.start_ns() / seconds(1)).unwrap());
///     });
///     input.insert(("a7".to_owned(), ("character".to_owned(), Interval::new(seconds(2), seconds(8)))));
///     input.insert(("a7".to_owned(), ("scene".to_owned(), Interval::new(seconds(4), seconds(9)))));
///     input.close();
///     while worker.step() {}
///     assert_eq!(found.iter().collect::<Vec<_>>(), [4, 5, 6, 7]);
/// });
/// ```
#[allow(clippy::type_complexity)]
pub fn fuse<'scope, A, C, K, I, T>(
    annotations: VecCollection<'scope, u64, (A, C), isize>,
    options: FuseOptions<K>,
    interval: I,
    kind: T,
) -> (VecCollection<'scope, u64, Moment<A, C>, isize>, VecCollection<'scope, u64, Rejection<A>, isize>)
where
    A: ExchangeData + Ord + Hash + Clone + Route + Send,
    C: ExchangeData + Ord + Clone + Send,
    K: Ord + ?Sized + 'static,
    I: Fn(&C) -> Interval + 'static,
    T: Fn(&C) -> &K + 'static,
{
    let facets = Facets { interval, kind };
    let mut builder = OperatorBuilder::new("Fuse".to_owned(), annotations.inner.scope());
    let activator = annotations.inner.scope().activator_for(builder.operator_info().address);
    let by_key = Exchange::new(|((key, _), _, _): &((A, C), u64, isize)| key.route());
    let mut input = builder.new_input(annotations.inner, by_key);
    let (moments, moment_stream) = builder.new_output();
    let (rejections, rejection_stream) = builder.new_output();
    let mut moments = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Moment<A, C>, u64, isize)>>>::from(moments);
    let mut rejections =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<(Rejection<A>, u64, isize)>>>::from(rejections);

    let mut timelines: HashMap<A, Timeline<C>> = HashMap::new();
    builder.build(move |_| {
        let mut open: BTreeMap<u64, (Capability<u64>, Capability<u64>, Keys<A, C>)> = BTreeMap::new();
        let mut ready: VecDeque<Ready<A, C>> = VecDeque::new();
        let mut room = Room::default();
        move |frontiers| {
            input.for_each_time(|time, data| {
                for ((key, content), epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    if options.quiet_through.is_some_and(|quiet| epoch <= quiet) {
                        debug_assert!(diff == 1, "loaded rows are only added");
                        load(&mut timelines, key, content);
                        continue;
                    }
                    // By the time in the update, which may be later than that of the message.
                    let retained = || (time.delayed(&epoch, 0), time.delayed(&epoch, 1), Keys::new());
                    let (_, _, keys) = open.entry(epoch).or_insert_with(retained);
                    keys.entry(key).or_default().push(content, diff);
                }
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontiers[0].less_equal(e.key())) {
                let (epoch, (moments, rejections, keys)) = entry.remove_entry();
                let mut todo: Vec<_> = keys.into_iter().collect();
                todo.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                ready.push_back(Ready { epoch, moments, rejections, todo: todo.into_iter() });
            }

            // After the end of the input nobody asks what is there: a backfill builds no timelines.
            let more = !frontiers[0].is_empty() || ready.len() > 1;
            let (mut moments, mut rejections) = (moments.activate(), rejections.activate());
            let mut emitted = 0;
            while let Some(Ready { epoch, moments: moment_cap, rejections: rejection_cap, todo }) = ready.front_mut() {
                let (mut moments, mut rejections) = (moments.session(&moment_cap), rejections.session(&rejection_cap));
                while emitted < FUEL {
                    if options.pace.lags() {
                        activator.activate_after(Pace::DELAY);
                        return;
                    }
                    let Some((key, changes)) = todo.next() else { break };
                    let timeline = timelines.entry(key.clone()).or_default();
                    update(timeline, &changes, more, &options, &facets, &mut room, &mut |emission| {
                        emitted += 1;
                        let (key, interval, diff) = (key.clone(), emission.interval, emission.diff);
                        match emission.content {
                            Content::Children(children) => {
                                moments.give((Moment { key, interval, children }, *epoch, diff));
                            }
                            Content::TooMany(children) => {
                                rejections.give((Rejection { key, interval, children }, *epoch, diff));
                            }
                        }
                    });
                    if timeline.is_empty() {
                        timelines.remove(&key);
                    }
                }
                if emitted >= FUEL {
                    activator.activate();
                    return;
                }
                drop((moments, rejections));
                ready.pop_front();
            }
            if frontiers[0].is_empty() && open.is_empty() && !timelines.is_empty() {
                options.reaper.take(std::mem::take(&mut timelines));
            }
        }
    });
    (moment_stream.as_collection(), rejection_stream.as_collection())
}

fn load<A: Hash + Eq, C: Ord + Clone>(timelines: &mut HashMap<A, Timeline<C>>, key: A, content: C) {
    timelines.entry(key).or_default().load(content);
}
