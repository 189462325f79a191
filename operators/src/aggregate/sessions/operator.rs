//! Sessions as an operator.

use std::hash::Hash;

use differential_dataflow::VecCollection;
use hashbrown::HashMap;
use timely::ExchangeData;

use super::Session;
use super::by_time::ByTime;
use super::of_key::Sessions;
use crate::aggregate::accumulator::Accumulator;
use crate::aggregate::group::Group;
use crate::aggregate::operator::folded;
use crate::aggregate::options::AggregateOptions;
use crate::aggregate::state::State;
use crate::route::Route;

/// A row: its key, its time, and what it gives.
type Timed<K, A> = (K, (i64, <A as Accumulator>::Input));

/// Adds up the rows of each session of each key, and keeps the result up to date. Rows come with their time; those of a key
/// that are less than `gap` apart are of one session.
///
/// **Law.** That of [`aggregate`](crate::aggregate::aggregate), for groups that are the sessions of the accumulated input: a
/// row may join two of them, and one that is taken back may part them.
///
/// **Cost.** Work: O(log n) in the times of its key for each time at which an epoch changes something, [`Accumulator::merge`]
/// once for each of these and once for each session that is joined to another, and `result` twice for each session that an epoch
/// changes. Where a row that goes parts a session, both parts are added up anew from their times. State: an accumulator for each
/// time that has rows, and for each session; they go with the last row. That is of the order of the rows: a session that
/// may be parted can not forget what it is made of.
///
/// Two visits of user 7, until it is known of a click between them:
///
/// ```
/// use differential_dataflow::input::InputSession;
/// use flowstone_operators::aggregate::{AggregateOptions, Group, Session, sessions};
///
/// timely::execute_directly(move |worker| {
///     let mut clicks = InputSession::new();
///     let (seen, found) = std::sync::mpsc::channel();
///     let probe = worker.dataflow(|scope| {
///         let rows = clicks.to_collection(scope);
///         let result = |user: &u32, of: Session, group: &Group<()>| Some((*user, of.start, of.end, group.rows));
///         let results = sessions(rows, 30, AggregateOptions::default(), result);
///         results.inspect(move |(row, epoch, diff)| seen.send((*row, *epoch, *diff)).unwrap()).probe().0
///     });
///     [10, 20, 60].into_iter().for_each(|time| clicks.insert((7, (time, ()))));
///     clicks.advance_to(1);
///     clicks.insert((7, (40, ())));
///     clicks.close();
///     worker.step_while(|| !probe.done());
///     let two = [((7, 10, 50, 2), 0, 1), ((7, 60, 90, 1), 0, 1)];
///     let joined = [((7, 10, 50, 2), 1, -1), ((7, 10, 90, 4), 1, 1), ((7, 60, 90, 1), 1, -1)];
///     assert_eq!(found.iter().collect::<Vec<_>>(), [&two[..], &joined[..]].concat());
/// });
/// ```
///
/// # Panics
/// If `gap` is not positive.
pub fn sessions<'scope, K, A, O>(
    rows: VecCollection<'scope, u64, Timed<K, A>, isize>,
    gap: i64,
    options: AggregateOptions,
    result: impl FnMut(&K, Session, &Group<A>) -> Option<O> + 'static,
) -> VecCollection<'scope, u64, O, isize>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    O: Eq + Clone + 'static,
{
    assert!(gap > 0, "a session lasts for a while");
    folded(rows, options, Keys { keys: HashMap::new(), loaded: HashMap::new(), gap, result })
}

/// The sessions of all keys of one worker.
struct Keys<K, A, F> {
    keys: HashMap<K, Sessions<A>>,
    /// What is not known to be complete.
    loaded: HashMap<K, Group<ByTime<A>>>,
    gap: i64,
    result: F,
}

impl<K, A, O, F> State<K, ByTime<A>, O> for Keys<K, A, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    A: Accumulator + Send,
    O: Eq,
    F: FnMut(&K, Session, &Group<A>) -> Option<O>,
{
    fn load(&mut self, key: K, change: impl FnOnce(&mut Group<ByTime<A>>)) {
        change(self.loaded.entry(key).or_default());
    }

    fn settle(&mut self) {
        for (key, group) in std::mem::take(&mut self.loaded) {
            let sessions = self.keys.entry(key.clone()).or_default();
            sessions.change(group.of, self.gap, |_, _| None::<()>, |_, _| ());
            if sessions.is_empty() {
                self.keys.remove(&key);
            }
        }
    }

    fn change(&mut self, key: K, change: Group<ByTime<A>>, keep: bool, emit: impl FnMut(O, isize)) {
        let sessions = self.keys.entry(key.clone()).or_default();
        sessions.change(change.of, self.gap, |session, group| (self.result)(&key, session, group), emit);
        if sessions.is_empty() || !keep {
            self.keys.remove(&key);
        }
    }

    fn take(&mut self) -> Option<Box<dyn std::any::Any + Send>> {
        (!self.keys.is_empty()).then(|| Box::new(std::mem::take(&mut self.keys)) as _)
    }
}
