//! [`generations`]: of each series of operations, the rows of the newest that is finished.

use differential_dataflow::VecCollection;
use timely::ExchangeData;
use timely::dataflow::StreamVec;

use super::record::{Generational, Refusal};
use super::series::Rules;
use super::state::Generations;
use crate::table::shell::{Folded, fold};
use crate::table::{TableChange, TableInput, TableOptions};

/// What a table of generations puts out.
pub struct Output<'scope, R: 'static> {
    /// The rows that are shown.
    pub rows: VecCollection<'scope, u64, R, isize>,
    /// Changes of all its state, for a journal, which later brings them back as `sealed`.
    pub changes: StreamVec<'scope, u64, TableChange<R>>,
    /// Records that would end an operation for a second time in another way, each once.
    pub refused: StreamVec<'scope, u64, (R, Refusal)>,
}

/// Folds records into rows that belong to operations, and emits the changes of those that are shown: of each series the rows
/// of the newest operation that is finished, and all rows that belong to none.
///
/// **Law.** At every epoch, of the records up to it: an operation is *finished* or *canceled* by the first of its records that
/// says so, and stays it. It is *complete* if it is finished, and if there were as many distinct keys of it, deleted ones
/// included, as the least number that its records wait for. The accumulated output holds, for each key of the complete
/// operation with the highest number of its series, and for each key of no operation, the newest record
/// ([`Versioned::is_after`](crate::table::Versioned::is_after)), if it is not a deletion. So it depends neither on the number
/// of workers, nor on the cut into epochs, nor on whether rows or ends of operations come first. All rows of an operation come,
/// and all of the one before go, at one epoch. A table that is given the journalled changes of the epochs up to some epoch, and
/// then the records of the later ones, emits the same at these as one that has seen all records.
///
/// Records of operations that are older than the one that is shown, or that were canceled, are dropped and counted; one that
/// would cancel a finished operation, or finish a canceled one, is refused. How an old operation has ended is forgotten after
/// [`TableOptions::remember`]; what is said of it then is counted and nothing else. Deletions of keys in operations are
/// remembered for as long, and a forgotten one does not count as a key. With [`TableOptions::keep_ns`], rows that are not shown
/// stay, and go as others do once they are.
///
/// **Cost.** O(1) a record, and O(log n) to sort those of an epoch by series; a swap O(1) for each row that goes or comes.
/// State: as of [`upsert`](crate::table::upsert()), for the rows that are shown and for those of later operations; about
/// 200 bytes a series, and as much and a record for each operation that is remembered.
///
/// ```
/// use flowstone_operators::generations::{Generational, Role, Stage, generations};
/// use flowstone_operators::route::Route;
/// use flowstone_operators::table::{TableInput, TableOptions, Versioned};
/// use timely::dataflow::operators::{Input, Inspect, ToStream};
///
/// /// Of one series. Rows have a key and a place in their log.
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// enum Record {
///     Row { operation: u64, key: u64, offset: u64 },
///     Finished { operation: u64, awaits: u64 },
/// }
/// use Record::{Finished, Row};
///
/// impl Record {
///     /// The operation, and what it says of it: a row, or its end.
///     fn key(&self) -> (u64, Option<u64>) {
///         match self {
///             Row { operation, key, .. } => (*operation, Some(*key)),
///             Finished { operation, .. } => (*operation, None),
///         }
///     }
/// }
///
/// impl Versioned for Record {
///     fn route(&self) -> u64 { 0 }
///     fn key_hash(&self) -> u64 { self.key().1.unwrap_or(0).route() }
///     fn same_key(&self, other: &Self) -> bool { self.key() == other.key() }
///     fn is_after(&self, other: &Self) -> bool {
///         matches!((self, other), (Row { offset, .. }, Row { offset: other, .. }) if offset > other)
///     }
///     fn is_deletion(&self) -> bool { false }
///     fn is_remembered(&self) -> bool { true }
///     fn same_row(&self, _: &Self) -> bool { true }
///     fn is_ambiguous_with(&self, _: &Self) -> bool { false }
/// }
///
/// impl Generational for Record {
///     fn role(&self) -> Role {
///         match *self {
///             Row { operation, .. } => Role::Row(operation),
///             Finished { operation, awaits } => Role::Operation(operation, Some(Stage::Finished { awaits })),
///         }
///     }
///     fn same_series(&self, _: &Self) -> bool { true }
///     fn fulfilled(&self) -> Self { Finished { operation: self.key().0, awaits: 0 } }
/// }
///
/// timely::execute_directly(|worker| {
///     let (seen, found) = std::sync::mpsc::channel();
///     let mut input = worker.dataflow::<u64, _, _>(|scope| {
///         let (input, live) = scope.new_input::<Vec<Record>>();
///         let sealed = None::<(u64, Record)>.to_stream(scope).container::<Vec<_>>();
///         let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
///         let input_of_table = TableInput { live, sealed, reveals, ticks: None };
///         let output = generations(input_of_table, TableOptions::default());
///         output.rows.inspect(move |(row, epoch, diff)| seen.send((row.key(), *epoch, *diff)).unwrap());
///         input
///     });
///     input.advance_to(1);
///     input.send(Row { operation: 1, key: 7, offset: 1 });
///     input.send(Finished { operation: 1, awaits: 0 });
///     input.advance_to(2);
///     input.send(Row { operation: 2, key: 7, offset: 2 });
///     input.send(Finished { operation: 2, awaits: 2 });
///     input.advance_to(3);
///     input.send(Row { operation: 2, key: 8, offset: 3 });
///     input.close();
///     while worker.step() {}
///     let mut changes: Vec<_> = found.iter().collect();
///     changes.sort();
///     let (old, new) = ((1, Some(7)), [(2, Some(7)), (2, Some(8))]);
///     assert_eq!(changes, [(old, 1, 1), (old, 3, -1), (new[0], 3, 1), (new[1], 3, 1)]);
/// });
/// ```
pub fn generations<'scope, R, V>(input: TableInput<'scope, R, V>, options: TableOptions) -> Output<'scope, R>
where
    R: Generational + ExchangeData + Clone + Send,
    V: Clone + 'static,
{
    let rules = Rules { remember: options.remember, keep_ns: options.keep_ns };
    let Folded { rows, changes, refused } = fold("Generations", input, options, Generations::new(rules));
    Output { rows, changes, refused }
}
