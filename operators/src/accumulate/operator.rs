//! [`accumulate()`]: a table of groups.

use std::hash::Hash;

use differential_dataflow::VecCollection;
use timely::ExchangeData;
use timely::dataflow::StreamVec;

use super::accumulation::Accumulation;
use super::combiner::GivenTo;
use super::state::State;
use crate::aggregate::Accumulator;
use crate::route::Route;
use crate::table::shell::{Folded, fold};
use crate::table::{TableChange, TableInput, TableOptions};

/// What an accumulation reads: what events give to groups, as [`combine`](super::combine()) or a [`Combiner`](super::Combiner) has
/// it, and pieces of groups.
pub type AccumulateInput<'scope, C, V> =
    TableInput<'scope, GivenTo<<C as Accumulation>::Key, <C as Accumulation>::Of>, V, <C as Accumulation>::Piece>;

/// What an accumulation puts out.
pub struct Accumulated<'scope, C: Accumulation> {
    /// The rows of the groups.
    pub rows: VecCollection<'scope, u64, C::Row, isize>,
    /// Pieces of groups, for a journal, which later brings them back as `sealed`.
    pub changes: StreamVec<'scope, u64, TableChange<C::Piece>>,
}

/// Adds up the events of each group in a table, and emits the changes of the groups' rows; and those of the state behind them,
/// for a journal, which later brings them back as `sealed`.
///
/// **Law.** At every epoch the accumulated output holds a row for each group that the events up to that epoch have, given what an
/// [`Accumulator`] makes of these; events of a group are also those of the groups [above](Accumulation::above) it. It depends
/// neither on the number of workers nor on how events are cut into epochs or ordered inside one. An epoch emits only the groups
/// whose row changes. A table that is given the journalled changes of the epochs up to some epoch, and then the events of the
/// later ones, emits the same at these as one that has seen all events.
///
/// Epochs that are hidden are folded, and journalled at once; their net change is emitted at the epoch of the reveal.
///
/// **Cost.** A look-up for each event; for each group that an epoch changes two rows and the pieces that it makes different. State: an
/// accumulator a group, and nothing for each event.
///
/// How many events there are of each kind, over a restart:
///
/// ```
/// use flowstone_operators::accumulate::{Accumulated, Accumulation, accumulate, combine};
/// use flowstone_operators::aggregate::Group;
/// use flowstone_operators::table::{Keyed, TableChange, TableInput, TableOptions};
/// use timely::dataflow::operators::{Input, Inspect, ToStream};
///
/// /// `(kind, events)`: what is shown of a group is what is kept of it.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Count(u64, i64);
///
/// impl Keyed for Count {
///     fn key_hash(&self) -> u64 { self.0 }
///     fn same_key(&self, other: &Self) -> bool { self.0 == other.0 }
///     fn same_row(&self, other: &Self) -> bool { self == other }
/// }
///
/// struct Counts;
///
/// impl Accumulation for Counts {
///     type Key = u64;
///     type Of = ();
///     type Piece = Count;
///     type Row = Count;
///     fn row(&mut self, key: &u64, group: &Group<()>) -> Count { Count(*key, group.rows) }
///     fn key_of_row(&self, row: &Count) -> u64 { row.0 }
///     fn add(&mut self, key: &u64, group: &mut Group<()>, change: Group<()>, mut note: impl FnMut(Count)) {
///         group.merge(change);
///         note(Count(*key, group.rows));
///     }
///     fn key_of_piece(&self, piece: &Count) -> u64 { piece.0 }
///     fn restore(&mut self, piece: &Count, group: &mut Group<()>) { group.rows = piece.1; }
///     fn is_gone(&self, piece: &Count) -> bool { piece.1 == 0 }
/// }
///
/// timely::execute_directly(|worker| {
///     let (seen, found) = std::sync::mpsc::channel();
///     let mut input = worker.dataflow::<u64, _, _>(|scope| {
///         let (input, live) = scope.new_input::<Vec<(u64, ())>>();
///         // An earlier run has counted four events of kind 7.
///         let sealed = Some((1_u64, Count(7, 4))).to_stream(scope).container::<Vec<_>>();
///         let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
///         let input_of_table = TableInput { live: combine(live), sealed, reveals, ticks: None };
///         let Accumulated { rows, .. } = accumulate(input_of_table, TableOptions::default(), Counts);
///         rows.inspect(move |(row, epoch, diff)| seen.send((row.clone(), *epoch, *diff)).unwrap());
///         input
///     });
///     input.advance_to(2);
///     input.send((7, ()));
///     input.send((7, ()));
///     input.close();
///     while worker.step() {}
///     let changes = [(Count(7, 4), 0, 1), (Count(7, 4), 2, -1), (Count(7, 6), 2, 1)];
///     assert_eq!(found.iter().collect::<Vec<_>>(), changes);
/// });
/// ```
pub fn accumulate<'scope, C, V>(
    input: AccumulateInput<'scope, C, V>,
    options: TableOptions,
    of: C,
) -> Accumulated<'scope, C>
where
    C: Accumulation,
    C::Key: ExchangeData + Ord + Hash + Route,
    C::Of: ExchangeData,
    <C::Of as Accumulator>::Input: ExchangeData,
    V: Clone + 'static,
{
    let Folded { rows, changes, .. } = fold("Accumulate", input, options, State::new(of));
    Accumulated { rows, changes }
}
