//! Counts of events in a table, with a journal and without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use flowstone_journal::{Entry, Journal, Keeper, PartBuilder, Seal, TableInfo};
use flowstone_operators::accumulate::{Accumulated, Accumulation, accumulate, combine};
use flowstone_operators::aggregate::Group;
use flowstone_operators::route::Route;
use flowstone_operators::table::{Keyed, TableChange, TableInput, TableOptions};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Concat, ToStream};

use super::common::driver::{Found, Plan, drive};
use super::common::{Run, Stopwatch};
use super::dataflows::checksum;
use super::input::Input;

/// The number of events of a key: what is shown of a group, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    key: u32,
    rows: i64,
}

impl Keyed for Count {
    fn key_hash(&self) -> u64 {
        self.key.route()
    }

    fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    fn same_row(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

struct Counts;

impl Accumulation for Counts {
    type Key = u32;
    type Of = ();
    type Piece = Count;
    type Row = Count;

    fn row(&mut self, key: &u32, group: &Group<()>) -> Count {
        Count { key: *key, rows: group.rows }
    }

    fn key_of_row(&self, row: &Count) -> u32 {
        row.key
    }

    fn add(&mut self, key: &u32, group: &mut Group<()>, change: Group<()>, mut note: impl FnMut(Count)) {
        group.merge(change);
        note(Count { key: *key, rows: group.rows });
    }

    fn key_of_piece(&self, piece: &Count) -> u32 {
        piece.key
    }

    fn restore(&mut self, piece: &Count, group: &mut Group<()>) {
        group.rows = piece.rows;
    }

    fn is_gone(&self, _: &Count) -> bool {
        false
    }
}

/// What a worker changes at an epoch.
type Share = (u64, Vec<Count>);

/// The operator. With a journal, whatever an epoch changes is a part of it on disk, and sealed, before the clock stops; while
/// that is written, the next epochs go on.
pub fn counted(input: &Arc<Input>, workers: usize, is_journalled: bool) -> Run {
    let (shares, written) = channel();
    let writer = is_journalled.then(|| std::thread::spawn(move || write(workers, &written)));
    let changes = input.clone();
    let change = move |n: usize, _| (changes.changes[n].key, ());
    let epochs = std::slice::from_ref(&input.epochs);
    let plan = Plan { workers, ends: false };
    let runs = drive(epochs, plan, move |events, found| build(events, found, shares.clone(), is_journalled), change);
    let mut run = runs.into_iter().next().expect("there is one phase");
    let rest = Stopwatch::start();
    writer.into_iter().for_each(|writer| writer.join().expect("the journal is written"));
    let rest = rest.stop(Vec::new(), 0, 0);
    run.elapsed += rest.elapsed;
    run.used += rest.used;
    run
}

fn build<'scope>(
    live: StreamVec<'scope, u64, (u32, ())>,
    found: &Found,
    shares: Sender<Share>,
    is_journalled: bool,
) -> StreamVec<'scope, u64, ()> {
    let scope = live.scope();
    let sealed = None::<(u64, Count)>.to_stream(scope).container::<Vec<_>>();
    let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
    let input = TableInput { live: combine(live), sealed, reveals, ticks: None };
    let options = TableOptions { journalled: is_journalled, ..TableOptions::default() };
    let Accumulated { rows, changes } = accumulate(input, options, Counts);
    let counted = found.of(rows, |count| checksum(count.key, count.rows));
    let noted = changes.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Share", |_, _| {
        let mut open: BTreeMap<u64, Vec<Count>> = BTreeMap::new();
        move |(input, frontier), _| {
            input.for_each_time(|time, data| {
                let share = open.entry(*time.time()).or_default();
                share.extend(data.flat_map(|d| d.drain(..)).map(|change| match change {
                    TableChange::Set(count) | TableChange::Remove(count) => count,
                }));
            });
            while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
                shares.send(entry.remove_entry()).expect("the writer waits");
            }
        }
    });
    counted.concat(noted)
}

/// Writes what all workers have of an epoch; several epochs as one part, if they wait.
fn write(workers: usize, shares: &Receiver<Share>) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the journal");
    let journal = Journal::open(&place.path().to_string_lossy()).expect("a journal");
    let mut keeper = Keeper::open(journal.clone()).expect("nobody else has it");
    let table = TableInfo { name: "counts".to_owned(), tail: false, awaits_reveal: false };
    keeper.append(Entry { new_tables: vec![(0, table)], ..Entry::default() }).expect("the disk is sound");
    keeper.hydrated();
    let mut waiting: BTreeMap<u64, Vec<Vec<Count>>> = BTreeMap::new();
    let mut number = 0;
    while let Ok(first) = shares.recv() {
        for (epoch, counts) in std::iter::once(first).chain(shares.try_iter()) {
            waiting.entry(epoch).or_default().push(counts);
        }
        let mut complete = Vec::new();
        while let Some(entry) = waiting.first_entry().filter(|entry| entry.get().len() == workers) {
            let (epoch, shares) = entry.remove_entry();
            complete.extend(shares.into_iter().flatten().map(|count| (epoch + 1, count)));
        }
        let (Some(first), Some(last)) = (complete.first(), complete.last()) else { continue };
        let (first, last) = (first.0, last.0);
        let bytes: Vec<_> = complete.iter().map(|(_, of)| (of.key.to_le_bytes(), of.rows.to_le_bytes())).collect();
        let mut part = PartBuilder::with_capacity(complete.len());
        for ((epoch, of), (key, value)) in complete.iter().zip(&bytes) {
            part.add(0, of.key.route(), *epoch, key, Some(value));
        }
        let part = journal.store_part(&format!("bench-{number}"), part).expect("the disk is sound");
        number += 1;
        let seals = (first..=last).map(|epoch| Seal { epoch, bindings: Vec::new() }).collect();
        let parts = part.map(|part| (part, first, last)).into_iter().collect();
        keeper.append(Entry { seals, parts, ..Entry::default() }).expect("the disk is sound");
    }
}
