//! [`once()`]: passes on the first of the events of an id.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::remembered::{IdChange, Loading, Remembered};
use crate::reaper::Reaper;
use crate::table::{TableChange, TableCounters, Tick};

/// An event with an id.
pub trait Identified: 'static {
    /// What tells that two events are one that was delivered twice.
    type Id: Hash + Eq + Clone + Send + 'static;
    /// Where it comes from: of several in one epoch the least counts.
    type Place: Ord;

    /// The id.
    fn id(&self) -> &Self::Id;

    /// Where it comes from.
    fn place(&self) -> Self::Place;

    /// Its time, if ids are forgotten by the watermark.
    fn time(&self) -> i64;
}

/// How long ids are remembered.
#[derive(Clone, Debug, Default)]
pub struct OnceOptions {
    /// For so many epochs after the one that they came in. Otherwise until the watermark passes the event's time.
    pub keep: Option<u64>,
    /// Ids whose times are in one span of so much leave together.
    pub together: i64,
    /// Whether somebody reads which ids come and go.
    pub journalled: bool,
    /// What is counted on the way; shared by all workers.
    pub counters: Arc<TableCounters>,
    /// Takes the ids when the input has ended.
    pub reaper: Reaper,
}

/// What is read.
pub struct OnceInput<'scope, E: Identified> {
    /// Events, each on the worker that owns its id.
    pub live: StreamVec<'scope, u64, E>,
    /// What a journal has of the ids that this worker owns, each with the epoch that sealed it.
    pub sealed: StreamVec<'scope, u64, (u64, IdChange<E::Id>)>,
    /// One message on each worker at every epoch at which ids are forgotten.
    pub ticks: StreamVec<'scope, u64, Tick>,
}

/// What is left.
pub struct Once<'scope, E: Identified> {
    /// The events that count.
    pub first: StreamVec<'scope, u64, E>,
    /// Ids that come and go, with their times, for a journal, which later brings them back as `sealed`.
    pub changes: StreamVec<'scope, u64, IdChange<E::Id>>,
}

/// Passes on events whose ids are not remembered, and remembers these.
///
/// **Law.** Of the events of an id those count that come when it is not remembered; of several in one epoch the one with the
/// least place. An id is remembered from the epoch of the event that counted on, for `keep` epochs, or until the first tick
/// whose watermark is past the event's time, and by a span more. What counts depends neither on the number of workers nor on the
/// order of events inside an epoch. A run that is given the sealed changes of the epochs up to some epoch, and then the
/// events of the later ones, passes on the same as one that has seen all events.
///
/// **Cost.** A look-up for each event, and a change of state for each that counts. State: the ids that are remembered, and events
/// of epochs that are not complete.
///
/// ```
/// use flowstone_operators::once::{Identified, Once, OnceInput, OnceOptions, once};
/// use flowstone_operators::table::{TableChange, Tick};
/// use timely::dataflow::operators::{Input, Inspect, ToStream};
///
/// /// Its id, and its place.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Event(u64, u64);
///
/// impl Identified for Event {
///     type Id = u64;
///     type Place = u64;
///     fn id(&self) -> &u64 { &self.0 }
///     fn place(&self) -> u64 { self.1 }
///     fn time(&self) -> i64 { 0 }
/// }
///
/// timely::execute_directly(|worker| {
///     let (seen, found) = std::sync::mpsc::channel();
///     let mut input = worker.dataflow::<u64, _, _>(|scope| {
///         let (input, live) = scope.new_input::<Vec<Event>>();
///         // An earlier run has seen 7 at epoch 4.
///         let sealed = Some((4_u64, TableChange::Set((7, 4)))).to_stream(scope).container::<Vec<_>>();
///         let ticks = None::<Tick>.to_stream(scope).container::<Vec<_>>();
///         let options = OnceOptions { keep: Some(10), ..OnceOptions::default() };
///         let Once { first, .. } = once(OnceInput { live, sealed, ticks }, options);
///         first.inspect_time(move |epoch, event| seen.send((*epoch, event.clone())).unwrap());
///         input
///     });
///     input.advance_to(14);
///     [Event(7, 1), Event(8, 3), Event(8, 2)].into_iter().for_each(|event| input.send(event));
///     input.advance_to(15);
///     input.send(Event(7, 4));
///     input.close();
///     while worker.step() {}
///     assert_eq!(found.iter().collect::<Vec<_>>(), [(14, Event(8, 2)), (15, Event(7, 4))]);
/// });
/// ```
pub fn once<'scope, E: Identified>(input: OnceInput<'scope, E>, options: OnceOptions) -> Once<'scope, E> {
    let OnceInput { live, sealed, ticks } = input;
    let mut builder = OperatorBuilder::new("Once".to_owned(), live.scope());
    let mut live = builder.new_input(live, Pipeline);
    let mut sealed = builder.new_input(sealed, Pipeline);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (first, first_stream) = builder.new_output();
    let (changes, changes_stream) = builder.new_output();
    let mut outputs = Outputs { first: OutputBuilder::from(first), changes: OutputBuilder::from(changes) };
    builder.build(move |_| {
        let mut open: BTreeMap<u64, Open<E>> = BTreeMap::new();
        let mut loading = Some(Loading::new());
        let mut state = Some(State { ids: Remembered::new(options.together), counted: 0, options });
        move |frontiers| {
            live.for_each_time(|time, data| {
                let open = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0), time.retain(1)));
                data.for_each(|d| open.events.append(d));
            });
            ticks.for_each_time(|time, data| {
                let open = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0), time.retain(1)));
                open.tick = open.tick.max(data.flat_map(|d| d.drain(..)).max());
            });
            sealed.for_each_time(|_, data| {
                let loading = loading.as_mut().expect("nothing comes when its input has ended");
                data.flat_map(|d| d.drain(..)).for_each(|(epoch, change)| loading.change(epoch, change));
            });
            let [live, sealed, ticks] = frontiers else { unreachable!("there are three inputs") };
            let Some(known) = state.as_mut().filter(|_| sealed.is_empty()) else { return };
            if let Some(loading) = loading.take() {
                loading.settle(&mut known.ids);
                known.count();
            }
            while let Some(entry) =
                open.first_entry().filter(|e| !live.less_equal(e.key()) && !ticks.less_equal(e.key()))
            {
                let (epoch, open) = entry.remove_entry();
                known.close(epoch, open, &mut outputs);
            }
            if open.is_empty() && live.is_empty() && ticks.is_empty() {
                state.take().into_iter().for_each(|state| state.options.reaper.take(state.ids));
            }
        }
    });
    Once { first: first_stream, changes: changes_stream }
}

type Output<D> = OutputBuilder<u64, CapacityContainerBuilder<Vec<D>>>;

struct Outputs<E: Identified> {
    first: Output<E>,
    changes: Output<IdChange<E::Id>>,
}

/// An epoch under way.
struct Open<E> {
    first: Capability<u64>,
    changes: Capability<u64>,
    events: Vec<E>,
    tick: Option<Tick>,
}

impl<E> Open<E> {
    fn new(first: Capability<u64>, changes: Capability<u64>) -> Self {
        Open { first, changes, events: Vec::new(), tick: None }
    }
}

struct State<I> {
    ids: Remembered<I>,
    options: OnceOptions,
    /// How many ids are counted.
    counted: u64,
}

impl<I: Hash + Eq + Clone + 'static> State<I> {
    /// The least time of ids that are remembered, if they go by epochs.
    fn bound(&self, epoch: u64) -> Option<i64> {
        self.options.keep.map(|keep| i64::try_from(epoch.saturating_sub(keep)).unwrap_or(i64::MAX))
    }

    fn close<E: Identified<Id = I>>(&mut self, epoch: u64, open: Open<E>, outputs: &mut Outputs<E>) {
        let Open { first: at, changes: noting, mut events, tick } = open;
        let (mut first, mut changes) = (outputs.first.activate(), outputs.changes.activate());
        let (mut first, mut changes) = (first.session(&at), changes.session(&noting));
        let (bound, by_epoch) = (self.bound(epoch), self.options.keep.map(|_| epoch as i64));
        events.sort_by_key(E::place);
        let mut repeated = 0;
        for event in events {
            let time = by_epoch.unwrap_or_else(|| event.time());
            if !self.ids.insert(event.id(), time, bound.unwrap_or(i64::MIN)) {
                repeated += 1;
                continue;
            }
            if self.options.journalled {
                changes.give(TableChange::Set((event.id().clone(), time)));
            }
            first.give(event);
        }
        self.options.counters.repeated.fetch_add(repeated, Relaxed);
        // Behind the events: none of these ids has come in this epoch, so that a key has one state an epoch.
        if let Some(bound) = tick.and_then(|tick| bound.or(tick.watermark)) {
            let journalled = self.options.journalled;
            self.ids.forget(bound, |id, time| {
                if journalled {
                    changes.give(TableChange::Remove((id, time)));
                }
            });
        }
        self.count();
    }

    fn count(&mut self) {
        let (now, ids) = (self.ids.len() as u64, &self.options.counters.ids);
        ids.fetch_add(now.wrapping_sub(self.counted), Relaxed);
        self.counted = now;
    }
}
