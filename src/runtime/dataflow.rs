//! The dataflow of a run, from sources to stores; every worker builds the same.
//!
//! ```text
//! clock ──openings──▶ source ──batches──▶ decode ──records──▶ upsert ──rows──▶ fuse ──moments──▶ gate ──▶ sink ──▶ store
//!   ▲                  │                    │ dead letters                      │ rejected        ▲         │
//!   └─────reports──────┘                    └──────────────┬────────────────────┘                 │         │ acks
//!                                                          └─▶ gate ─▶ sink ─▶ dead letters      after:◀────┘
//! ```

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use differential_dataflow::{AsCollection, VecCollection};
use flowstone_operators::fuse::{Facets, Rejection, fuse};
use flowstone_operators::interval::Interval;
use flowstone_operators::table::{TableOptions, upsert};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, ConnectLoop, Feedback, OkErr, Probe};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::RunError;
use super::clock::{self, EpochClock};
use super::metrics::FuseMetrics;
use super::setup::Setup;
use crate::pipeline::compile::{Collection, FusePlan};
use crate::record::{DeadLetter, Fused, Key, Record, Rejected, Row, RowDiff, Scalar, moment_bytes};
use crate::sink::Never;
use crate::sink::gate::gate;
use crate::sink::shell::{Shell, write};
use crate::source::Limits;
use crate::source::decode::decode;
use crate::source::feeder::{Batch, Share};
use crate::source::operator::{Lag, source};

type Rows<'scope> = StreamVec<'scope, u64, RowDiff>;

/// The collections of a pipeline.
struct Collections<'scope> {
    /// Those that a sink reads.
    tables: Vec<Option<Rows<'scope>>>,
    moments: Vec<Rows<'scope>>,
    rejected: Vec<Rows<'scope>>,
    dead_letters: Rows<'scope>,
}

/// Builds the dataflow; `done` sees the end of all sinks.
pub(super) fn build(scope: Scope<'_, u64>, setup: &Setup, done: &ProbeHandle<u64>) {
    let (batches, complete) = sources(scope, setup);
    let names: Vec<Arc<str>> = setup.catalogs.iter().map(|(name, _)| name.as_str().into()).collect();
    let mut dead_letters = Vec::new();
    let mut tables = Vec::new();
    for (number, plan) in setup.plan.tables.iter().enumerate() {
        let metrics = setup.metrics.tables[number].1.clone();
        let options = TableOptions { remember: plan.remember_ms, counters: metrics.table.clone() };
        let input = scope.concatenate(plan.sources.iter().map(|source| batches[*source].clone()));
        let (records, letters) = decode(input, &plan.name, &plan.decode, names.clone(), metrics);
        dead_letters.push(letters);
        tables.push(upsert(records, options));
    }
    let (mut moments, mut rejected) = (Vec::new(), Vec::new());
    for (number, plan) in setup.plan.fuses.iter().enumerate() {
        let (documents, refused) = moments_of(tables[plan.table].clone(), plan);
        let metrics = setup.metrics.fuses[number].1.clone();
        dead_letters.push(rejections(refused.clone(), &plan.name, metrics));
        moments.push(documents);
        rejected.push(refused);
    }
    // A stream with two readers is copied: rows are made of tables only for sinks that read them.
    let is_read = |at| setup.plan.sinks.iter().any(|sink| sink.from == Collection::Table(at));
    let rows = tables.into_iter().enumerate().map(|(at, table)| {
        is_read(at).then(|| table.inner.map(|(record, epoch, diff)| (Row::Record(record), epoch, diff)))
    });
    let tables = rows.collect();
    let dead_letters = scope.concatenate(dead_letters);
    let collections = Collections { tables, moments, rejected, dead_letters };

    let mut acks: Vec<StreamVec<'_, u64, Never>> = Vec::new();
    for (number, plan) in setup.plan.sinks.iter().enumerate() {
        let release = plan.after.map_or(complete.clone(), |after| acks[after].clone());
        acks.push(sink(number, &collections, release, setup, scope.index()));
    }
    scope.concatenate(acks).probe_with(done);
}

/// The batches of each source; and a stream without data that has passed an epoch when all input of that epoch is complete.
///
/// The latter is made of the reports, which are few: made of the batches, it would copy each of them.
fn sources<'scope>(
    scope: Scope<'scope, u64>,
    setup: &Setup,
) -> (Vec<StreamVec<'scope, u64, Batch>>, StreamVec<'scope, u64, Never>) {
    let (report_loop, reports) = scope.feedback(Default::default());
    let feeders = setup.catalogs.len() * scope.peers();
    let clock = EpochClock::new(setup.first_epoch, setup.epoch_length, feeders, std::time::Instant::now());
    let openings = clock::openings(
        scope,
        reports,
        clock,
        setup.control.clone(),
        setup.catalogs.iter().map(|(_, catalog)| catalog.clone()).collect(),
    );
    let (mut batches, mut all_reports) = (Vec::new(), Vec::new());
    for (number, (name, catalog)) in setup.catalogs.iter().enumerate() {
        let share = Share {
            source: u16::try_from(number).expect("fewer than 2^16 sources"),
            catalog: catalog.clone(),
            index: scope.index(),
            peers: scope.peers(),
            bounded: setup.bounded,
            leader: scope.index() == 0,
            stop: {
                let control = setup.control.clone();
                Arc::new(move || control.is_stopping())
            },
            metrics: setup.metrics.sources[number].1.clone(),
        };
        let (control, owner) = (setup.control.clone(), name.clone());
        let on_error = move |source| control.fail(RunError::Source { name: owner.clone(), source });
        let nothing_waits = || empty::<_, Vec<Never>>(scope);
        let lag =
            Lag { sealed: nothing_waits(), written: nothing_waits(), limits: Limits::NONE, is_full: Rc::new(|| false) };
        let (stream, reports, _) = source(openings.clone(), lag, name, share, on_error);
        batches.push(stream);
        all_reports.push(reports);
    }
    let reports = scope.concatenate(all_reports);
    reports.clone().connect_loop(report_loop);
    (batches, reports.flat_map(|_| None))
}

/// The documents of a `fuse`, and those that it rejects.
fn moments_of<'scope>(
    table: VecCollection<'scope, u64, Arc<Record>, isize>,
    plan: &FusePlan,
) -> (Rows<'scope>, Rows<'scope>) {
    let (facet, most_bytes) = (plan.facet, plan.max_document_bytes);
    let most_children = plan.options.max_children();
    let at = usize::from(facet);
    let name = plan.name.clone();
    let (usable, unusable) = table.inner.ok_err(move |(record, epoch, diff)| match record.body().unusable(at) {
        None => Ok((record, epoch, diff)),
        Some(reason) => {
            let mut row = Vec::new();
            record.key.write_json(&mut row);
            let row = String::from_utf8_lossy(&row);
            let reason = format!("row {row} can not be used by {name:?}: {reason}");
            let key = record.key.clone();
            Err((Row::Rejected(Arc::new(Rejected { key, reason })), epoch, diff))
        }
    });
    let unusable = unusable.container::<Vec<_>>();
    let table = usable.container::<Vec<_>>().as_collection();
    let by_asset = table.map(move |record| (record.body().facets(at).asset.clone(), record));
    let (moments, too_many) = fuse(by_asset, plan.options.clone(), move |record: &Arc<Record>| {
        let facets = record.body().facets(at);
        Facets { kind: &facets.kind, interval: facets.interval }
    });
    let fused = moments.inner.map(move |(moment, epoch, diff)| (Fused { moment, facet }, epoch, diff));
    // A pure function of the document, so that its retraction takes the same way.
    let (documents, too_large) = fused.ok_err(move |(fused, epoch, diff)| {
        let bytes = moment_bytes(&fused);
        if bytes <= most_bytes {
            return Ok((Row::Moment(fused), epoch, diff));
        }
        let reason = format!("document of {bytes} bytes is larger than max_document_bytes {most_bytes}");
        Err((rejected(fused.moment.key, fused.moment.interval, reason), epoch, diff))
    });
    let too_many = too_many.inner.map(move |(rejection, epoch, diff)| {
        let Rejection { key, interval, children } = rejection;
        let reason = format!("document of {children} children is larger than max_children {most_children}");
        (rejected(key, interval, reason), epoch, diff)
    });
    (documents.container::<Vec<_>>(), too_large.container::<Vec<_>>().concat(too_many).concat(unusable))
}

fn rejected(asset: Scalar, interval: Interval, reason: String) -> Row {
    let key = Key::Composite(vec![asset, Scalar::Int(interval.start_ns())].into());
    Row::Rejected(Arc::new(Rejected { key, reason }))
}

/// A dead letter for each document that comes to be rejected.
fn rejections<'scope>(rejected: Rows<'scope>, node: &str, metrics: Arc<FuseMetrics>) -> Rows<'scope> {
    let node: Arc<str> = node.into();
    rejected.flat_map(move |(row, epoch, diff)| {
        metrics.rejected.fetch_add(diff as u64, Relaxed);
        let Row::Rejected(rejected) = row else { return None };
        let mut key = Vec::new();
        rejected.key.write_json(&mut key);
        let letter = DeadLetter {
            node: node.clone(),
            origin: String::from_utf8_lossy(&key).into(),
            offset: epoch,
            reason: rejected.reason.clone(),
            payload: Box::default(),
            payload_bytes: 0,
        };
        (diff > 0).then(|| (Row::DeadLetter(Arc::new(letter)), epoch, 1))
    })
}

/// A sink: its gate and its shell. Returns its acknowledgements.
fn sink<'scope>(
    number: usize,
    collections: &Collections<'scope>,
    release: StreamVec<'scope, u64, Never>,
    setup: &Setup,
    index: usize,
) -> StreamVec<'scope, u64, Never> {
    let plan = &setup.plan.sinks[number];
    let rows = match plan.from {
        Collection::Table(at) => collections.tables[at].as_ref().expect("made for sinks that read it"),
        Collection::Moments(at) => &collections.moments[at],
        Collection::Rejected(at) => &collections.rejected[at],
        Collection::DeadLetters => &collections.dead_letters,
    };
    let changes = gate(rows.clone(), release, &plan.name);
    let (control, owner) = (setup.control.clone(), plan.name.clone());
    let shell = Shell {
        name: plan.name.clone(),
        fill: setup.first_epoch,
        metrics: setup.metrics.sinks[number].1.clone(),
        on_error: Box::new(move |source| control.fail(RunError::Sink { name: owner, source })),
    };
    write(changes, shell, setup.writers.placement(number, index))
}
