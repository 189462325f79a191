//! What a worker adds up before events go to the owners of their groups.

use std::hash::Hash;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::aggregate::{Accumulator, Group, MOST_GROUPS, Trial};

/// What is given to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Given<I, A> {
    /// By one event.
    One(I),
    /// By several, or by one: what they come to.
    Sum(Group<A>),
}

/// What an accumulation with this key and accumulator reads.
pub type GivenTo<K, A> = (K, Given<<A as Accumulator>::Input, A>);

/// Adds up what a worker has for the same groups, so that a group with half of all events is no burden to its owner.
///
/// It holds events back from [`Combiner::add`] to [`Combiner::flush`], which are those of one message, and tries from time to time
/// whether that pays. With one worker it never does.
#[derive(Debug)]
pub struct Combiner<K, A> {
    groups: HashMap<K, Group<A>>,
    trial: Trial,
    is_alone: bool,
}

impl<K: Hash + Eq, A: Accumulator> Combiner<K, A> {
    /// For one of so many workers.
    pub fn new(workers: usize) -> Self {
        Combiner { groups: HashMap::new(), trial: Trial::default(), is_alone: workers == 1 }
    }

    /// Takes what an event gives to a group.
    #[inline]
    pub fn add(&mut self, key: K, input: A::Input, mut give: impl FnMut(GivenTo<K, A>)) {
        if self.is_alone || !self.trial.row() {
            give((key, Given::One(input)));
            return;
        }
        self.groups.entry(key).or_default().add(input, 1);
        if self.groups.len() >= MOST_GROUPS {
            self.flush(give);
        }
    }

    /// Gives everything that is held back.
    pub fn flush(&mut self, mut give: impl FnMut(GivenTo<K, A>)) {
        if !self.groups.is_empty() {
            self.trial.end(self.groups.len());
            self.groups.drain().for_each(|(key, group)| give((key, Given::Sum(group))));
        }
    }
}

/// Adds up what each message of events has for the same groups, for [`accumulate`](super::accumulate()).
pub fn combine<'scope, K, A>(events: StreamVec<'scope, u64, (K, A::Input)>) -> StreamVec<'scope, u64, GivenTo<K, A>>
where
    K: Hash + Eq + Clone + 'static,
    A: Accumulator,
    A::Input: Clone + 'static,
{
    let mut combiner = Combiner::<K, A>::new(events.scope().peers());
    type Builder<T> = CapacityContainerBuilder<Vec<T>>;
    events.unary::<Builder<GivenTo<K, A>>, _, _, _>(Pipeline, "Combine", |_, _| {
        move |input, output| {
            input.for_each_time(|time, data| {
                let mut session = output.session(&time);
                for (key, input) in data.flat_map(|d| d.drain(..)) {
                    combiner.add(key, input, |given| session.give(given));
                }
                combiner.flush(|given| session.give(given));
            });
        }
    })
}
