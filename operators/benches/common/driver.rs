//! Runs a dataflow epoch by epoch.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use differential_dataflow::{Data, VecCollection};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input as _, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};

use super::{Run, Stopwatch};

/// So many changes are sent at once.
const BATCH: usize = 1 << 10;

/// How a dataflow is run.
#[derive(Clone, Copy)]
pub struct Plan {
    pub workers: usize,
    /// Whether the input ends with the first phase: nothing has to be kept for later.
    pub ends: bool,
}

/// What came out so far, of all workers.
#[derive(Clone, Default)]
pub struct Found {
    rows: Arc<AtomicI64>,
    sum: Arc<AtomicU64>,
}

impl Found {
    /// Adds up what comes and goes; `of` is the checksum of a row.
    pub fn of<'scope, D: Data>(
        &self,
        rows: VecCollection<'scope, u64, D, isize>,
        of: impl Fn(&D) -> u64 + 'static,
    ) -> StreamVec<'scope, u64, ()> {
        let found = self.clone();
        rows.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sum", |_, _| {
            move |input, _| {
                let (mut count, mut sum) = (0, 0_u64);
                input.for_each(|_, data| {
                    for (row, _, diff) in data.drain(..) {
                        count += diff as i64;
                        sum = sum.wrapping_add(of(&row).wrapping_mul(diff as u64));
                    }
                });
                found.rows.fetch_add(count, Relaxed);
                found.sum.fetch_add(sum, Relaxed);
            }
        })
    }
}

/// Runs phases, each a list of epochs: up to which change each goes. Changes are counted through all of them, and `change` says
/// what one is at its epoch. Each epoch is complete before the next one is sent.
pub fn drive<D, B, C>(phases: &[Vec<usize>], plan: Plan, build: B, change: C) -> Vec<Run>
where
    D: ExchangeData + Clone,
    B: for<'scope> Fn(StreamVec<'scope, u64, D>, &Found) -> StreamVec<'scope, u64, ()> + Send + Sync + 'static,
    C: Fn(usize, u64) -> D + Send + Sync + 'static,
{
    let phases = phases[..if plan.ends { 1 } else { phases.len() }].to_vec();
    let (runs, found) = (Arc::<Mutex<Vec<Run>>>::default(), Found::default());
    let done = runs.clone();
    let guards = timely::execute(timely::Config::process(plan.workers), move |worker| {
        let mut input = InputHandle::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let changes = scope.input_from(&mut input).container::<Vec<D>>();
            build(changes, &found).probe_with(&probe);
        });
        let mut input = Some(input);
        let (mut epoch, mut first) = (0, 0);
        for (number, epochs) in phases.iter().enumerate() {
            let clock = Stopwatch::start();
            let mut steps = Vec::with_capacity(epochs.len());
            for end in epochs {
                let started = Instant::now();
                let own = |n: usize| first + (end - first) * n / worker.peers();
                let own = own(worker.index())..own(worker.index() + 1);
                if let Some(input) = &mut input {
                    for n in own.clone().step_by(BATCH) {
                        let batch = n..own.end.min(n + BATCH);
                        input.send_batch(&mut batch.map(|n| change(n, epoch)).collect());
                        worker.step();
                    }
                }
                (first, epoch) = (*end, epoch + 1);
                if plan.ends {
                    input = None;
                    worker.step_while(|| !probe.done());
                } else if let Some(input) = &mut input {
                    input.advance_to(epoch);
                    worker.step_while(|| probe.less_than(&epoch));
                }
                steps.push(started.elapsed());
            }
            note(&runs, number, clock, steps, &found);
        }
    });
    guards.expect("workers start").join().into_iter().for_each(|result| result.expect("workers end well"));
    let runs = done.lock().expect("no worker panicked");
    runs.clone()
}

/// A worker is through with a phase. A step takes as long as it takes the slowest worker; the last one to come knows what came
/// out, as nothing of the next phase can before.
fn note(runs: &Mutex<Vec<Run>>, number: usize, clock: Stopwatch, steps: Vec<Duration>, found: &Found) {
    let mut run = clock.stop(steps, found.rows.load(Relaxed), found.sum.load(Relaxed));
    let mut runs = runs.lock().expect("no worker panicked");
    match runs.get_mut(number) {
        Some(known) => {
            run.elapsed = run.elapsed.max(known.elapsed);
            run.used = run.used.max(known.used);
            run.steps.iter_mut().zip(&known.steps).for_each(|(step, other)| *step = (*step).max(*other));
            *known = run;
        }
        None => runs.push(run),
    }
}
