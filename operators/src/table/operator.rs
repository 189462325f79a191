//! The dataflow shell of a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use differential_dataflow::{AsCollection, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

use super::candidates::{Candidates, Found};
use super::held::Held;
use super::rows::{Rows, TableChange};
use super::versioned::Versioned;
use crate::reaper::Reaper;
use crate::route::owner;

/// Options of [`upsert`].
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// How long a versioned deletion is remembered, in the unit of epochs.
    pub remember: u64,
    /// How long rows are kept after their time ([`Versioned::expires`]), in nanoseconds; by default for ever.
    pub keep_ns: Option<u64>,
    /// What is counted on the way; shared by all workers.
    pub counters: Arc<TableCounters>,
    /// Where the table starts.
    pub start: TableStart,
    /// Whether somebody reads the changes of its state.
    pub journalled: bool,
    /// Takes the rows when the input has ended.
    pub reaper: Reaper,
}

/// Where a table starts: what of its epochs was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStart {
    /// Sealed rows of this epoch are loaded, those of later ones replayed.
    pub hydrate_at: u64,
    /// From this epoch on nothing is shown until a reveal.
    pub hidden_from: Option<u64>,
}

/// What tables count.
#[derive(Debug, Default)]
pub struct TableCounters {
    /// Records that did not become their key's row, because there was a newer one.
    pub superseded: AtomicU64,
    /// Times that records of one key met which come from different partitions and have no version.
    pub ambiguous: AtomicU64,
    /// Rows whose time was over, and records that came too late to be rows.
    pub expired: AtomicU64,
    /// Rows at present.
    pub rows: AtomicU64,
}

/// What a table reads.
pub struct TableInput<'scope, R: 'static, V: 'static> {
    /// Records, anywhere.
    pub live: StreamVec<'scope, u64, R>,
    /// What a journal has of the keys that this worker [owns](crate::route::owned): `(epoch, state)`, at that epoch or at a
    /// later one that shows it. A deletion that need not be remembered says that nothing is left of its key.
    pub sealed: StreamVec<'scope, u64, (u64, R)>,
    /// One message on each worker, at the epoch that shows everything up to it; or none. Its frontier passes an epoch only
    /// when that is known not to be the one. Not read by a table that hides nothing.
    pub reveals: StreamVec<'scope, u64, V>,
    /// One message on each worker at every epoch at which rows go whose time is over. For tables that keep them for ever: none.
    pub ticks: Option<StreamVec<'scope, u64, Tick>>,
}

/// Rows go now whose time is over. It comes to all workers at the same epochs, so that these do not depend on their number.
#[derive(Clone, Copy, Debug)]
pub struct Tick;

/// An epoch under way.
struct Open<R> {
    rows: Capability<u64>,
    /// Only where records came that are not in the journal.
    changes: Option<Capability<u64>>,
    arrived: Arrived<R>,
    reveal: bool,
}

/// What an epoch brings.
struct Arrived<R> {
    live: Candidates<R>,
    sealed: Vec<(u64, R)>,
    /// Rows go whose time is over.
    tick: bool,
}

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
    let scope = input.live.scope();
    let peers = scope.peers();
    let mut builder = OperatorBuilder::new("Upsert".to_owned(), scope);
    let mut live = builder.new_input(input.live, Exchange::new(move |record: &R| owner(record.route(), peers)));
    let mut sealed = builder.new_input(input.sealed, Pipeline);
    let mut reveals = builder.new_input(input.reveals, Pipeline);
    let mut ticks = input.ticks.map(|ticks| builder.new_input(ticks, Pipeline));
    let (rows_out, rows_stream) = builder.new_output();
    // What the journal has is not journalled again, and a reveal changes no state.
    let journalled = std::iter::once(0).chain(ticks.is_some().then_some(3));
    let journalled = journalled.map(|port| (port, Antichain::from_elem(Default::default())));
    let (changes_out, changes_stream) = builder.new_output_connection(journalled);
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<(R, u64, isize)>>>::from(rows_out);
    let mut changes_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<TableChange<R>>>>::from(changes_out);

    builder.build(move |mut capabilities| {
        let mut table = Table::new(options);
        // Nothing at or after the first hidden epoch is shown before the reveal.
        let mut hold = table.options.start.hidden_from.map(|epoch| capabilities.swap_remove(0).delayed(&epoch));
        drop(capabilities);
        let mut open: BTreeMap<u64, Open<R>> = BTreeMap::new();
        move |frontiers| {
            live.for_each_time(|time, data| {
                let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                if table.options.journalled {
                    epoch.changes.get_or_insert_with(|| time.retain(1));
                }
                data.flat_map(|d| d.drain(..)).for_each(|record| epoch.arrived.live.offer(record));
            });
            sealed.for_each_time(|time, data| {
                let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                let changes = data.flat_map(|d| d.drain(..));
                if *time.time() <= table.options.start.hydrate_at {
                    changes.for_each(|(sealed_at, record)| table.rows.load(sealed_at, record));
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
                    data.for_each(|d| d.clear());
                    let epoch = open.entry(*time.time()).or_insert_with(|| Open::new(time.retain(0)));
                    epoch.arrived.tick = true;
                    if table.options.journalled {
                        epoch.changes.get_or_insert_with(|| time.retain(1));
                    }
                });
            });
            let (mut rows_out, mut changes_out) = (rows_out.activate(), changes_out.activate());
            let may_change = |epoch: &u64, hidden: bool| {
                let input = frontiers[..2].iter().chain(frontiers.get(3));
                input.into_iter().any(|f| f.less_equal(epoch)) || (hidden && frontiers[2].less_equal(epoch))
            };
            while let Some(entry) = open.first_entry().filter(|e| !may_change(e.key(), hold.is_some())) {
                let (epoch, at) = entry.remove_entry();
                let more =
                    !(frontiers[0].is_empty() && frontiers.get(3).is_none_or(|f| f.is_empty()) && open.is_empty());
                let mut rows = rows_out.session(&at.rows);
                let mut emit = |row: R, diff: isize| rows.give((row, epoch, diff));
                match &at.changes {
                    Some(capability) => {
                        let mut changes = changes_out.session(capability);
                        table.close(epoch, at.arrived, &mut emit, |change| changes.give(change));
                    }
                    None => table.close(epoch, at.arrived, &mut emit, |_| ()),
                }
                if at.reveal {
                    table.reveal(more, emit);
                    hold = None;
                }
            }
            if hold.is_some() && frontiers[2].is_empty() && open.values().all(|at| !at.reveal) {
                hold = None; // the run ends before it has caught up
            }
            if open.is_empty() && frontiers.iter().all(|f| f.is_empty()) {
                table.end();
            }
        }
    });
    (rows_stream.as_collection(), changes_stream)
}

impl<R> Open<R> {
    fn new(rows: Capability<u64>) -> Self {
        let arrived = Arrived { live: Candidates::default(), sealed: Vec::new(), tick: false };
        Open { rows, changes: None, arrived, reveal: false }
    }
}

/// The state of a worker's share of a table.
struct Table<R> {
    options: TableOptions,
    rows: Rows<R>,
    loaded: bool,
    held: Option<Held<R>>,
    revealed: bool,
}

impl<R: Versioned + Clone + Send + 'static> Table<R> {
    fn new(options: TableOptions) -> Self {
        Table {
            rows: Rows::new(options.remember, options.keep_ns),
            options,
            loaded: false,
            held: None,
            revealed: false,
        }
    }

    /// An epoch is complete.
    fn close(
        &mut self,
        epoch: u64,
        arrived: Arrived<R>,
        emit: &mut impl FnMut(R, isize),
        mut note: impl FnMut(TableChange<R>),
    ) {
        let start = self.options.start;
        let counters = self.options.counters.clone();
        if !self.loaded {
            self.loaded = true;
            self.rows.settle();
            let rows = self.rows.iter().map(|row| emit(row.clone(), 1)).count();
            counters.rows.fetch_add(rows as u64, Relaxed);
        }
        if start.hidden_from.is_some_and(|hidden| epoch >= hidden) && self.held.is_none() && !self.revealed {
            self.held = Some(Held::since(&self.rows));
        }
        let Table { rows, held, .. } = self;
        let mut grown = 0;
        let mut show = |row: &R, diff: isize| {
            grown += diff;
            match held {
                Some(held) => held.hold(row, diff),
                None => emit(row.clone(), diff),
            }
        };
        // Several epochs may be shown as one: in their order.
        let Arrived { live, mut sealed, tick } = arrived;
        sealed.sort_by_key(|(sealed_at, _)| *sealed_at);
        sealed.into_iter().for_each(|(sealed_at, record)| rows.replay(sealed_at, record, &mut show));
        let (newest, offered) = live.finish();
        // Not at epochs that are only repeated: what they forgot was noted then.
        let found = if newest.is_empty() { Found::default() } else { rows.apply(epoch, newest, &mut show, &mut note) };
        let expired = if tick { rows.expire(epoch, &mut show, &mut note) } else { 0 };
        counters.superseded.fetch_add(offered.superseded + found.superseded, Relaxed);
        counters.ambiguous.fetch_add(offered.ambiguous + found.ambiguous, Relaxed);
        counters.expired.fetch_add(found.expired + expired, Relaxed);
        counters.rows.fetch_add(grown as u64, Relaxed);
    }

    /// Nothing will follow.
    fn end(&mut self) {
        let rows = std::mem::replace(&mut self.rows, Rows::new(self.options.remember, self.options.keep_ns));
        self.options.reaper.take((rows, self.held.take()));
    }

    fn reveal(&mut self, more: bool, emit: impl FnMut(R, isize)) {
        self.revealed = true;
        let held = self.held.take().unwrap_or_else(|| Held::since(&self.rows));
        held.reveal(&mut self.rows, more, emit);
    }
}
