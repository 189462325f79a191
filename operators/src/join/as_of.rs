//! [`as_of()`]: look-ups that are made once.

use std::collections::BTreeMap;
use std::hash::Hash;

use differential_dataflow::VecCollection;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::looking::{Changes, Looked, Looking};
use crate::reaper::Reaper;
use crate::route::{Route, owner};

/// What [`as_of()`] reads.
pub struct AsOfInput<'scope, K: 'static, L: 'static, R: 'static, V: 'static> {
    /// Rows, by what they are looked up by.
    pub left: VecCollection<'scope, u64, (K, L), isize>,
    /// The rows that are found: at most one of a key.
    pub right: VecCollection<'scope, u64, (K, R), isize>,
    /// As that of tables: one message on each worker, at the epoch that shows everything up to it; or none. Its frontier passes
    /// an epoch only when that is known not to be the one.
    pub reveals: StreamVec<'scope, u64, V>,
}

/// Where look-ups start.
#[derive(Clone, Debug, Default)]
pub struct AsOfOptions {
    /// What the left rows of the epochs up to this one have found is known, and not told.
    pub known_through: u64,
    /// Whether nothing is known all the same: then all left rows are looked up at the reveal.
    pub is_new: bool,
    /// Whether epochs are hidden: neither side changes in those that are not known before the reveal.
    pub is_hidden: bool,
    /// Takes the rows when the input has ended.
    pub reaper: Reaper,
}

/// Looks each left row up on the right side, once: when it comes. A table must keep what is told, because it does not follow from
/// the rows: it is told never again.
///
/// **Law.** At each epoch after `known_through`, what is told is `result` of [`Looked::Gone`] for each left row that goes in it, and of
/// [`Looked::Came`] for each that comes, with the row that the right side has of its key at the end of that epoch. An epoch that changes
/// only the right side tells nothing. What is told depends on what both sides are in each epoch, but neither on the number of workers nor on
/// the order inside an epoch.
///
/// The frontier of what is told does not wait for that of the left side while epochs are hidden, since a journal must be able to
/// seal these: it passes them with `reveals`.
///
/// **Cost.** Work: a look-up for each left row that changes. State: the right side; both sides of epochs that are not complete.
///
/// Who played, by the name that they had then:
///
/// ```
/// use differential_dataflow::input::InputSession;
/// use flowstone_operators::join::{AsOfInput, AsOfOptions, Looked, as_of};
/// use timely::dataflow::operators::{Inspect, Probe, ToStream};
///
/// timely::execute_directly(move |worker| {
///     let (mut plays, mut users) = (InputSession::new(), InputSession::new());
///     let (seen, told) = std::sync::mpsc::channel();
///     let probe = worker.dataflow(|scope| {
///         let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
///         let input = AsOfInput { left: plays.to_collection(scope), right: users.to_collection(scope), reveals };
///         let result = |epoch: u64, _: &u32, looked: Looked<'_, u8, String>| match looked {
///             Looked::Came(play, user) => Some((epoch, *play, user.cloned())),
///             Looked::Gone(_) => None,
///         };
///         let options = AsOfOptions::default();
///         as_of(input, options, result).inspect(move |found| seen.send(found.clone()).unwrap()).probe().0
///     });
///     users.advance_to(1);
///     plays.advance_to(1);
///     users.insert((7, "Ross".to_owned()));
///     plays.insert((7, 1));
///     users.advance_to(2);
///     plays.advance_to(2);
///     users.remove((7, "Ross".to_owned()));
///     users.insert((7, "Rachel".to_owned()));
///     plays.insert((7, 2));
///     plays.close();
///     users.close();
///     worker.step_while(|| !probe.done());
///     let told: Vec<_> = told.iter().collect();
///     assert_eq!(told, [(1, 1, Some("Ross".to_owned())), (2, 2, Some("Rachel".to_owned()))]);
/// });
/// ```
pub fn as_of<'scope, K, L, R, V, O>(
    input: AsOfInput<'scope, K, L, R, V>,
    options: AsOfOptions,
    mut result: impl FnMut(u64, &K, Looked<'_, L, R>) -> Option<O> + 'static,
) -> StreamVec<'scope, u64, O>
where
    K: ExchangeData + Ord + Hash + Clone + Route + Send,
    L: ExchangeData + Ord,
    R: ExchangeData + Ord + Send,
    V: Clone + 'static,
    O: Clone + 'static,
{
    let AsOfInput { left, right, reveals } = input;
    let scope = reveals.scope();
    let peers = scope.peers();
    let mut builder = OperatorBuilder::new("AsOf".to_owned(), scope);
    let by_key = Exchange::new(move |((key, _), ..): &((K, L), u64, isize)| owner(key.route(), peers));
    let mut left = builder.new_input_connection(left.inner, by_key, std::iter::empty());
    let by_key = Exchange::new(move |((key, _), ..): &((K, R), u64, isize)| owner(key.route(), peers));
    let mut right = builder.new_input_connection(right.inner, by_key, std::iter::empty());
    let mut reveals = builder.new_input_connection(reveals, Pipeline, std::iter::empty());
    let (told, told_stream) = builder.new_output_connection(std::iter::empty());
    let mut told = OutputBuilder::<_, CapacityContainerBuilder<Vec<O>>>::from(told);

    builder.build(move |mut capabilities| {
        let mut looking = Looking::new(options.known_through, options.is_new);
        let mut open: BTreeMap<u64, Changes<K, L, R>> = BTreeMap::new();
        let mut held = Held::new(capabilities.swap_remove(0), options.known_through + 1, options.is_hidden);
        drop(capabilities);
        move |frontiers| {
            // A change may be of a later epoch than the message that it comes with.
            left.for_each_time(|_, data| {
                let changes = data.flat_map(|d| d.drain(..)).filter(|(_, epoch, _)| looking.looks_at(*epoch));
                changes.for_each(|(row, epoch, times)| open.entry(epoch).or_default().left.push((row, times)));
            });
            right.for_each_time(|_, data| {
                let changes = data.flat_map(|d| d.drain(..));
                changes.for_each(|(row, epoch, times)| open.entry(epoch).or_default().right.push((row, times)));
            });
            reveals.for_each_time(|time, data| {
                data.for_each(|d| d.clear());
                if held.reveal(*time.time()) {
                    open.entry(*time.time()).or_default();
                }
            });
            let mut told = told.activate();
            while let Some(entry) = open.first_entry().filter(|e| !held.may_change(*e.key(), frontiers)) {
                let (epoch, changes) = entry.remove_entry();
                let mut found = Vec::new();
                looking.close(changes, held.is_reveal(epoch), |key, looked| {
                    found.extend(result(epoch, key, looked));
                });
                if !found.is_empty() {
                    told.session(&held.at(epoch)).give_iterator(found.into_iter());
                }
                held.closed(epoch);
            }
            held.advance(frontiers);
            if open.is_empty() && frontiers.iter().all(|f| f.is_empty()) {
                options.reaper.take(looking.take());
            }
        }
    });
    told_stream
}

/// The capability for what may still be told.
struct Held {
    capability: Option<Capability<u64>>,
    /// Nothing is told before the reveal.
    hidden: bool,
    reveal: Option<u64>,
}

impl Held {
    fn new(mut capability: Capability<u64>, first: u64, hidden: bool) -> Self {
        capability.downgrade(&first);
        Held { capability: Some(capability), hidden, reveal: None }
    }

    /// Takes in when what is hidden is shown; says whether anything is.
    fn reveal(&mut self, epoch: u64) -> bool {
        if self.hidden {
            self.reveal = Some(epoch);
        }
        self.hidden
    }

    fn is_reveal(&self, epoch: u64) -> bool {
        self.reveal == Some(epoch)
    }

    /// Whether an epoch is not complete yet: what it changes, or whether it is the reveal.
    fn may_change(&self, epoch: u64, frontiers: &[MutableAntichain<u64>]) -> bool {
        let [left, right, reveals] = frontiers else { unreachable!("there are three inputs") };
        left.less_equal(&epoch) || right.less_equal(&epoch) || (self.hidden && reveals.less_equal(&epoch))
    }

    fn at(&self, epoch: u64) -> Capability<u64> {
        self.capability.as_ref().expect("an epoch is told of before it is over").delayed(&epoch)
    }

    fn closed(&mut self, epoch: u64) {
        if self.is_reveal(epoch) {
            (self.hidden, self.reveal) = (false, None);
        }
    }

    /// Lets go of what can not be told any more.
    fn advance(&mut self, frontiers: &[MutableAntichain<u64>]) {
        let [left, right, reveals] = frontiers else { unreachable!("there are three inputs") };
        let least = |frontier: &MutableAntichain<u64>| frontier.frontier().first().copied();
        if self.hidden && self.reveal.is_none() && reveals.is_empty() {
            self.hidden = false; // the run ends before it has caught up
        }
        let next = match self.hidden {
            true => self.reveal.or(least(reveals)),
            false => least(left).into_iter().chain(least(right)).min(),
        };
        match (next, &mut self.capability) {
            (Some(next), Some(capability)) if next > *capability.time() => capability.downgrade(&next),
            (Some(_), _) => {}
            (None, _) => self.capability = None,
        }
    }
}
