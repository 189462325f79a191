//! The dataflow shell of joins of intervals.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use differential_dataflow::{AsCollection, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::gather::{Arrived, Keys, Todo};
use super::options::OverlapOptions;
use super::results::Rows;
use super::state::{Known, Matched};
use super::update::{Join, Kind};
use super::worker::Worker;
use crate::route::Route;

/// So many pairs are looked at before other operators get their turn.
const FUEL: usize = 1 << 15;

/// Inner.
pub fn overlap_join<'scope, K, A, B, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route,
    A: ExchangeData + Ord,
    B: ExchangeData + Ord,
    D: Clone + 'static,
    F: Fn(&K, &A, &B) -> D + 'static,
{
    join::<_, _, _, isize, _, _>(left, right, Join { kind: Kind::Inner, options }, move |key, a, b| {
        result(key, a, b.expect("an inner join puts out pairs alone"))
    })
}

/// Left.
pub fn overlap_join_left<'scope, K, A, B, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route,
    A: ExchangeData + Ord,
    B: ExchangeData + Ord,
    D: Clone + 'static,
    F: Fn(&K, &A, Option<&B>) -> D + 'static,
{
    join::<_, _, _, Matched, _, _>(left, right, Join { kind: Kind::Left, options }, result)
}

/// Anti.
pub fn overlap_join_anti<'scope, K, A, B>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    options: OverlapOptions<A, B>,
) -> VecCollection<'scope, u64, (K, A), isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route,
    A: ExchangeData + Ord + Clone,
    B: ExchangeData + Ord,
{
    join::<_, _, _, Matched, _, _>(left, right, Join { kind: Kind::Anti, options }, |key, a, _| {
        (key.clone(), a.clone())
    })
}

/// An epoch under way.
struct Ready<K, A, B> {
    epoch: u64,
    capability: Capability<u64>,
    todo: Todo<K, A, B>,
}

/// What came for an epoch.
struct Open<K, A, B> {
    capability: Capability<u64>,
    keys: Keys<K, A, B>,
}

type Epochs<K, A, B> = BTreeMap<u64, Open<K, A, B>>;

fn join<'scope, K, A, B, L, D, F>(
    left: VecCollection<'scope, u64, (K, A), isize>,
    right: VecCollection<'scope, u64, (K, B), isize>,
    join: Join<A, B>,
    result: F,
) -> VecCollection<'scope, u64, D, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route,
    A: ExchangeData + Ord,
    B: ExchangeData + Ord,
    L: Known + Send + 'static,
    D: Clone + 'static,
    F: Fn(&K, &A, Option<&B>) -> D + 'static,
{
    let mut builder = OperatorBuilder::new("OverlapJoin".to_owned(), left.inner.scope());
    let activator = left.inner.scope().activator_for(builder.operator_info().address);
    let mut left = builder.new_input(left.inner, Exchange::new(|((key, _), _, _): &((K, A), u64, isize)| key.route()));
    let mut right =
        builder.new_input(right.inner, Exchange::new(|((key, _), _, _): &((K, B), u64, isize)| key.route()));
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, isize)>>>::from(output);

    builder.build(move |_| {
        let mut worker = Worker::<K, A, B, L>::new(join);
        let mut open = Epochs::new();
        let mut ready: VecDeque<Ready<K, A, B>> = VecDeque::new();
        move |frontiers| {
            left.for_each_time(|time, data| {
                data.for_each(|rows| take_in(&mut worker, &mut open, &time, rows, |of| &mut of.left));
            });
            right.for_each_time(|time, data| {
                data.for_each(|rows| take_in(&mut worker, &mut open, &time, rows, |of| &mut of.right));
            });
            let may_change = |epoch: &u64| frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            while let Some(entry) = open.first_entry().filter(|entry| !may_change(entry.key())) {
                let (epoch, Open { capability, keys }) = entry.remove_entry();
                ready.push_back(Ready { epoch, capability, todo: Todo::new(keys) });
            }

            // After the end of the input nobody asks what is there: a single epoch builds no state.
            let ended = frontiers.iter().all(|frontier| frontier.is_empty());
            let mut output = output.activate();
            let mut budget = FUEL;
            while let Some(mut now) = ready.pop_front() {
                let more = !ended || !ready.is_empty();
                let mut session = output.session(&now.capability);
                let mut rows = Rows::new(now.epoch, &result, |rows: &mut Vec<_>| session.give_container(rows));
                let done = worker.resume(&mut now.todo, more, &mut budget, &mut rows);
                rows.finish();
                if !done {
                    drop(session);
                    ready.push_front(now);
                    activator.activate();
                    return;
                }
            }
            if ended && open.is_empty() {
                worker.end();
            }
        }
    });
    stream.as_collection()
}

/// Sorts rows by their own epochs, which may be later than that of the message.
fn take_in<K, A, B, C, L>(
    worker: &mut Worker<K, A, B, L>,
    epochs: &mut Epochs<K, A, B>,
    time: &InputCapability<u64>,
    rows: &mut Vec<((K, C), u64, isize)>,
    side: impl Fn(&mut Arrived<A, B>) -> &mut Vec<(C, isize)>,
) where
    K: Ord + Hash,
{
    let mut at: Option<(u64, &mut Keys<K, A, B>)> = None;
    for ((key, content), epoch, diff) in rows.drain(..).filter(|(_, _, diff)| *diff != 0) {
        let keys = match at.take() {
            Some((of, keys)) if of == epoch => keys,
            _ => {
                let open = || Open { capability: time.delayed(&epoch, 0), keys: worker.spare.keys() };
                &mut epochs.entry(epoch).or_insert_with(open).keys
            }
        };
        side(keys.of_key(key)).push((content, diff));
        at = Some((epoch, keys));
    }
}
