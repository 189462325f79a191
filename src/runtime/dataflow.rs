//! The dataflow of a run, from sources to stores; every worker builds the same.
//!
//! ```text
//! clock ──openings──▶ source ──batches──▶ decode ──records──▶ upsert ──rows──▶ fuse ──moments──▶ gate ──▶ sink ──▶ store
//!   ▲  └──reveals──────┼─────────────────────┼──────────────▶ ▲ │ changes        │ rejected        ▲ ▲       │
//!   │                  │                     │ dead letters   │ ▼                ▼                 │ │       │ acks
//!   └─────reports──────┤ bindings            └──▶ tail ────────┼─┼─────────────────▶ dead letters │ after:◀─┤
//!                      │                            │ changes  │ │                                │         │
//!                      └──────────▶ part writer ◀───┴──────────┼─┘                                │         │
//!                                        │ parts, bindings     │ sealed changes of earlier runs   │         │
//!                                        ▼                     │                                  │         │
//!                                   committer ──sealed frontier┴──────────────────────────────────┘         │
//!                                        ▲─────────────────────────each sink's upper────────────────────────┘
//! ```
//!
//! `aggregate`, `distinct`, `filter`, `map` and `join` read rows, moments and each other, and give rows to gates as `fuse` does
//! moments; an `aggregate` of events without a key is a table itself, in the place of `upsert`, and so is a `join` as of a row's
//! arrival, behind the tables that it reads. Where annotations belong to operations, `generations` is in the place of `upsert`,
//! and refuses into the dead letters. Not drawn: the sealed frontier and the least upper go back to the sources, which pause when
//! too much is in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowstone_operators::table::tail;
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};
use timely::dataflow::operators::{Concat, Concatenate, ConnectLoop, Feedback, Probe, ToStream};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::RunError;
use super::accumulation::{Groups, kept_groups};
use super::aggregation::groups_of;
use super::fusion::{Rows, moments_of, rejections};
use super::lookups::{KeptPairs, Lookups, kept_pairs};
use super::reshaping::{BothSides, joined, reshaped};
use super::setup::Setup;
use super::sources::{Sources, sources};
use super::tables::{Table, table};
use crate::pipeline::compile::Collection;
use crate::pipeline::steps::{NodeKind, Step};
use crate::record::{DeadLetter, Record, Row, RowDiff};
use crate::sink::finals::FinalSince;
use crate::sink::gate::{Passage, gate};
use crate::sink::lag::Detach;
use crate::sink::shell::{Shell, Written, write};
use crate::sink::{Never, Reveal};
use crate::spine::committer::{Committed, Committing, committer};
use crate::spine::part_writer::{PartWriter, part_writer};
use crate::spine::row::{self, Change};
use crate::spine::sealed::{SealedStreams, sealed_changes};

type Nothing<'scope> = StreamVec<'scope, u64, Never>;

/// What a journal has of a table.
type SealedRecords<'scope> = StreamVec<'scope, u64, (u64, Record)>;

/// The collections of a pipeline.
struct Collections<'scope> {
    /// Those that anything but a `fuse` reads.
    tables: Vec<Option<Rows<'scope>>>,
    moments: Vec<Rows<'scope>>,
    rejected: Vec<Rows<'scope>>,
    groups: Vec<Rows<'scope>>,
    unusable: Vec<Rows<'scope>>,
    reshaped: Vec<Rows<'scope>>,
    unshaped: Vec<Rows<'scope>>,
    dead_letters: Rows<'scope>,
    /// Ends when the sealed changes of earlier runs are read.
    hydrated: Nothing<'scope>,
}

/// Builds the dataflow; `done` sees the end of all sinks, and of all that is recorded about them.
pub(super) fn build(scope: Scope<'_, u64>, setup: &Setup, done: &ProbeHandle<u64>) {
    let (sealed_loop, sealed_lag) = scope.feedback(Default::default());
    let (written_loop, written_lag) = scope.feedback(Default::default());
    let sources = sources(scope, setup, &sealed_lag, &written_lag);
    let mut changes = Vec::new();
    let collections = collections(scope, setup, &sources, &mut changes);

    let (loops, acks_back): (Vec<_>, Vec<_>) =
        setup.plan.sinks.iter().map(|_| scope.feedback(Default::default())).unzip();
    let (late_loop, late) = scope.feedback(Default::default());
    let changes = scope.concatenate(changes);
    let back = Back { acks: acks_back, late };
    let committed = seal(setup, scope.index(), changes, &sources, collections.hydrated.clone(), back);
    let sealed = committed.sealed.clone();
    sealed.clone().connect_loop(sealed_loop);
    let detached = committed.detached.broadcast();

    let (mut uppers, mut settled, mut late): (Vec<Nothing<'_>>, Vec<_>, Vec<_>) = Default::default();
    for (number, (plan, ack_loop)) in setup.plan.sinks.iter().zip(loops).enumerate() {
        let gates = Gates {
            release: plan.after.map_or(sealed.clone(), |after| uppers[after].clone()),
            reveals: sources.reveals.clone(),
            detaches: setup.may_detach(number).then(|| detaches_of(number, detached.clone())),
        };
        let written = sink(number, &collections, gates, setup, scope.index());
        written.settled.clone().connect_loop(ack_loop);
        uppers.push(written.upper);
        settled.push(written.settled);
        late.push(written.late);
    }
    scope.concatenate(late).connect_loop(late_loop);
    let settled = scope.concatenate(settled);
    settled.clone().connect_loop(written_loop);
    settled.concat(committed.recorded).probe_with(done);
}

/// What comes back from the sinks.
struct Back<'scope> {
    /// The frontier of each is the sink's upper; it ends when the sink is detached.
    acks: Vec<Nothing<'scope>>,
    /// Sinks that are to be detached.
    late: StreamVec<'scope, u64, Detach>,
}

/// What decides which changes a sink gets, and when.
struct Gates<'scope> {
    release: Nothing<'scope>,
    reveals: StreamVec<'scope, u64, Reveal>,
    /// Only if it may happen.
    detaches: Option<StreamVec<'scope, u64, Detach>>,
}

/// Those that are about this sink.
fn detaches_of<'scope>(sink: usize, detached: StreamVec<'scope, u64, Detach>) -> StreamVec<'scope, u64, Detach> {
    detached.filter(move |detach| detach.sinks.contains(&sink))
}

/// Tables, operators, dead letters; what tables journal is added to `changes`.
fn collections<'scope>(
    scope: Scope<'scope, u64>,
    setup: &Setup,
    sources: &Sources<'scope>,
    changes: &mut Vec<StreamVec<'scope, u64, Change>>,
) -> Collections<'scope> {
    let start = &setup.start;
    let journalled = setup.journal.is_some();
    let readers = setup.readers();
    let on_error = setup.on_journal_error();
    let SealedStreams { records: mut sealed, dead_letters: sealed_letters, hydrated } =
        sealed_changes(scope, setup.journal.clone(), &start.sealed, &readers, on_error);
    let (mut tables, mut rows, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kept, mut found) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..setup.plan.tables.len() {
        let id = start.tables[number];
        let sealed = sealed.remove(&id).expect("there is a stream for each table");
        if let Some(aggregate) = setup.plan.tables[number].groups_of {
            let Groups { rows: of_groups, changes: changed } =
                kept_groups(scope, setup, number, sources, sealed, &mut letters);
            changes.push(changed.map(move |change| row::record(id, change)));
            kept.insert(aggregate, of_groups);
            tables.push(None);
            rows.push(None);
            continue;
        }
        if let Some(node) = setup.plan.tables[number].pairs_of {
            found.insert(node, (number, sealed));
            tables.push(None);
            rows.push(None);
            continue;
        }
        let Table { read, rows: of_table, changes: changed } =
            table(scope, setup, number, sources, sealed, &mut letters);
        changes.push(changed.map(move |change| row::record(id, change)));
        tables.push(of_table);
        rows.push(read);
    }

    let letter = |(row, _, _)| if let Row::DeadLetter(letter) = row { Some(letter) } else { None };
    let refused = scope.concatenate(letters).flat_map(letter);
    let (appended, changed) = tail::<Arc<DeadLetter>>(refused, sealed_letters, journalled);
    let id = start.dead_letters;
    changes.push(changed.map(move |change| row::dead_letter(id, change)));
    // What operators refuse follows from the rows: a replay repeats it, so that sealing need not wait for operators.
    let mut dead_letters = vec![appended.map(|(letter, epoch, diff)| (Row::DeadLetter(letter), epoch, diff))];
    let known_through = start.sealed.hydrate_at;
    let counters = |name: &str| {
        let mut operators = setup.metrics.operators.iter();
        operators.find(|(known, _)| known == name).expect("all operators are counted").1.clone()
    };
    let (mut moments, mut rejected) = (Vec::new(), Vec::new());
    for (number, plan) in setup.plan.fuses.iter().enumerate() {
        let table = tables[plan.table].clone().expect("validated: fuse reads a table with keys");
        let quiet_through = setup.quiet_through([Collection::Moments(number), Collection::Rejected(number)]);
        let (documents, refused) = moments_of(table, plan, quiet_through, &setup.gauges.writing);
        dead_letters.push(rejections(refused.clone(), &plan.name, known_through, counters(&plan.name)));
        moments.push(documents);
        rejected.push(refused);
    }
    let kept = kept.into_iter().map(|(aggregate, rows)| (aggregate, (rows, empty(scope)))).collect();
    let mut built =
        Built { tables: rows, moments, groups: kept, reshaped: BTreeMap::new(), found, changes: Vec::new() };
    for step in &setup.plan.steps {
        if matches!(*step, Step::Aggregate(at) if setup.plan.aggregates[at].is_table()) {
            continue;
        }
        let name = built.step(*step, setup, sources);
        let unusable = match *step {
            Step::Aggregate(at) => &built.groups[&at].1,
            Step::Node(at) => &built.reshaped[&at].1,
        };
        dead_letters.push(rejections(unusable.clone(), name, known_through, counters(name)));
    }
    let dead_letters = scope.concatenate(dead_letters);
    let Built { tables, moments, groups, reshaped, changes: changed, .. } = built;
    changes.extend(changed);
    let (groups, unusable) = groups.into_values().unzip();
    let (reshaped, unshaped) = reshaped.into_values().unzip();
    Collections { tables, moments, rejected, groups, unusable, reshaped, unshaped, dead_letters, hydrated }
}

/// What there is so far of what operators may read: each of the later ones with the rows that it can not use.
struct Built<'scope> {
    tables: Vec<Option<Rows<'scope>>>,
    moments: Vec<Rows<'scope>>,
    groups: BTreeMap<usize, (Rows<'scope>, Rows<'scope>)>,
    reshaped: BTreeMap<usize, (Rows<'scope>, Rows<'scope>)>,
    /// By node, of those that are tables: their number, and what a journal has.
    found: BTreeMap<usize, (usize, SealedRecords<'scope>)>,
    /// What these journal.
    changes: Vec<StreamVec<'scope, u64, Change>>,
}

impl<'scope> Built<'scope> {
    fn read(&self, from: Collection) -> Rows<'scope> {
        match from {
            Collection::Table(at) => self.tables[at].clone().expect("made for operators that read it"),
            Collection::Moments(at) => self.moments[at].clone(),
            Collection::Groups(at) => self.groups[&at].0.clone(),
            Collection::Reshaped(at) => self.reshaped[&at].0.clone(),
            other => unreachable!("validated: operators do not read {other:?}"),
        }
    }

    /// Builds an operator; answers its name.
    fn step<'s>(&mut self, step: Step, setup: &'s Setup, sources: &Sources<'scope>) -> &'s str {
        let writing = &setup.gauges.writing;
        match step {
            Step::Aggregate(at) => {
                let plan = &setup.plan.aggregates[at];
                let quiet_through = setup.quiet_through([Collection::Groups(at), Collection::Unusable(at)]);
                self.groups.insert(at, groups_of(self.read(plan.from), plan, quiet_through, writing));
                &plan.name
            }
            Step::Node(at) => {
                let plan = &setup.plan.nodes[at];
                let left = self.read(plan.from);
                let made = match &plan.kind {
                    NodeKind::Reshape(spec) => reshaped(left, &plan.name, spec),
                    NodeKind::Join { with, spec } if spec.stays => {
                        let (table, sealed) = self.found.remove(&at).expect("there is a table for it");
                        let rows = BothSides { left, right: self.read(*with) };
                        let of = Lookups { node: at, table, spec, setup };
                        let KeptPairs { rows, unusable, changes } =
                            kept_pairs(of, rows, sealed, sources.reveals.clone());
                        let id = setup.start.tables[table];
                        self.changes.push(changes.map(move |change| row::record(id, change)));
                        (rows, unusable)
                    }
                    NodeKind::Join { with, spec } => {
                        let quiet_through = setup.quiet_through([Collection::Reshaped(at), Collection::Unshaped(at)]);
                        let rows = BothSides { left, right: self.read(*with) };
                        joined(rows, &plan.name, spec, quiet_through, writing)
                    }
                };
                self.reshaped.insert(at, made);
                &plan.name
            }
        }
    }
}

fn empty<'scope>(scope: Scope<'scope, u64>) -> Rows<'scope> {
    None::<RowDiff>.to_stream(scope).container::<Vec<_>>()
}

/// Makes epochs durable. Without a journal an epoch counts as sealed when all input of it is complete.
fn seal<'scope>(
    setup: &Setup,
    index: usize,
    changes: StreamVec<'scope, u64, Change>,
    sources: &Sources<'scope>,
    hydrated: Nothing<'scope>,
    back: Back<'scope>,
) -> Committed<'scope> {
    let Some(journal) = &setup.journal else {
        // Made of the bindings, which are few: made of the batches, it would copy each of them.
        let sealed = sources.bindings.clone().flat_map(|_| None);
        let recorded = sealed.clone();
        // There is nothing to record it in, and nothing to be recorded: each run fills each sink.
        return Committed { sealed, recorded, detached: back.late };
    };
    let on_error = Box::new(setup.on_journal_error());
    let writer = PartWriter { journal: journal.clone(), run: setup.start.run, on_error };
    let shares = part_writer(changes, sources.bindings.clone(), writer);
    let names = setup.plan.sinks.iter().map(|sink| sink.name.clone());
    let acks = names.zip(back.acks).collect();
    let input = Committing { shares, reveals: sources.reveals.clone(), hydrated, acks, late: back.late };
    committer(input, setup.commit(index))
}

/// Writes the collection that the sink reads.
fn sink<'scope>(
    number: usize,
    collections: &Collections<'scope>,
    gates: Gates<'scope>,
    setup: &Setup,
    index: usize,
) -> Written<'scope> {
    let plan = &setup.plan.sinks[number];
    let start = setup.start.sinks[number];
    let rows = match plan.from {
        Collection::Table(at) => collections.tables[at].as_ref().expect("made for sinks that read it"),
        Collection::Moments(at) => &collections.moments[at],
        Collection::Rejected(at) => &collections.rejected[at],
        Collection::Groups(at) => &collections.groups[at],
        Collection::Unusable(at) => &collections.unusable[at],
        Collection::Reshaped(at) => &collections.reshaped[at],
        Collection::Unshaped(at) => &collections.unshaped[at],
        Collection::DeadLetters => &collections.dead_letters,
        Collection::Events(_) => unreachable!("a sink of an unkeyed source reads a table"),
    };
    let Gates { release, reveals, detaches } = gates;
    let (with_before, waiting) = (plan.tells_before(), setup.gauges.waiting.clone());
    let passage = Passage { start, name: &plan.name, with_before, waiting };
    let changes = gate(rows.clone(), release, reveals.clone(), detaches.clone(), passage);
    let (control, owner) = (setup.control.clone(), plan.name.clone());
    let shell = Shell {
        name: plan.name.clone(),
        start,
        finals: match plan.from {
            Collection::Groups(at) => setup.finals[at].clone(),
            _ => FinalSince::default(),
        },
        patience: setup.patience(number),
        gauges: setup.gauges.clone(),
        progress: setup.progress[number].clone(),
        metrics: setup.metrics.sinks[number].1.clone(),
        on_error: Box::new(move |source| control.fail(RunError::Sink { name: owner, source })),
    };
    write(changes, reveals, detaches, shell, setup.writers.placement(number, index))
}
