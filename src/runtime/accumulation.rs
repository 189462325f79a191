//! Aggregation of events in a pipeline: from the batches of an unkeyed source, and what a journal has, to groups.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use flowstone_operators::accumulate::{Accumulated, Combiner, GivenTo, accumulate, combine};
use flowstone_operators::lateness::{Divided, LatenessInput, LatenessOptions, Progress, lateness};
use flowstone_operators::table::{TableChange, TableInput, TableOptions, Tick};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, OkErr};
use timely::dataflow::{Scope, StreamVec};

use super::fusion::Rows;
use super::once::{Identified, identified};
use super::setup::Setup;
use super::sources::Sources;
use super::tables::{Letters, options};
use super::taken::taken;
use crate::pipeline::compile::{AggregatePlan, Collection, TablePlan};
use crate::record::{
    Contributor, Fields, GroupKey, Kept, Lateness, Origin, Piece, Record, Row, is_progress, progress_of,
    progress_record,
};
use crate::source::decode::{Kind, Raw, Take, ToRecords, decode};
use crate::source::metrics::TableMetrics;

/// What events give to groups.
pub(super) type Contributions<'scope> = StreamVec<'scope, u64, GivenTo<GroupKey, Fields>>;

/// What the table of an `aggregate` gives.
pub(super) struct Groups<'scope> {
    pub rows: Rows<'scope>,
    pub changes: StreamVec<'scope, u64, TableChange<Record>>,
}

/// Builds the table of the groups of events; what it can not process is added to `letters`.
pub(super) fn kept_groups<'scope>(
    scope: Scope<'scope, u64>,
    setup: &Setup,
    number: usize,
    sources: &Sources<'scope>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    letters: &mut Vec<Rows<'scope>>,
) -> Groups<'scope> {
    let table = &setup.plan.tables[number];
    let at = table.groups_of.expect("its rows are groups");
    let plan = &setup.plan.aggregates[at];
    let batches = scope.concatenate(table.sources.iter().map(|source| sources.batches[*source].clone()));
    let metrics = setup.metrics.tables[number].1.clone();
    let contributor = Contributor::of_events(&plan.spec);
    let late = plan.spec.window.as_ref().and_then(|window| window.late);
    let Counted { live, sealed, ticks, state } = if late.is_none() && plan.spec.ids.is_none() {
        let counting = Counting { contributor, combiner: Combiner::new(scope.peers()) };
        let (live, refused) = decode(batches, &table.name, counting, setup.source_names(), metrics);
        letters.push(refused);
        Counted { live, sealed, ticks: None, state: None }
    } else {
        let to_records = ToRecords::rows(&table.decode);
        let (events, refused) = decode(batches, &table.name, to_records, setup.source_names(), metrics.clone());
        letters.push(refused);
        let of = Of { setup, sources, table, at, plan, metrics: &metrics };
        counted(events, sealed, late, contributor, of, letters)
    };
    let sealed = sealed.map(|(epoch, record)| (epoch, Piece(record)));
    let are_rows_known = setup.quiet_through([Collection::Groups(at); 2]).is_some();
    let options = TableOptions { are_rows_known, ..options(setup, number, table) };
    let input = TableInput { live, sealed, reveals: sources.reveals.clone(), ticks };
    let Accumulated { rows, changes } = accumulate(input, options, Kept::new(&plan.spec));
    let rows = rows.inner.map(|(group, epoch, diff)| (Row::Group(group.0), epoch, diff));
    let changes = changes.map(|change| change.map(|Piece(record)| record));
    let changes = if let Some(state) = state { changes.concat(state) } else { changes };
    Groups { rows, changes }
}

/// What there is to count.
struct Counted<'scope> {
    live: Contributions<'scope>,
    /// What a journal has of the groups.
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    ticks: Option<StreamVec<'scope, u64, Tick>>,
    /// What the table keeps besides groups, for a journal.
    state: Option<StreamVec<'scope, u64, TableChange<Record>>>,
}

/// An `aggregate`, and what is around it.
#[derive(Clone, Copy)]
pub(super) struct Of<'a, 'scope> {
    pub setup: &'a Setup,
    pub sources: &'a Sources<'scope>,
    pub table: &'a TablePlan,
    /// Its number.
    pub at: usize,
    pub plan: &'a AggregatePlan,
    pub metrics: &'a Arc<TableMetrics>,
}

/// What there is to count of events that may come too late, or be delivered again.
fn counted<'scope>(
    events: StreamVec<'scope, u64, Record>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    late: Option<Lateness>,
    contributor: Contributor,
    of: Of<'_, 'scope>,
    letters: &mut Vec<Rows<'scope>>,
) -> Counted<'scope> {
    let Timed { events, sealed, ticks, progress } = match late {
        None => Timed { events, sealed, ticks: None, progress: None },
        Some(late) => divided(events, sealed, late, of, letters),
    };
    let progress = progress.map(|of| of.map(|progress| TableChange::Set(progress_record(&progress))));
    let Some(ids) = of.plan.spec.ids else {
        let (live, unusable) = contributions(events, contributor, of);
        letters.push(unusable);
        return Counted { live, sealed, ticks, state: progress };
    };
    let forgotten = ticks.clone().or_else(|| of.sources.ticks.clone()).expect("the clock ticks if ids go by it");
    let Identified { live, unusable, changes, sealed } = identified(events, sealed, forgotten, (ids, contributor), of);
    letters.push(unusable);
    let state = progress.into_iter().fold(changes, Concat::concat);
    Counted { live, sealed, ticks, state: Some(state) }
}

/// Takes events apart where they lie, as nobody needs them as records, and adds up what they give to groups.
struct Counting {
    contributor: Contributor,
    combiner: Combiner<GroupKey, Fields>,
}

impl Take for Counting {
    type Taken = GivenTo<GroupKey, Fields>;

    fn take(&mut self, raw: &Raw<'_>, mut give: impl FnMut(Self::Taken)) -> Result<Kind, String> {
        let Some(payload) = raw.payload else { return Err("deletion of a row, and rows have no key".to_owned()) };
        let write_key = |out: &mut Vec<u8>| raw.origin().write_json(out);
        let Counting { contributor, combiner } = self;
        contributor.take_event(payload, write_key, |key, inputs| combiner.add(key, inputs, &mut give))?;
        Ok(Kind::Row)
    }

    fn flush(&mut self, give: impl FnMut(Self::Taken)) {
        self.combiner.flush(give);
    }
}

/// Events that count, and what else comes of their times.
struct Timed<'scope> {
    events: StreamVec<'scope, u64, Record>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    ticks: Option<StreamVec<'scope, u64, Tick>>,
    progress: Option<StreamVec<'scope, u64, Progress<Origin>>>,
}

/// Takes out the events that come too late, which become dead letters.
fn divided<'scope>(
    events: StreamVec<'scope, u64, Record>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    Lateness { until_ns, idle_ms }: Lateness,
    of: Of<'_, 'scope>,
    letters: &mut Vec<Rows<'scope>>,
) -> Timed<'scope> {
    let Of { setup, sources, at, plan, .. } = of;
    let (progress, sealed) = sealed.ok_err(|(epoch, record)| match is_progress(&record) {
        true => Ok(progress_of(&record)),
        false => Err((epoch, record)),
    });
    let finals = setup.finals[at].clone();
    let options = LatenessOptions {
        until: until_ns,
        idle: idle_ms,
        first_epoch: setup.start.first_epoch,
        hidden: setup.start.hidden_from.is_some(),
        restored: Box::new(move |since| finals.set(since)),
    };
    let window = plan.spec.window.clone().expect("events are late for windows");
    let time_of = move |record: &Record| {
        let json = std::str::from_utf8(record.payload()?).expect("decode has checked the encoding");
        // One without a time is refused when it is taken apart.
        let time_ns = window.time_ns(json).ok()?;
        let origin = record.position();
        Some(((origin.source, origin.partition), time_ns))
    };
    let reveals = sources.reveals.clone();
    let input = LatenessInput { live: events, sealed: progress.container::<Vec<_>>(), reveals };
    let Divided { on_time, late, ticks, progress } = lateness(input, options, time_of);
    let (metrics, of, name) = (of.metrics.clone(), Letters::new(setup), plan.name.clone());
    let refused = late.map(move |record| {
        metrics.late.fetch_add(1, Relaxed);
        metrics.applied.fetch_sub(1, Relaxed);
        metrics.dead_letters.fetch_add(1, Relaxed);
        // They are given their epoch with those of other tables.
        (of.of(&record, format!("too late for {name:?}")), 0, 1)
    });
    letters.push(refused);
    let sealed = sealed.container::<Vec<_>>();
    Timed { events: on_time, sealed, ticks: Some(ticks), progress: Some(progress) }
}

/// Takes from events what they give to groups; the second output has the dead letters of those of which that can not be taken.
fn contributions<'scope>(
    events: StreamVec<'scope, u64, Record>,
    mut contributor: Contributor,
    of: Of<'_, 'scope>,
) -> (Contributions<'scope>, Rows<'scope>) {
    let (given, unusable) =
        taken(events, Pipeline, format!("Contributions {}", of.plan.name), of, move |event, give| {
            contributor.take_record(event, |key, inputs| give((key, inputs)))
        });
    (combine(given), unusable)
}
