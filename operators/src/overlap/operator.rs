//! The dataflow shell of joins of intervals.

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

use super::changes::Row;
use super::options::OverlapOptions;
use super::update::{Arrived, Kind, State, Update};
use crate::route::Route;

/// So many pairs are looked at before other operators get their turn.
const FUEL: usize = 1 << 16;

/// What came for an epoch.
struct Open<K, A, B> {
    capability: Capability<u64>,
    keys: HashMap<K, Arrived<A, B>>,
}

/// An epoch under way: the keys that are still to be done, and the one that is being done.
struct Ready<K, A, B> {
    epoch: u64,
    capability: Capability<u64>,
    todo: std::vec::IntoIter<(K, Arrived<A, B>)>,
    now: Option<Work<K, A, B>>,
}

struct Work<K, A, B> {
    key: K,
    update: Update<A, B>,
    /// The state of a key that has none.
    fresh: State<A, B>,
}

/// Inner.
pub fn overlap_join<'scope, K, A, B, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: ExchangeData + Ord + Clone + Send,
    B: ExchangeData + Ord + Clone + Send,
    D: Clone + 'static,
    F: Fn(&K, &A, &B) -> D + 'static,
{
    join(left, right, options, Kind::Inner, move |key, a, b| Some(result(key, a, b?)))
}

/// Left.
pub fn overlap_join_left<'scope, K, A, B, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: ExchangeData + Ord + Clone + Send,
    B: ExchangeData + Ord + Clone + Send,
    D: Clone + 'static,
    F: Fn(&K, &A, Option<&B>) -> D + 'static,
{
    join(left, right, options, Kind::Left, move |key, a, b| Some(result(key, a, b)))
}

/// Anti.
pub fn overlap_join_anti<'scope, K, A, B>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
) -> VecCollection<'scope, u64, (K, A), isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: ExchangeData + Ord + Clone + Send,
    B: ExchangeData + Ord + Clone + Send,
{
    join(left, right, options, Kind::Anti, |key, a, _| Some((key.clone(), a.clone())))
}

fn join<'scope, K, A, B, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
    kind: Kind,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: ExchangeData + Ord + Clone + Send,
    B: ExchangeData + Ord + Clone + Send,
    D: Clone + 'static,
    F: Fn(&K, &A, Option<&B>) -> Option<D> + 'static,
{
    let mut builder = OperatorBuilder::new("OverlapJoin".to_owned(), left.inner.scope());
    let activator = left.inner.scope().activator_for(builder.operator_info().address);
    let mut left = builder.new_input(left.inner, Exchange::new(|((key, _), _, _): &((K, A), u64, isize)| key.route()));
    let mut right =
        builder.new_input(right.inner, Exchange::new(|((key, _), _, _): &((K, B), u64, isize)| key.route()));
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, isize)>>>::from(output);

    builder.build(move |_| {
        let mut states: HashMap<K, State<A, B>> = HashMap::new();
        let mut open: BTreeMap<u64, Open<K, A, B>> = BTreeMap::new();
        let mut ready: VecDeque<Ready<K, A, B>> = VecDeque::new();
        move |frontiers| {
            left.for_each_time(|time, data| {
                for ((key, content), epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    let retained = || Open { capability: time.delayed(&epoch, 0), keys: HashMap::new() };
                    let keys = &mut open.entry(epoch).or_insert_with(retained).keys;
                    keys.entry(key).or_default().left.push(Row::new(content, diff));
                }
            });
            right.for_each_time(|time, data| {
                for ((key, content), epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    let retained = || Open { capability: time.delayed(&epoch, 0), keys: HashMap::new() };
                    let keys = &mut open.entry(epoch).or_insert_with(retained).keys;
                    keys.entry(key).or_default().right.push(Row::new(content, diff));
                }
            });
            let may_change = |epoch: &u64| frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            while let Some(entry) = open.first_entry().filter(|entry| !may_change(entry.key())) {
                let (epoch, Open { capability, keys }) = entry.remove_entry();
                let mut todo: Vec<_> = keys.into_iter().collect();
                todo.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                ready.push_back(Ready { epoch, capability, todo: todo.into_iter(), now: None });
            }

            // After the end of the input nobody asks what is there: a single epoch builds no state.
            let ended = frontiers.iter().all(|frontier| frontier.is_empty());
            let mut output = output.activate();
            let mut budget = FUEL;
            while !ready.is_empty() {
                let more = !ended || ready.len() > 1;
                let Some(Ready { epoch, capability, todo, now }) = ready.front_mut() else { break };
                let mut session = output.session(capability);
                loop {
                    if now.is_none() {
                        let Some((key, arrived)) = todo.next() else { break };
                        let mut fresh = State::default();
                        let state = states.get_mut(&key).unwrap_or(&mut fresh);
                        let update = Update::new(arrived, state, kind, &options);
                        *now = Some(Work { key, update, fresh });
                    }
                    let Some(work) = now else { break };
                    let held = states.get_mut(&work.key);
                    let state = held.unwrap_or(&mut work.fresh);
                    let through = work.update.resume(state, kind, &options, &mut budget, &mut |a, b, diff| {
                        if let Some(row) = result(&work.key, a, b) {
                            session.give((row, *epoch, diff));
                        }
                    });
                    if !through {
                        activator.activate();
                        return;
                    }
                    let Some(Work { key, update, mut fresh }) = now.take() else { break };
                    match states.get_mut(&key) {
                        _ if !more => (),
                        Some(state) => {
                            update.store(state);
                            if state.is_empty() {
                                states.remove(&key);
                            }
                        }
                        None => {
                            update.store(&mut fresh);
                            if !fresh.is_empty() {
                                states.insert(key, fresh);
                            }
                        }
                    }
                }
                drop(session);
                ready.pop_front();
            }
            if ended && open.is_empty() && !states.is_empty() {
                options.reaper.take(std::mem::take(&mut states));
            }
        }
    });
    stream.as_collection()
}
