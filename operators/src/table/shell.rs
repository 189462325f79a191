//! The dataflow shell of a table: exchange by key, epochs, what is held back.

use std::collections::{BTreeMap, VecDeque};

use differential_dataflow::{AsCollection, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::{Antichain, Timestamp};

use super::fold::Fold;
use super::keyed::Keyed;
use super::options::{TableInput, TableOptions};
use super::outcome::TableChange;
use super::state::{Arrived, Table};
use crate::route::owner;

/// So many rows are put out before other operators get their turn: what they make of a row is larger than a row.
const FUEL: usize = 1 << 16;

/// What a table puts out.
pub(crate) struct Folded<'scope, R: 'static, X: 'static, S: 'static = R> {
    pub rows: VecCollection<'scope, u64, R, isize>,
    /// For a journal, which later brings them back as `sealed`.
    pub changes: StreamVec<'scope, u64, TableChange<S>>,
    /// Records that were refused, at their epoch, and why. They are told once: a journal must keep them.
    pub refused: StreamVec<'scope, u64, (R, X)>,
}

/// An epoch under way.
struct Open<S, A> {
    rows: Capability<u64>,
    noting: Noting,
    arrived: Arrived<S, A>,
    reveal: bool,
}

/// Only where records came that are not in the journal.
#[derive(Default)]
struct Noting {
    changes: Option<Capability<u64>>,
    refused: Option<Capability<u64>>,
}

impl<S, A: Default> Open<S, A> {
    fn new(rows: Capability<u64>) -> Self {
        let arrived = Arrived { live: A::default(), sealed: Vec::new(), tick: None };
        Open { rows, noting: Noting::default(), arrived, reveal: false }
    }
}

/// Changes of rows that are to be put out.
struct Pending<R> {
    epoch: u64,
    at: Capability<u64>,
    /// In pieces, so that memory goes back as they go out.
    rows: VecDeque<Vec<(R, isize)>>,
}

impl<R> Pending<R> {
    fn push(&mut self, row: R, diff: isize) {
        match self.rows.back_mut().filter(|piece| piece.len() < FUEL) {
            Some(piece) => piece.push((row, diff)),
            None => self.rows.push_back(vec![(row, diff)]),
        }
    }
}

/// What arrives may change what is put out at once.
fn at_once() -> Antichain<<u64 as Timestamp>::Summary> {
    Antichain::from_elem(Default::default())
}

type Output<D> = OutputBuilder<u64, CapacityContainerBuilder<Vec<D>>>;

struct Outputs<R: 'static, X: 'static, S: 'static> {
    rows: Output<(R, u64, isize)>,
    changes: Output<TableChange<S>>,
    refused: Output<(R, X)>,
}

impl<R: Keyed + Clone + Send + 'static, X: 'static, S: 'static> Outputs<R, X, S> {
    /// Makes of the table what a complete epoch makes of it. `more` says that there will be others, `hidden` that
    /// it is to be revealed later.
    fn close<F>(
        &mut self,
        table: &mut Table<R, F>,
        epoch: u64,
        at: Open<S, F::Arrived>,
        more: bool,
        hidden: bool,
    ) -> Pending<R>
    where
        F: Fold<R, Refusal = X, State = S> + 'static,
    {
        // A reveal shows what there is.
        let last = !more && !at.reveal && !hidden;
        let mut pending = Pending { epoch, at: at.rows, rows: VecDeque::new() };
        let mut emit = |row: R, diff: isize| pending.push(row, diff);
        match &at.noting.changes {
            Some(capability) => {
                let mut changes = self.changes.activate();
                let mut changes = changes.session(capability);
                table.close(epoch, at.arrived, last, &mut emit, |change| changes.give(change));
            }
            None => table.close(epoch, at.arrived, last, &mut emit, |_| ()),
        }
        if let Some(capability) = &at.noting.refused {
            self.refused.activate().session(capability).give_iterator(table.take_refused().into_iter());
        }
        if at.reveal {
            table.reveal(more, emit);
        }
        pending
    }

    /// Puts out some rows; says whether there are more.
    fn put(&mut self, pending: &mut VecDeque<Pending<R>>) -> bool {
        let mut put = 0;
        let mut rows = self.rows.activate();
        while let Some(Pending { epoch, at, rows: pieces }) = pending.front_mut() {
            let mut rows = rows.session(&at);
            while let Some(piece) = pieces.pop_front() {
                put += piece.len();
                rows.give_iterator(piece.into_iter().map(|(row, diff)| (row, *epoch, diff)));
                if put >= FUEL {
                    return true;
                }
            }
            drop(rows);
            pending.pop_front();
        }
        false
    }
}

/// A table whose state is `state` at its start.
pub(crate) fn fold<'scope, R, V, F>(
    name: &str,
    input: TableInput<'scope, F::Live, V, F::State>,
    options: TableOptions,
    state: F,
) -> Folded<'scope, R, F::Refusal, F::State>
where
    R: Keyed + Clone + Send + 'static,
    V: Clone + 'static,
    F: Fold<R> + 'static,
    F::Live: ExchangeData,
    F::State: Clone + 'static,
{
    let scope = input.live.scope();
    let peers = scope.peers();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut live = builder.new_input(input.live, Exchange::new(move |record: &F::Live| owner(F::route(record), peers)));
    let mut sealed = builder.new_input(input.sealed, Pipeline);
    let mut reveals = builder.new_input(input.reveals, Pipeline);
    let mut ticks = input.ticks.map(|ticks| builder.new_input(ticks, Pipeline));
    let (rows, rows_stream) = builder.new_output();
    // What the journal has is not journalled again, and a reveal changes no state.
    let journalled = std::iter::once(0).chain(ticks.is_some().then_some(3));
    let (changes, changes_stream) = builder.new_output_connection(journalled.map(|port| (port, at_once())));
    let (refused, refused_stream) = builder.new_output_connection([(0, at_once())]);
    let mut outputs = Outputs {
        rows: OutputBuilder::from(rows),
        changes: OutputBuilder::from(changes),
        refused: OutputBuilder::from(refused),
    };

    builder.build(move |mut capabilities| {
        let mut table = Table::new(options, state);
        let journalled = table.is_journalled();
        // Nothing at or after the first hidden epoch is shown before the reveal.
        let mut hold = table.start().hidden_from.map(|epoch| capabilities.swap_remove(0).delayed(&epoch));
        drop(capabilities);
        let mut open: BTreeMap<u64, Open<F::State, F::Arrived>> = BTreeMap::new();
        let mut pending = VecDeque::new();
        move |frontiers| {
            live.for_each_time(|time, data| {
                let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                if journalled {
                    epoch.noting.changes.get_or_insert_with(|| time.retain(1));
                }
                if F::REFUSES {
                    epoch.noting.refused.get_or_insert_with(|| time.retain(2));
                }
                F::arrive(&mut epoch.arrived.live, data.flat_map(|d| d.drain(..)));
            });
            sealed.for_each_time(|time, data| {
                let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                let changes = data.flat_map(|d| d.drain(..));
                if *time.time() <= table.start().hydrate_at {
                    changes.for_each(|(sealed_at, record)| table.load(sealed_at, record));
                } else {
                    epoch.arrived.sealed.extend(changes);
                }
            });
            reveals.for_each_time(|time, data| {
                data.for_each(|d| d.clear());
                if hold.is_some() {
                    open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0))).reveal = true;
                }
            });
            ticks.iter_mut().for_each(|ticks| {
                ticks.for_each_time(|time, data| {
                    let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                    let last = data.flat_map(|d| d.drain(..)).max();
                    epoch.arrived.tick = epoch.arrived.tick.max(last);
                    if journalled {
                        epoch.noting.changes.get_or_insert_with(|| time.retain(1));
                    }
                });
            });
            let may_change = |epoch: &u64, hidden: bool| {
                let input = frontiers[..2].iter().chain(frontiers.get(3));
                input.into_iter().any(|f| f.less_equal(epoch)) || (hidden && frontiers[2].less_equal(epoch))
            };
            while let Some(entry) = open.first_entry().filter(|e| !may_change(e.key(), hold.is_some())) {
                let (epoch, at) = entry.remove_entry();
                let mut inputs = frontiers[..2].iter().chain(frontiers.get(3));
                let more = !(inputs.all(|f| f.is_empty()) && open.is_empty());
                if at.reveal {
                    hold = None;
                }
                pending.push_back(outputs.close(&mut table, epoch, at, more, hold.is_some()));
            }
            if outputs.put(&mut pending) {
                activator.activate();
            }
            if hold.is_some() && frontiers[2].is_empty() && open.values().all(|at| !at.reveal) {
                hold = None; // the run ends before it has caught up
            }
            if open.is_empty() && frontiers.iter().all(|f| f.is_empty()) {
                table.end();
            }
        }
    });
    Folded { rows: rows_stream.as_collection(), changes: changes_stream, refused: refused_stream }
}
