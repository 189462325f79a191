//! Tables in a pipeline: from batches of bytes, and what a journal has, to rows.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use flowstone_operators::generations::{self, generations};
use flowstone_operators::table::{TableChange, TableInput, TableOptions, TableStart, tail, upsert};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate};
use timely::dataflow::{Scope, StreamVec};

use super::fusion::Rows;
use super::memory::reaper;
use super::setup::Setup;
use super::sources::Sources;
use crate::pipeline::compile::{Collection, TablePlan};
use crate::record::{Record, Row, RowDiff};
use crate::source::catalog::Catalog;
use crate::source::decode::{ToRecords, decode, letter};

/// What a table gives.
pub(super) struct Table<'scope> {
    /// Its rows, if anything but a `fuse` reads them.
    pub read: Option<Rows<'scope>>,
    /// The same as a collection, if it has keys.
    pub rows: Option<VecCollection<'scope, u64, Record, isize>>,
    pub changes: StreamVec<'scope, u64, TableChange<Record>>,
}

/// Builds a table; what it can not process is added to `letters`.
pub(super) fn table<'scope>(
    scope: Scope<'scope, u64>,
    setup: &Setup,
    number: usize,
    sources: &Sources<'scope>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    letters: &mut Vec<Rows<'scope>>,
) -> Table<'scope> {
    let plan = &setup.plan.tables[number];
    let metrics = setup.metrics.tables[number].1.clone();
    let mut decoded = |of: ToRecords, from: &[usize]| {
        let batches = scope.concatenate(from.iter().map(|source| sources.batches[*source].clone()));
        let (records, refused) = decode(batches, &plan.name, of, setup.source_names(), metrics.clone());
        letters.push(refused);
        records
    };
    let live = decoded(ToRecords::rows(&plan.decode), &plan.sources);
    let operations = plan.operations.as_ref().map(|of| decoded(ToRecords::operations(&of.decode), &[of.source]));
    // A stream with two readers is copied: rows are made of tables only for those that read them.
    let is_read = setup.plan.reads(Collection::Table(number));
    let as_row = |(record, epoch, diff)| (Row::Record(record), epoch, diff);
    if plan.is_stream() {
        let (appended, changes) = tail(live, sealed, setup.journal.is_some());
        return Table { read: is_read.then(|| appended.map(as_row)), rows: None, changes };
    }
    let ticks = sources.ticks.clone().filter(|_| plan.keep_ns.is_some());
    let reveals = sources.reveals.clone();
    let options = options(setup, number, plan);
    let (rows, changes) = match operations {
        None => upsert(TableInput { live, sealed, reveals, ticks }, options),
        Some(operations) => {
            let live = live.concat(operations);
            let output = generations(TableInput { live, sealed, reveals, ticks }, options);
            let generations::Output { rows, changes, refused } = output;
            letters.push(refusals(setup, refused));
            (rows, changes)
        }
    };
    Table { read: is_read.then(|| rows.inner.clone().map(as_row)), rows: Some(rows), changes }
}

pub(super) fn options(setup: &Setup, number: usize, plan: &TablePlan) -> TableOptions {
    let start = &setup.start;
    TableOptions {
        remember: plan.remember_ms,
        keep_ns: plan.keep_ns,
        counters: setup.metrics.tables[number].1.table.clone(),
        start: TableStart { hydrate_at: start.sealed.hydrate_at, hidden_from: start.hidden_from },
        journalled: setup.journal.is_some(),
        are_rows_known: false,
        reaper: reaper(),
    }
}

/// A dead letter for each record that would end an operation a second time.
fn refusals<'scope>(
    setup: &Setup,
    refused: StreamVec<'scope, u64, (Record, generations::Refusal)>,
) -> StreamVec<'scope, u64, RowDiff> {
    let letters = Letters::new(setup);
    // They are given their epoch with those of other tables.
    refused.map(move |(record, refusal)| (letters.of(&record, refusal.to_string()), 0, 1))
}

/// Writes dead letters of records that this run has read and decoded.
pub(super) struct Letters {
    /// By number in the journal: the source's name, and those of its partitions.
    catalogs: Vec<(u16, Arc<str>, Catalog)>,
}

impl Letters {
    pub(super) fn new(setup: &Setup) -> Self {
        let catalogs = setup.start.sources.iter().zip(&setup.catalogs);
        let catalogs = catalogs.map(|(start, (name, catalog))| (start.id, name.as_str().into(), catalog.clone()));
        Letters { catalogs: catalogs.collect() }
    }

    pub(super) fn of(&self, record: &Record, reason: String) -> Row {
        let at = record.position();
        let found = self.catalogs.iter().find(|(id, ..)| *id == at.source);
        let (_, source, catalog) = found.expect("only records that this run has read are refused");
        let payload = record.payload().unwrap_or_default();
        let letter = letter(source.clone(), catalog.name(at.partition), at.offset, reason, payload);
        Row::DeadLetter(Arc::new(letter))
    }
}
