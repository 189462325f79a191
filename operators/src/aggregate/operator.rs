//! The dataflow shell of aggregation.

use std::collections::BTreeMap;
use std::hash::Hash;

use differential_dataflow::{AsCollection, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::accumulator::Accumulator;
use super::group::Group;
use super::groups::{Changes, Groups};
use super::options::AggregateOptions;
use super::partial::{Partial, partial};
use super::state::{Fold, Gathered, RollUp, State};
use crate::pace::Pace;
use crate::route::{Route, owner};

/// So many results are put out before other operators get their turn.
const FUEL: usize = 1 << 16;

/// Adds up the rows of each group, and keeps the result up to date.
///
/// **Law.** At every epoch the accumulated output is `result` of each group that the accumulated input has rows of, given
/// what an [`Accumulator`] makes of these. It depends neither on the number of workers nor on how the input is cut into
/// epochs or ordered inside one. An epoch emits only the groups whose result changes, each once with what it was and once with
/// what it is; if `result` is `None` there is no row for the group.
///
/// **Cost.** Work: a look-up for each change of a row, and `result` twice for each group that an epoch changes. State: an
/// accumulator for each group that has rows; it goes with the last of them. Where there are other workers, the changes of
/// an epoch are added up before they are sent ([`Accumulator::merge`]), so that a group with half of all rows is no burden.
///
/// After a restart, [`AggregateOptions::with_quiet_through`] loads what the readers of the output know already.
///
/// How many scenes there are of each label, and the longest of them:
///
/// ```
/// use differential_dataflow::input::InputSession;
/// use flowstone_operators::aggregate::{AggregateOptions, Bag, Group, aggregate};
///
/// timely::execute_directly(move |worker| {
///     let mut scenes = InputSession::new();
///     let (seen, found) = std::sync::mpsc::channel();
///     let probe = worker.dataflow(|scope| {
///         let result = |label: &String, of: &Group<Bag<u64>>| Some((label.clone(), of.rows, of.of.max().copied()));
///         let results = aggregate(scenes.to_collection(scope), AggregateOptions::default(), result);
///         results.inspect(move |(row, epoch, diff)| seen.send((row.clone(), *epoch, *diff)).unwrap()).probe().0
///     });
///     let kitchen = |length: u64| ("kitchen".to_owned(), length);
///     scenes.insert(kitchen(5));
///     scenes.insert(kitchen(9));
///     scenes.advance_to(1);
///     scenes.remove(kitchen(9));
///     scenes.insert(kitchen(7));
///     scenes.close();
///     worker.step_while(|| !probe.done());
///     let row = |longest: u64| ("kitchen".to_owned(), 2, Some(longest));
///     assert_eq!(found.iter().collect::<Vec<_>>(), [(row(9), 0, 1), (row(9), 1, -1), (row(7), 1, 1)]);
/// });
/// ```
pub fn aggregate<'scope, K, A, O>(
    rows: VecCollection<'scope, u64, (K, A::Input), isize>,
    options: AggregateOptions,
    result: impl FnMut(&K, &Group<A>) -> Option<O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    O: Eq + Clone + 'static,
{
    roll_up(rows, options, |_, _| (), result)
}

/// The same for groups that are parts of others, such as minutes of hours: what a group comes to is added to those that `above`
/// names, and from there to those above them. Rows are given to the smallest groups only.
///
/// **Law.** That of [`aggregate`], as if each row had been given to its group and to each one above it, directly or not, once
/// for each way up.
///
/// Groups and those above them must have the same route, and there must be no way round. A group that is above others has no
/// rows of its own.
///
/// **Cost.** Beyond that of [`aggregate`], [`Accumulator::merge`] for each group that an epoch changes and each one above it: it
/// does not grow with the rows.
pub fn roll_up<'scope, K, A, O>(
    rows: VecCollection<'scope, u64, (K, A::Input), isize>,
    options: AggregateOptions,
    above: impl Fn(&K, &mut Vec<K>) + 'static,
    result: impl FnMut(&K, &Group<A>) -> Option<O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    O: Eq + Clone + 'static,
{
    exchanged(rows, options, RollUp { groups: Groups::new(), above, result })
}

/// The same for any state in which groups are changed one by one.
pub(crate) fn folded<'scope, K, A, O>(
    rows: VecCollection<'scope, u64, (K, A::Input), isize>,
    options: AggregateOptions,
    state: impl State<K, A, O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    O: Eq + Clone + 'static,
{
    exchanged(rows, options, Gathered::new(state))
}

/// Brings rows, or what workers add up of them, to the worker that owns their key, and there into `fold`.
fn exchanged<'scope, K, A, O>(
    rows: VecCollection<'scope, u64, (K, A::Input), isize>,
    options: AggregateOptions,
    fold: impl Fold<K, A, O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    O: Eq + Clone + 'static,
{
    let peers = rows.inner.scope().peers();
    if peers == 1 {
        let add =
            |((key, input), epoch, diff): ((K, A::Input), u64, isize)| (key, Part::Row(input, diff as i64), epoch);
        return build(rows.inner, Pipeline, options, add, fold);
    }
    let by_key = Exchange::new(move |(key, ..): &Partial<K, A>| owner(key.route(), peers));
    let add = |(key, group, epoch)| (key, Part::Group(group), epoch);
    let row = |((key, input), epoch, diff): ((K, A::Input), u64, isize), _| (key, input, epoch, diff as i64);
    build(partial(rows.inner, row), by_key, options, add, fold)
}

/// What comes in for a group.
enum Part<A: Accumulator> {
    Row(A::Input, i64),
    Group(Group<A>),
}

impl<A: Accumulator> Part<A> {
    fn add_to(self, group: &mut Group<A>) {
        match self {
            Part::Row(input, times) => group.add(input, times),
            Part::Group(other) => group.merge(other),
        }
    }
}

fn build<'scope, K, A, O, D>(
    parts: StreamVec<'scope, u64, D>,
    pact: impl ParallelizationContract<u64, Vec<D>>,
    options: AggregateOptions,
    part: impl Fn(D) -> (K, Part<A>, u64) + 'static,
    mut fold: impl Fold<K, A, O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Send,
    A: Accumulator + ExchangeData,
    O: Eq + Clone + 'static,
    D: 'static,
{
    let mut builder = OperatorBuilder::new("Aggregate".to_owned(), parts.scope());
    let activator = parts.scope().activator_for(builder.operator_info().address);
    let mut input = builder.new_input(parts, pact);
    let (output, results) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(O, u64, isize)>>>::from(output);
    builder.build(move |_| {
        // Epochs after the one under way, whose changes `fold` has.
        let mut open: BTreeMap<u64, (Capability<u64>, Changes<K, A>)> = BTreeMap::new();
        let mut under_way: Option<(u64, Capability<u64>)> = None;
        let mut loading = options.quiet_through;
        move |frontiers| {
            let frontier = &frontiers[0];
            input.for_each_time(|time, data| {
                for (key, part, epoch) in data.flat_map(|d| d.drain(..)).map(&part) {
                    if options.quiet_through.is_some_and(|quiet| epoch <= quiet) {
                        fold.load(key, |group| part.add_to(group));
                        continue;
                    }
                    // No other one can come before it any more: its changes need not be kept apart.
                    let is_first = || open.first_key_value().is_none_or(|(first, _)| *first > epoch);
                    if under_way.is_none() && loading.is_none() && !frontier.less_than(&epoch) && is_first() {
                        under_way = Some((epoch, time.delayed(&epoch, 0)));
                    }
                    if under_way.as_ref().is_some_and(|(at, _)| *at == epoch) {
                        part.add_to(fold.change(key));
                        continue;
                    }
                    // By the time in the update, which may be later than that of the message.
                    let (_, changes) = open.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Changes::new()));
                    part.add_to(changes.entry(key).or_default());
                }
            });
            if loading.is_some_and(|quiet| !frontier.less_equal(&quiet)) {
                fold.settle();
                loading = None;
            }

            let mut output = output.activate();
            let mut emitted = 0;
            loop {
                if under_way.is_none() {
                    let next = open.first_entry().filter(|next| loading.is_none() && !frontier.less_than(next.key()));
                    let Some((epoch, (at, changes))) = next.map(|next| next.remove_entry()) else { break };
                    changes.into_iter().for_each(|(key, change)| *fold.change(key) = change);
                    under_way = Some((epoch, at));
                }
                let Some((epoch, at)) = under_way.take_if(|(epoch, _)| !frontier.less_equal(epoch)) else { break };
                // After the end of the input nobody asks what there is: a backfill keeps nothing.
                let keep = !frontier.is_empty() || !open.is_empty();
                let mut session = output.session(&at);
                let is_done = loop {
                    if emitted >= FUEL || options.pace.lags() {
                        break false;
                    }
                    let is_one = fold.finish_next(keep, |row, diff| {
                        emitted += 1;
                        session.give((row, epoch, diff));
                    });
                    if !is_one {
                        break true;
                    }
                };
                drop(session);
                if !is_done {
                    under_way = Some((epoch, at));
                    match emitted >= FUEL {
                        true => activator.activate(),
                        false => activator.activate_after(Pace::DELAY),
                    }
                    break;
                }
            }
            if frontier.is_empty() && under_way.is_none() && open.is_empty() {
                fold.take().into_iter().for_each(|state| options.reaper.take(state));
            }
        }
    });
    results.as_collection()
}
