//! A tail table: rows that are only added, and kept nowhere but in a journal, until everybody has read them.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::candidates::Candidates;
use super::outcome::TableChange;
use super::versioned::Versioned;
use crate::route::owner;

/// The changes of a collection that only grows, and the same for a journal.
type Tail<'scope, R> = (StreamVec<'scope, u64, (R, u64, isize)>, StreamVec<'scope, u64, TableChange<R>>);

/// An epoch that is not complete: the capabilities of both outputs, and its records.
type Open<R> = (Capability<u64>, Option<Capability<u64>>, Candidates<R>);

/// Appends the records of each epoch to a stream, one a key; `sealed` ones were journalled by an earlier run.
///
/// **Law.** Each key that an epoch has is emitted once at that epoch; of several records of one key the newest. Sealed records
/// are emitted as they are, and not journalled again.
///
/// **Cost.** O(1) a record. State: the records of epochs that are not complete.
pub fn tail<'scope, R>(
    live: StreamVec<'scope, u64, R>,
    sealed: StreamVec<'scope, u64, (u64, R)>,
    journalled: bool,
) -> Tail<'scope, R>
where
    R: Versioned + ExchangeData + Clone,
{
    let scope = live.scope();
    let peers = scope.peers();
    let mut builder = OperatorBuilder::new("Tail".to_owned(), scope);
    let mut live = builder.new_input(live, Exchange::new(move |record: &R| owner(record.route(), peers)));
    let mut sealed = builder.new_input(sealed, Pipeline);
    let (rows_out, rows_stream) = builder.new_output();
    let (changes_out, changes_stream) =
        builder.new_output_connection([(0, timely::progress::Antichain::from_elem(Default::default()))]);
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<(R, u64, isize)>>>::from(rows_out);
    let mut changes_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<TableChange<R>>>>::from(changes_out);

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<u64, Open<R>> = BTreeMap::new();
        move |frontiers| {
            live.for_each_time(|time, data| {
                let retained = || (time.retain(0), journalled.then(|| time.retain(1)), Candidates::default());
                let (_, _, candidates) = open.entry(*time.time()).or_insert_with(retained);
                data.flat_map(|d| d.drain(..)).for_each(|record| candidates.offer(record));
            });
            let (mut rows_out, mut changes_out) = (rows_out.activate(), changes_out.activate());
            sealed.for_each_time(|time, data| {
                let mut rows = rows_out.session(&time);
                data.flat_map(|d| d.drain(..)).for_each(|(_, record)| rows.give((record, *time.time(), 1)));
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontiers[0].less_equal(e.key())) {
                let (epoch, (rows, changes, candidates)) = entry.remove_entry();
                let (newest, _) = candidates.finish();
                if let Some(changes) = changes {
                    changes_out.session(&changes).give_iterator(newest.iter().cloned().map(TableChange::Set));
                }
                rows_out.session(&rows).give_iterator(newest.into_iter().map(|record| (record, epoch, 1)));
            }
        }
    });
    (rows_stream, changes_stream)
}
