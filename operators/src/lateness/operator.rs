//! [`lateness()`]: divides events by the watermark.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashMap;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::progress::frontier::MutableAntichain;

use super::reached::reached;
use super::watermark::{Progress, Watermark};
use crate::table::Tick;

/// When events are late.
pub struct LatenessOptions {
    /// An event may be so much older than the watermark.
    pub until: i64,
    /// A partition that nothing came from for so many epochs is not waited for.
    pub idle: u64,
    /// The first epoch of events: before it nothing could come.
    pub first_epoch: u64,
    /// Whether epochs are hidden until a reveal: the watermark stands still while they are, as nobody has seen what they bring.
    pub hidden: bool,
    /// Told by each worker when the journal is read, if there was a watermark: the first epoch that had one.
    pub restored: Box<dyn Fn(u64)>,
}

impl std::fmt::Debug for LatenessOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LatenessOptions { until, idle, first_epoch, hidden, .. } = self;
        write!(f, "LatenessOptions({until}, {idle}, {first_epoch}, {hidden})")
    }
}

/// What is read.
pub struct LatenessInput<'scope, D: 'static, P: 'static, V: 'static> {
    /// Events, anywhere.
    pub live: StreamVec<'scope, u64, D>,
    /// What a journal has of the progress, anywhere.
    pub sealed: StreamVec<'scope, u64, Progress<P>>,
    /// One message on each worker, at the epoch that shows everything up to it; or none. Not read if nothing is hidden.
    pub reveals: StreamVec<'scope, u64, V>,
}

/// Events, divided.
pub struct Divided<'scope, D: 'static, P: 'static> {
    /// Those that count. One without a time is never late.
    pub on_time: StreamVec<'scope, u64, D>,
    /// Those that come too late.
    pub late: StreamVec<'scope, u64, D>,
    /// On each worker, at the epoch after each that moves it: the watermark less what events may be late by. Nothing from before
    /// it has come in this epoch, or will come.
    pub ticks: StreamVec<'scope, u64, Tick>,
    /// For a journal; on one worker.
    pub progress: StreamVec<'scope, u64, Progress<P>>,
}

/// Divides events into those that count and those that come too late.
///
/// **Law.** An event is late if its time is more than `until` before the watermark as of the end of the epoch before its own. The
/// watermark is the least of the greatest times of all partitions that something came from in the last `idle` epochs, and never
/// goes back. So it is the same on all workers, whatever their number, and depends on how events are cut into epochs, but not on their
/// order inside one.
///
/// **Cost.** O(1) an event; a message to each worker for each partition and epoch. State: two numbers a partition, and events of
/// epochs that come before the one before them is complete everywhere.
pub fn lateness<'scope, D, P, V>(
    input: LatenessInput<'scope, D, P, V>,
    options: LatenessOptions,
    of: impl Fn(&D) -> Option<(P, i64)> + 'static,
) -> Divided<'scope, D, P>
where
    D: 'static,
    P: ExchangeData + Hash + Eq + Clone,
    V: Clone + 'static,
{
    let LatenessInput { live, sealed, reveals } = input;
    let scope = live.scope();
    let (timed, times) = reached(live, of);
    let mut builder = OperatorBuilder::new("Lateness".to_owned(), scope);
    let mut timed = builder.new_input(timed, Pipeline);
    let mut times = builder.new_input(times.broadcast(), Pipeline);
    let mut sealed = builder.new_input(sealed.broadcast(), Pipeline);
    let mut reveals = builder.new_input(reveals, Pipeline);
    let (on_time, on_time_stream) = builder.new_output();
    let (late, late_stream) = builder.new_output();
    let (ticks, ticks_stream) = builder.new_output();
    let (progress, progress_stream) = builder.new_output();
    let mut outputs = Outputs {
        on_time: OutputBuilder::from(on_time),
        late: OutputBuilder::from(late),
        ticks: OutputBuilder::from(ticks),
        progress: OutputBuilder::from(progress),
    };
    let is_first = scope.index() == 0;
    builder.build(move |_| {
        let mut state = State {
            watermark: Watermark::new(options.idle, options.first_epoch),
            waiting: BTreeMap::new(),
            reached: BTreeMap::new(),
            hidden: options.hidden,
            until: options.until,
            ticked: None,
        };
        let mut restored = Some(options.restored);
        move |frontiers| {
            timed.for_each_time(|time, data| {
                let new = || Waiting { on_time: time.retain(0), late: time.retain(1), events: Vec::new() };
                let waiting = state.waiting.entry(*time.time()).or_insert_with(new);
                data.for_each(|d| waiting.events.append(d));
            });
            times.for_each_time(|time, data| {
                let new = || Reached::new(time.retain(2), is_first.then(|| time.retain(3)));
                let reached = state.reached.entry(*time.time()).or_insert_with(new);
                data.for_each(|d| reached.times.append(d));
            });
            sealed.for_each_time(|_, data| {
                data.flat_map(|d| d.drain(..)).for_each(|progress| state.watermark.restore(progress));
            });
            reveals.for_each_time(|time, data| {
                data.for_each(|d| d.clear());
                if state.hidden {
                    let new = || Reached::new(time.retain(2), is_first.then(|| time.retain(3)));
                    state.reached.entry(*time.time()).or_insert_with(new).reveal = true;
                }
            });
            if !frontiers[2].is_empty() {
                return;
            }
            if let (Some(restored), Some((_, since))) = (restored.take(), state.watermark.now()) {
                restored(since);
            }
            while state.step(frontiers, &mut outputs) {}
        }
    });
    Divided { on_time: on_time_stream, late: late_stream, ticks: ticks_stream, progress: progress_stream }
}

type Output<D> = OutputBuilder<u64, CapacityContainerBuilder<Vec<D>>>;

struct Outputs<D: 'static, P: 'static> {
    on_time: Output<D>,
    late: Output<D>,
    ticks: Output<Tick>,
    progress: Output<Progress<P>>,
}

/// Events of an epoch before which not everything is known.
struct Waiting<D> {
    on_time: Capability<u64>,
    late: Capability<u64>,
    events: Vec<(D, Option<i64>)>,
}

/// What an epoch brings of partitions.
struct Reached<P> {
    ticks: Capability<u64>,
    progress: Option<Capability<u64>>,
    times: Vec<(P, i64)>,
    reveal: bool,
}

impl<P> Reached<P> {
    fn new(ticks: Capability<u64>, progress: Option<Capability<u64>>) -> Self {
        Reached { ticks, progress, times: Vec::new(), reveal: false }
    }
}

struct State<D, P> {
    watermark: Watermark<P>,
    waiting: BTreeMap<u64, Waiting<D>>,
    reached: BTreeMap<u64, Reached<P>>,
    hidden: bool,
    until: i64,
    /// What tables were told.
    ticked: Option<i64>,
}

impl<D: 'static, P: Hash + Eq + Clone + 'static> State<D, P> {
    /// Does what is next, if everything is there that it depends on: the events of an epoch, and then what it does to the watermark.
    fn step(&mut self, frontiers: &[MutableAntichain<u64>], outputs: &mut Outputs<D, P>) -> bool {
        let [timed, times, _, reveals] = frontiers else { unreachable!("there are four inputs") };
        let (events, reached) = (self.waiting.keys().next().copied(), self.reached.keys().next().copied());
        match (events, reached) {
            (Some(epoch), reached) if reached.is_none_or(|reached| epoch <= reached) => {
                let may_move = times.less_than(&epoch) || (self.hidden && reveals.less_than(&epoch));
                if !may_move {
                    self.divide(epoch, outputs);
                }
                !may_move
            }
            (_, Some(epoch)) => {
                let may_come = |frontier: &MutableAntichain<u64>| frontier.less_equal(&epoch);
                let is_open = may_come(timed) || may_come(times) || (self.hidden && may_come(reveals));
                if !is_open {
                    self.advance(epoch, outputs);
                }
                !is_open
            }
            (_, None) => false,
        }
    }

    /// The first time that is not late.
    fn first(&self) -> Option<i64> {
        self.watermark.now().map(|(time, _)| time.saturating_sub(self.until))
    }

    fn divide(&mut self, epoch: u64, outputs: &mut Outputs<D, P>) {
        let Waiting { on_time, late, events } = self.waiting.remove(&epoch).expect("it was found");
        let first = self.first();
        let (mut on_time_out, mut late_out) = (outputs.on_time.activate(), outputs.late.activate());
        let (mut on_time_out, mut late_out) = (on_time_out.session(&on_time), late_out.session(&late));
        for (event, time) in events {
            match time.zip(first).is_some_and(|(time, first)| time < first) {
                true => late_out.give(event),
                false => on_time_out.give(event),
            }
        }
    }

    fn advance(&mut self, epoch: u64, outputs: &mut Outputs<D, P>) {
        let Reached { ticks, progress, times, reveal } = self.reached.remove(&epoch).expect("it was found");
        // Several workers may have seen one partition; what they say of it only grows.
        let mut reached = HashMap::new();
        for (partition, time) in times {
            if self.watermark.reach(epoch, partition.clone(), time) {
                reached.insert(partition, time);
            }
        }
        let mut news: Vec<Progress<P>> =
            reached.into_iter().map(|(partition, time)| Progress::Partition(partition, time)).collect();
        self.hidden &= !reveal;
        if !self.hidden {
            // As of the epoch before: what events of this one have changed is not over then, nor is what it reveals.
            let before = self.first();
            if before > self.ticked {
                self.ticked = before;
                outputs.ticks.activate().session(&ticks).give(Tick { watermark: before });
            }
            if self.watermark.advance(epoch)
                && let Some((time, since)) = self.watermark.now()
            {
                news.push(Progress::Watermark { time, since });
            }
        }
        if let Some(progress) = progress {
            outputs.progress.activate().session(&progress).give_iterator(news.into_iter());
        }
    }
}
