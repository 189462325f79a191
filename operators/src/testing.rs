//! A harness for laws of operators: the same input at 1, 2 and 3 workers, cut into epochs, and what comes out at each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};

use timely::ExchangeData;
use timely::dataflow::operators::capture::{Capture, Extract};
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};

/// The changes of rows, and the rows by id.
type Changed<R> = (Vec<Vec<(R, u64, isize)>>, Vec<BTreeMap<u16, R>>);

/// What histories of ids come to, each step of which says which row an id stands for from now on, and `None` deletes: the
/// changes of the rows, by epoch, and the rows after each.
pub fn changes<R: Copy>(epochs: &[Vec<(u16, Option<R>)>]) -> Changed<R> {
    let mut rows = BTreeMap::new();
    let (mut updates, mut states) = (Vec::new(), Vec::new());
    for (epoch, steps) in (0..).zip(epochs) {
        let mut changes = Vec::new();
        for (id, row) in steps {
            let old = match row {
                Some(row) => rows.insert(*id, *row),
                None => rows.remove(id),
            };
            changes.extend(old.map(|old| (old, epoch, -1)));
            changes.extend(row.map(|row| (row, epoch, 1)));
        }
        updates.push(changes);
        states.push(rows.clone());
    }
    (updates, states)
}

/// Feeds `epochs` (the n-th at time n) round-robin to `workers` through `operator`; returns the sorted output by time.
///
/// # Panics
/// If a worker does, or if the dataflow does not complete an epoch.
pub fn run<I, O, F>(workers: usize, epochs: Vec<Vec<I>>, operator: F) -> BTreeMap<u64, Vec<O>>
where
    I: ExchangeData + Clone + Sync,
    O: ExchangeData + Clone + Ord,
    F: for<'scope> Fn(StreamVec<'scope, u64, I>) -> StreamVec<'scope, u64, O> + Send + Sync + 'static,
{
    feed(workers, epochs, true, operator)
}

/// The same for operators that hold epochs back: none is waited for before the end.
///
/// # Panics
/// If a worker does.
pub fn run_held<I, O, F>(workers: usize, epochs: Vec<Vec<I>>, operator: F) -> BTreeMap<u64, Vec<O>>
where
    I: ExchangeData + Clone + Sync,
    O: ExchangeData + Clone + Ord,
    F: for<'scope> Fn(StreamVec<'scope, u64, I>) -> StreamVec<'scope, u64, O> + Send + Sync + 'static,
{
    feed(workers, epochs, false, operator)
}

fn feed<I, O, F>(workers: usize, epochs: Vec<Vec<I>>, wait: bool, operator: F) -> BTreeMap<u64, Vec<O>>
where
    I: ExchangeData + Clone + Sync,
    O: ExchangeData + Clone + Ord,
    F: for<'scope> Fn(StreamVec<'scope, u64, I>) -> StreamVec<'scope, u64, O> + Send + Sync + 'static,
{
    let (tx, rx) = mpsc::channel();
    let (tx, epochs) = (Mutex::new(tx), Arc::new(epochs));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let tx = tx.lock().expect("no worker panicked").clone();
        let mut input = InputHandle::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let stream = scope.input_from(&mut input).container::<Vec<I>>();
            operator(stream).probe_with(&probe).capture_into(tx);
        });
        for (time, items) in (0..).zip(epochs.iter()) {
            items.iter().skip(index).step_by(peers).for_each(|item| input.send(item.clone()));
            input.advance_to(time + 1);
            if wait {
                worker.step_while(|| probe.less_than(input.time()));
            } else {
                worker.step();
            }
        }
        input.close();
        worker.step_while(|| !probe.done());
    });
    guards.expect("workers start").join().into_iter().for_each(|result| result.expect("workers end well"));
    let mut out: BTreeMap<u64, Vec<O>> = BTreeMap::new();
    for (time, data) in rx.extract() {
        out.entry(time).or_default().extend(data);
    }
    out.values_mut().for_each(|items| items.sort());
    out
}

/// The sum of updates `(row, time, diff)` by row, without those that cancel out.
pub fn accumulate<D: Ord>(updates: impl IntoIterator<Item = (D, u64, isize)>) -> BTreeMap<D, isize> {
    let mut rows = BTreeMap::new();
    for (row, _, diff) in updates {
        *rows.entry(row).or_insert(0) += diff;
    }
    rows.retain(|_, diff| *diff != 0);
    rows
}
