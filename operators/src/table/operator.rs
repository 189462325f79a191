//! The dataflow shell of a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use differential_dataflow::{AsCollection, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::fold::{Candidates, Rows, Versioned};

/// Options of [`upsert`].
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// How long a versioned deletion is remembered, in the unit of epochs.
    pub remember: u64,
    /// What is counted on the way; shared by all workers.
    pub counters: Arc<TableCounters>,
}

/// What tables count.
#[derive(Debug, Default)]
pub struct TableCounters {
    /// Records that did not become their key's row, because there was a newer one.
    pub superseded: AtomicU64,
    /// Times that records of one key met which come from different partitions and have no version.
    pub ambiguous: AtomicU64,
    /// Rows at present.
    pub rows: AtomicU64,
}

/// Folds records into at most one row a key, and emits the changes of the rows.
///
/// **Law.** At every epoch the accumulated output holds, for each key, the newest of the records up to that epoch (see
/// [`Versioned::is_after`]), if it is not a deletion. It depends neither on the number of workers nor on the order of
/// arrival. An epoch whose records change no row emits nothing.
///
/// **Cost.** O(1) a record. State: one record a key, and the deletions that must be remembered.
///
/// ```
/// use flowstone_operators::table::{TableOptions, Versioned, upsert};
/// use timely::dataflow::operators::{Input, Inspect};
///
/// /// `(key, offset, value)`
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// struct Record(u64, u64, Option<String>);
///
/// impl Versioned for Record {
///     fn route(&self) -> u64 { flowstone_operators::route::Route::route(&self.0) }
///     fn same_key(&self, other: &Self) -> bool { self.0 == other.0 }
///     fn is_after(&self, other: &Self) -> bool { self.1 > other.1 }
///     fn is_deletion(&self) -> bool { self.2.is_none() }
///     fn is_remembered(&self) -> bool { false }
///     fn same_row(&self, other: &Self) -> bool { self.2 == other.2 }
///     fn is_ambiguous_with(&self, _: &Self) -> bool { false }
/// }
///
/// timely::execute_directly(|worker| {
///     let (seen, found) = std::sync::mpsc::channel();
///     let mut input = worker.dataflow::<u64, _, _>(|scope| {
///         let (input, records) = scope.new_input::<Vec<Record>>();
///         upsert(records, TableOptions::default())
///             .inspect(move |(row, epoch, diff)| seen.send((row.2.clone().unwrap(), *epoch, *diff)).unwrap());
///         input
///     });
///     input.send(Record(7, 1, Some("kitchen".into())));
///     input.send(Record(7, 2, Some("living room".into())));
///     input.advance_to(1);
///     input.send(Record(7, 3, None));
///     input.close();
///     while worker.step() {}
///     let row = "living room".to_owned();
///     assert_eq!(found.iter().collect::<Vec<_>>(), [(row.clone(), 0, 1), (row, 1, -1)]);
/// });
/// ```
pub fn upsert<'scope, R>(
    records: StreamVec<'scope, u64, R>,
    options: TableOptions,
) -> VecCollection<'scope, u64, R, isize>
where
    R: Versioned + ExchangeData + Clone,
{
    let by_key = Exchange::new(R::route);
    let stream = records.unary_frontier::<CapacityContainerBuilder<Vec<_>>, _, _, _>(by_key, "Upsert", |_, _| {
        let mut rows = Rows::new(options.remember);
        let mut open: BTreeMap<u64, (Capability<u64>, Candidates<R>)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each_time(|time, data| {
                let retained = || (time.retain(output.output_index()), Candidates::default());
                let (_, candidates) = open.entry(*time.time()).or_insert_with(retained);
                data.flat_map(|d| d.drain(..)).for_each(|record| candidates.offer(record));
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontier.less_equal(e.key())) {
                let (epoch, (capability, candidates)) = entry.remove_entry();
                let mut session = output.session(&capability);
                let more = !frontier.is_empty() || !open.is_empty();
                let mut grown = 0;
                let found = rows.apply(epoch, candidates, more, |row, diff| {
                    grown += diff;
                    session.give((row, epoch, diff));
                });
                options.counters.superseded.fetch_add(found.superseded, Relaxed);
                options.counters.ambiguous.fetch_add(found.ambiguous, Relaxed);
                options.counters.rows.fetch_add(grown as u64, Relaxed);
            }
        }
    });
    stream.as_collection()
}
