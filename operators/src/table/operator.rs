//! [`upsert`]: the newest record of a key is its row.

use differential_dataflow::VecCollection;
use timely::ExchangeData;
use timely::dataflow::StreamVec;

use super::options::{TableInput, TableOptions};
use super::outcome::TableChange;
use super::rows::Rows;
use super::shell::{Folded, fold};
use super::versioned::Versioned;

/// Folds records into at most one row a key, and emits the changes of the rows; and those of the state behind them, for a
/// journal, which later brings them back as `sealed`.
///
/// **Law.** At every epoch the accumulated output holds, for each key, the newest of the records up to that epoch (see
/// [`Versioned::is_after`]), if it is not a deletion. It depends neither on the number of workers nor on the order of
/// arrival. An epoch whose records change no row emits nothing. A table that is given the journalled changes of the epochs up
/// to some epoch, and then the records of the later ones, emits the same at these as one that has seen all records.
///
/// With `keep_ns`, a record that is too old at its epoch goes as it comes, with the row that it replaces; other rows go at the
/// first tick at which they are too old.
///
/// Epochs that are hidden are folded, and journalled at once; their net change is emitted at the epoch of the reveal.
///
/// **Cost.** O(1) a record. State: one record a key, and the deletions that must be remembered; with `keep_ns` 8 to
/// 16 bytes a row more, and up to 64 where rows are so rare that not two have their time in one minute.
///
/// ```
/// use flowstone_operators::table::{TableInput, TableOptions, Versioned, upsert};
/// use timely::dataflow::operators::{Input, Inspect, ToStream};
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
///         let (input, live) = scope.new_input::<Vec<Record>>();
///         let sealed = None::<(u64, Record)>.to_stream(scope).container::<Vec<_>>();
///         let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
///         let (rows, _changes) = upsert(TableInput { live, sealed, reveals, ticks: None }, TableOptions::default());
///         rows.inspect(move |(row, epoch, diff)| seen.send((row.2.clone().unwrap(), *epoch, *diff)).unwrap());
///         input
///     });
///     input.advance_to(1);
///     input.send(Record(7, 1, Some("kitchen".into())));
///     input.send(Record(7, 2, Some("living room".into())));
///     input.advance_to(2);
///     input.send(Record(7, 3, None));
///     input.close();
///     while worker.step() {}
///     let row = "living room".to_owned();
///     assert_eq!(found.iter().collect::<Vec<_>>(), [(row.clone(), 1, 1), (row, 2, -1)]);
/// });
/// ```
pub fn upsert<'scope, R, V>(
    input: TableInput<'scope, R, V>,
    options: TableOptions,
) -> (VecCollection<'scope, u64, R, isize>, StreamVec<'scope, u64, TableChange<R>>)
where
    R: Versioned + ExchangeData + Clone + Send,
    V: Clone + 'static,
{
    let rows = Rows::new(options.remember, options.keep_ns);
    let Folded { rows, changes, .. } = fold("Upsert", input, options, rows);
    (rows, changes)
}
