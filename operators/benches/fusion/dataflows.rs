//! Kernels in a dataflow.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use differential_dataflow::{AsCollection, Data, VecCollection};
use flowstone_operators::fuse::{Emit, FuseOptions, fuse};
use flowstone_operators::interval::Grid;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input as _, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};
use timely::worker::Worker;

use super::common::{Run, Stopwatch};
use super::input::{Annotation, Child, History, SECOND_NS};
use super::{checksum, reduces};

/// A way to fuse.
#[derive(Clone, Copy)]
pub enum Form {
    /// `fuse`.
    Fuse,
    /// differential's reduce by asset and bucket.
    Buckets,
    /// differential's reduce by asset and so many buckets.
    Chunks(u32),
}

/// How a kernel is run.
#[derive(Clone, Copy)]
pub struct Plan {
    pub form: Form,
    pub workers: usize,
    /// Whether the input ends with the bulk: nothing has to be kept for later.
    pub ends: bool,
}

pub type Annotations<'scope> = VecCollection<'scope, u64, (u32, Annotation), isize>;
/// ((asset, bucket), children)
pub type Documents<'scope> = VecCollection<'scope, u64, ((u32, u32), Vec<Child>), isize>;

/// What came out so far, of all workers.
#[derive(Clone, Default)]
struct Found {
    documents: Arc<AtomicI64>,
    sum: Arc<AtomicU64>,
}

impl Found {
    /// Adds up what comes and goes; `of` is the checksum of a document.
    fn of<'scope, D: Data>(
        &self,
        documents: VecCollection<'scope, u64, D, isize>,
        of: impl Fn(&D) -> u64 + 'static,
    ) -> StreamVec<'scope, u64, ()> {
        let found = self.clone();
        documents.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sum", |_, _| {
            move |input, _| {
                let (mut count, mut sum) = (0, 0_u64);
                input.for_each(|_, data| {
                    for (document, _, diff) in data.drain(..) {
                        count += diff as i64;
                        sum = sum.wrapping_add(of(&document).wrapping_mul(diff as u64));
                    }
                });
                found.documents.fetch_add(count, Relaxed);
                found.sum.fetch_add(sum, Relaxed);
            }
        })
    }
}

fn build<'scope>(annotations: Annotations<'scope>, form: Form, found: &Found) -> StreamVec<'scope, u64, ()> {
    let list =
        |((asset, bucket), children): &((u32, u32), Vec<Child>)| checksum(*asset, *bucket, children.iter().copied());
    match form {
        Form::Buckets => found.of(reduces::by_bucket(annotations), list),
        Form::Chunks(width) => found.of(reduces::by_chunk(annotations, width), list),
        Form::Fuse => {
            let options = FuseOptions::new(Emit::Buckets(Grid::new(SECOND_NS)));
            let (moments, _rejected) = fuse(annotations, options, |a: &Annotation| a.interval, |a| &a.kind);
            found.of(moments, |moment| {
                let bucket = (moment.interval.start_ns() / SECOND_NS) as u32;
                checksum(moment.key, bucket, moment.children.iter().map(|annotation| annotation.child))
            })
        }
    }
}

/// Runs all phases of a history; or the bulk alone, if the input ends with it.
pub fn run(history: &Arc<History>, plan: Plan) -> Vec<Run> {
    let (history, found) = (history.clone(), Found::default());
    let runs: Arc<Mutex<Vec<Run>>> = Arc::default();
    let done = runs.clone();
    let guards = timely::execute(timely::Config::process(plan.workers), move |worker| {
        let mut input = InputHandle::new();
        let probe = ProbeHandle::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let changes = scope.input_from(&mut input).container::<Vec<((u32, Annotation), u64, isize)>>();
            build(changes.as_collection(), plan.form, &found).probe_with(&probe);
        });
        let (mut epoch, mut first) = (0, 0);
        let phases = if plan.ends { 1 } else { history.phases.len() };
        let mut input = Some(input);
        for (number, phase) in history.phases[..phases].iter().enumerate() {
            let clock = Stopwatch::start();
            let mut steps = Vec::with_capacity(phase.epochs.len());
            for end in &phase.epochs {
                let started = Instant::now();
                give(worker, &mut input, &history, first..*end, epoch);
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

type Input = InputHandle<u64, CapacityContainerBuilder<Vec<((u32, Annotation), u64, isize)>>>;

/// Sends this worker's share.
fn give(worker: &mut Worker, input: &mut Option<Input>, history: &History, of: std::ops::Range<usize>, epoch: u64) {
    let Some(input) = input else { return };
    let own = |n: usize| of.start + of.len() * n / worker.peers();
    let own = own(worker.index())..own(worker.index() + 1);
    let update = |(version, diff): &(u32, isize)| (history.rows[*version as usize], epoch, *diff);
    for changes in history.changes[own].chunks(1 << 10) {
        input.send_batch(&mut changes.iter().map(update).collect());
        worker.step();
    }
}

/// A worker is through with a phase. A step takes as long as it takes the slowest worker; the last one to come knows what came
/// out, as nothing of the next phase can before.
fn note(runs: &Mutex<Vec<Run>>, number: usize, clock: Stopwatch, steps: Vec<Duration>, found: &Found) {
    let mut run = clock.stop(steps, found.documents.load(Relaxed), found.sum.load(Relaxed));
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
