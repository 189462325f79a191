//! What a worker can add up before rows go to others: a group with half of all rows then costs its owner next to nothing.

use std::collections::BTreeMap;
use std::hash::Hash;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::accumulator::Accumulator;
use super::group::Group;
use super::groups::Changes;

/// So many groups are held back at most: a bulk load is one epoch.
pub(crate) const MOST_GROUPS: usize = 1 << 14;

/// So many rows are sent on as they come after it did not pay to hold some back.
const UNTRIED_ROWS: usize = 1 << 18;

/// The change of a group, at its epoch.
pub(crate) type Partial<K, A> = (K, Group<A>, u64);

/// Whether to look for rows of the same group. It pays if two of them are found in three, or more.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    rows: usize,
    /// Rows that are sent on before it is tried again.
    untried: usize,
}

impl Trial {
    /// Takes note of a row; says whether to hold it back.
    pub(crate) fn row(&mut self) -> bool {
        self.rows += 1;
        self.untried = self.untried.saturating_sub(1);
        self.untried == 0
    }

    /// So many groups were made of the rows since the last end.
    pub(crate) fn end(&mut self, groups: usize) {
        if groups * 3 > self.rows * 2 {
            self.untried = UNTRIED_ROWS;
        }
        self.rows = 0;
    }
}

/// Adds up the changes of each epoch as far as this worker has them. What comes out has the same sum. `change` says of what a
/// message brings, and of the message's epoch: the group, what is given to it, at which epoch, and how often.
pub(crate) fn partial<'scope, K, A, D>(
    rows: StreamVec<'scope, u64, D>,
    change: impl Fn(D, u64) -> (K, A::Input, u64, i64) + 'static,
) -> StreamVec<'scope, u64, Partial<K, A>>
where
    K: ExchangeData + Hash + Eq + Clone,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
    D: 'static,
{
    type Builder<T> = CapacityContainerBuilder<Vec<T>>;
    rows.unary_frontier::<Builder<Partial<K, A>>, _, _, _>(Pipeline, "AggregatePartial", |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, Changes<K, A>)> = BTreeMap::new();
        let mut passing: Vec<Partial<K, A>> = Vec::new();
        let mut trial = Trial::default();
        move |(input, frontier), output| {
            input.for_each_time(|time, data| {
                for (key, value, epoch, times) in data.flat_map(|d| d.drain(..)).map(|d| change(d, *time.time())) {
                    if !trial.row() {
                        let mut group = Group::default();
                        group.add(value, times);
                        passing.push((key, group, epoch));
                        continue;
                    }
                    // By the time in the update, which may be later than that of the message.
                    let (_, changes) =
                        open.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Changes::default()));
                    changes.entry(key).or_default().add(value, times);
                    if changes.len() >= MOST_GROUPS {
                        trial.end(changes.len());
                        passing.extend(changes.drain().map(|(key, group)| (key, group, epoch)));
                    }
                }
                output.session(&time).give_iterator(passing.drain(..));
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontier.less_equal(e.key())) {
                let (epoch, (capability, changes)) = entry.remove_entry();
                trial.end(changes.len());
                let changes = changes.into_iter().map(|(key, group)| (key, group, epoch));
                output.session(&capability).give_iterator(changes);
            }
        }
    })
}
