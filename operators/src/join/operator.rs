//! Joins as an operator.

use std::hash::Hash;

use differential_dataflow::VecCollection;
use hashbrown::HashMap;
use timely::ExchangeData;

use super::sides::{Side, Sides};
use crate::aggregate::{AggregateOptions, Group, State, folded};
use crate::route::Route;

/// What becomes of rows of the left side that have no partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// They give nothing: an inner join.
    #[default]
    Drop,
    /// They give a result without a partner, for as long as they have none: a left join.
    Keep,
}

/// Pairs each row of the left side with each row of the right side of the same key, and keeps the pairs up to date.
///
/// **Law.** At every epoch the accumulated output is `result` of each pair of a left and a right row of the accumulated inputs
/// that have the same key, as often as the product of how often both are there; with [`Unmatched::Keep`] also that of each left
/// row whose key has no right row, with `None`. It depends neither on the number of workers nor on how the inputs are cut into
/// epochs or ordered inside one.
///
/// **Cost.** Work: for each row that an epoch changes, a look-up, and `result` for each of its partners; with
/// [`Unmatched::Keep`] also for each left row of a key that gets its first right row, or loses its last. State: the rows of both
/// sides; they go when they are taken back. The partners of one key are put out in one go, so a key with millions on both
/// sides is better avoided.
///
/// What is known of assets, beside what was found in them:
///
/// ```
/// use differential_dataflow::input::InputSession;
/// use flowstone_operators::aggregate::AggregateOptions;
/// use flowstone_operators::join::{Unmatched, join};
///
/// timely::execute_directly(move |worker| {
///     let (mut found, mut titles) = (InputSession::new(), InputSession::new());
///     let (seen, pairs) = std::sync::mpsc::channel();
///     let probe = worker.dataflow(|scope| {
///         let (left, right) = (found.to_collection(scope), titles.to_collection(scope));
///         let result = |_: &u32, label: &String, title: Option<&String>| (label.clone(), title.cloned());
///         let joined = join(left, right, Unmatched::Keep, AggregateOptions::default(), result);
///         joined.inspect(move |(row, epoch, diff)| seen.send((row.clone(), *epoch, *diff)).unwrap()).probe().0
///     });
///     found.insert((7, "Joey".to_owned()));
///     found.advance_to(1);
///     titles.advance_to(1);
///     titles.insert((7, "Pilot".to_owned()));
///     found.close();
///     titles.close();
///     worker.step_while(|| !probe.done());
///     let row = |title: Option<&str>| ("Joey".to_owned(), title.map(str::to_owned));
///     let mut pairs: Vec<_> = pairs.iter().collect();
///     pairs.sort();
///     assert_eq!(pairs, [(row(None), 0, 1), (row(None), 1, -1), (row(Some("Pilot")), 1, 1)]);
/// });
/// ```
pub fn join<'scope, K, L, R, O>(
    left: VecCollection<'scope, u64, (K, L), isize>,
    right: VecCollection<'scope, u64, (K, R), isize>,
    unmatched: Unmatched,
    options: AggregateOptions,
    result: impl FnMut(&K, &L, Option<&R>) -> O + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    L: ExchangeData + Ord + Clone + Send,
    R: ExchangeData + Ord + Clone + Send,
    O: Eq + Clone + 'static,
{
    let left = left.map(|(key, row)| (key, Side::Left(row)));
    let right = right.map(|(key, row)| (key, Side::Right(row)));
    folded(left.concat(right), options, Keys { keys: HashMap::new(), unmatched, result })
}

/// The rows of all keys of one worker.
struct Keys<K, L: Ord, R: Ord, F> {
    keys: HashMap<K, Sides<L, R>>,
    unmatched: Unmatched,
    result: F,
}

impl<K, L, R, O, F> State<K, Sides<L, R>, O> for Keys<K, L, R, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    L: Ord + Clone + Send + 'static,
    R: Ord + Clone + Send + 'static,
    F: FnMut(&K, &L, Option<&R>) -> O,
{
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<Sides<L, R>>)) {
        let sides = self.keys.entry(key).or_default();
        let mut group = Group { rows: 0, of: std::mem::take(sides) };
        change(&mut group);
        *sides = group.of;
    }

    fn settle(&mut self) {
        self.keys.retain(|_, sides| !sides.is_empty());
    }

    fn change(&mut self, key: K, change: Group<Sides<L, R>>, keep: bool, mut emit: impl FnMut(O, isize)) {
        let sides = self.keys.entry(key.clone()).or_default();
        sides.change(change.of, self.unmatched, |left, right, times| {
            emit((self.result)(&key, left, right), times as isize);
        });
        if !keep || sides.is_empty() {
            self.keys.remove(&key);
        }
    }

    fn take(&mut self) -> Option<Box<dyn std::any::Any + Send>> {
        (!self.keys.is_empty()).then(|| Box::new(std::mem::take(&mut self.keys)) as _)
    }
}
