//! What a worker can add up before rows go to others: a group with half of all rows then costs its owner next to nothing.

use std::collections::BTreeMap;
use std::hash::Hash;

use differential_dataflow::VecCollection;
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
const MOST_GROUPS: usize = 1 << 14;

/// So many rows are sent on as they come after it did not pay to hold some back.
const UNTRIED_ROWS: usize = 1 << 18;

/// The change of a group, at its epoch.
pub(super) type Partial<K, A> = (K, Group<A>, u64);

/// Whether to look for rows of the same group. It pays if two of them are found in three, or more.
#[derive(Default)]
struct Trial {
    rows: usize,
    /// Rows that are sent on before it is tried again.
    untried: usize,
}

impl Trial {
    fn row(&mut self) -> bool {
        self.rows += 1;
        self.untried = self.untried.saturating_sub(1);
        self.untried == 0
    }

    /// So many groups were made of the rows since the last end.
    fn end(&mut self, groups: usize) {
        if groups * 3 > self.rows * 2 {
            self.untried = UNTRIED_ROWS;
        }
        self.rows = 0;
    }
}

/// Adds up the changes of each epoch as far as this worker has them. What comes out has the same sum.
pub(super) fn partial<'scope, K, A>(
    rows: VecCollection<'scope, u64, (K, A::Input), isize>,
) -> StreamVec<'scope, u64, Partial<K, A>>
where
    K: ExchangeData + Hash + Eq + Clone,
    A: Accumulator + ExchangeData,
    A::Input: 'static,
{
    type Builder<T> = CapacityContainerBuilder<Vec<T>>;
    rows.inner.unary_frontier::<Builder<Partial<K, A>>, _, _, _>(Pipeline, "AggregatePartial", |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, Changes<K, A>)> = BTreeMap::new();
        let mut passing: Vec<Partial<K, A>> = Vec::new();
        let mut trial = Trial::default();
        move |(input, frontier), output| {
            input.for_each_time(|time, data| {
                for ((key, value), epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    if !trial.row() {
                        let mut group = Group::default();
                        group.add(value, diff as i64);
                        passing.push((key, group, epoch));
                        continue;
                    }
                    // By the time in the update, which may be later than that of the message.
                    let (_, changes) =
                        open.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), Changes::default()));
                    changes.entry(key).or_default().add(value, diff as i64);
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
