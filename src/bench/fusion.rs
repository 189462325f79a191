//! Fusion, timed: workers that take made-up changes epoch by epoch.

use std::cell::RefCell;
use std::ops::AddAssign;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use differential_dataflow::input::InputSession;
use flowstone_operators::fuse::{Emit, Facets, FuseOptions, fuse};
use flowstone_operators::interval::Grid;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Probe;
use timely::worker::Worker;

use super::floor;
use super::history::{Annotation, Epoch, History};
use super::report::{self, FusionReport};
use super::settings::{BenchError, Form, FusionSettings};
use crate::runtime::memory::resident_bytes;

/// How long a worker that has nothing to do sleeps at most.
const PARK: Duration = Duration::from_millis(1);

/// Told how many lines are done of all repetitions together.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What an epoch put out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Documents that came.
    pub written: u64,
    /// Documents that went.
    pub retracted: u64,
    /// The children of those that came, without those of the ones that went.
    pub children: i64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.written += other.written;
        self.retracted += other.retracted;
        self.children += other.children;
    }
}

/// An epoch: what it put out, and how long it took from its first change until all workers knew that it was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub counts: Counts,
    pub took: Duration,
}

/// One time through all epochs.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub samples: Vec<Sample>,
    /// What the process held in the end; not known if the input ended, or outside of Linux.
    pub resident_bytes: Option<u64>,
}

impl Pass {
    pub(super) fn took(&self) -> Duration {
        self.samples.iter().map(|sample| sample.took).sum()
    }
}

/// Makes up changes of annotations, and times fusion of them as often as asked for; with `compare`, also the same by one
/// sort and one sweep.
///
/// # Errors
/// If the settings make no sense, workers can not be started, or the two disagree.
pub fn fusion(settings: &FusionSettings, compare: bool, progress: &Progress) -> Result<FusionReport, BenchError> {
    settings.check()?;
    let before_bytes = resident_bytes();
    let history = Arc::new(History::new(settings));
    let passes = (0..settings.repetitions as u64).map(|number| {
        let before = number * settings.annotations;
        let progress = progress.clone();
        pass(settings, &history, Arc::new(move |lines| progress(before + lines)))
    });
    let passes = passes.collect::<Result<Vec<_>, _>>()?;
    let swept = compare.then(|| (0..settings.repetitions).map(|_| floor::sweep(&history.left, settings)));
    let swept = swept.and_then(|sweeps| sweeps.min_by_key(|swept| swept.took));
    if let Some(swept) = swept {
        report::agree(&passes, &swept)?;
    }
    // Later passes use again what the first one has freed.
    let resident_bytes = passes.first().and_then(|pass| pass.resident_bytes);
    let grown_bytes = before_bytes.zip(resident_bytes).map(|(before, after)| after.saturating_sub(before));
    let state_bytes = grown_bytes.map(|grown| grown.saturating_sub(history.bytes()));
    Ok(report::make(settings, &history, &passes, swept, state_bytes))
}

/// Runs all epochs on new workers.
pub(super) fn pass(settings: &FusionSettings, history: &Arc<History>, progress: Progress) -> Result<Pass, BenchError> {
    let (history, backfill) = (history.clone(), settings.backfill);
    let options = options(settings);
    // The state is measured while all workers still have theirs.
    let (ended, measured) = (Barrier::new(settings.workers), Barrier::new(settings.workers));
    let guards = timely::execute(timely::Config::process(settings.workers), move |worker| {
        let mut run = Run::new(worker, &options);
        let mut samples = Vec::with_capacity(history.epochs.len());
        let mut lines = 0;
        for (number, epoch) in (1..).zip(&history.epochs) {
            let ends = backfill && number == history.epochs.len() as u64;
            samples.push(run.epoch(worker, &history, epoch, (!ends).then_some(number)));
            lines += epoch.lines;
            if worker.index() == 0 {
                progress(lines);
            }
        }
        ended.wait();
        let resident_bytes = if worker.index() == 0 && !backfill { settled_bytes() } else { None };
        measured.wait();
        (samples, resident_bytes)
    });
    let workers = guards.map_err(BenchError::Workers)?.join().into_iter();
    let workers: Vec<_> = workers.collect::<Result<_, _>>().map_err(BenchError::Workers)?;
    let resident_bytes = workers.iter().find_map(|(_, bytes)| *bytes);
    // The first worker's clock, and what all of them put out.
    let mut all = workers.into_iter().map(|(samples, _)| samples);
    let mut samples = all.next().unwrap_or_default();
    for others in all {
        samples.iter_mut().zip(others).for_each(|(sample, other)| sample.counts += other.counts);
    }
    Ok(Pass { samples, resident_bytes })
}

/// What the process holds, once the allocator has given back what is free: it does so a while later, when it is used.
fn settled_bytes() -> Option<u64> {
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(10));
        std::hint::black_box(vec![0_u8; 1 << 20]);
        std::hint::black_box(vec![0_u8; 1 << 10]);
    }
    resident_bytes()
}

fn options(settings: &FusionSettings) -> FuseOptions<u8> {
    let grid = Grid::new(settings.bucket.nanos());
    let emit = match settings.emit {
        Form::Buckets => Emit::Buckets(grid),
        Form::Runs => Emit::Runs(grid),
        Form::Segments => Emit::Segments,
    };
    FuseOptions::new(emit).with_min_kinds(settings.min_modalities)
}

/// One worker's part of the dataflow.
struct Run {
    input: Option<InputSession<u64, (u32, Arc<Annotation>), isize>>,
    probe: ProbeHandle<u64>,
    counts: Rc<RefCell<Counts>>,
}

impl Run {
    fn new(worker: &mut Worker, options: &FuseOptions<u8>) -> Self {
        let (mut input, probe) = (InputSession::new(), ProbeHandle::new());
        let counts = Rc::new(RefCell::new(Counts::default()));
        worker.dataflow(|scope| {
            let annotations = input.to_collection(scope);
            let (moments, _rejected) = fuse(annotations, options.clone(), |annotation: &Arc<Annotation>| Facets {
                kind: &annotation.kind,
                interval: annotation.interval,
            });
            let counts = counts.clone();
            let counted = moments.inspect(move |(moment, _, diff)| {
                let children = moment.children.len() as i64 * *diff as i64;
                let (written, retracted) = if *diff > 0 { (1, 0) } else { (0, 1) };
                *counts.borrow_mut() += Counts { written, retracted, children };
            });
            counted.inner.probe_with(&probe);
        });
        Run { input: Some(input), probe, counts }
    }

    /// Gives this worker's share of an epoch and waits until all of it is done; `next` opens if there is one, else the input ends.
    fn epoch(&mut self, worker: &mut Worker, history: &History, epoch: &Epoch, next: Option<u64>) -> Sample {
        let began = Instant::now();
        let share = history.changes[epoch.changes.clone()].iter().skip(worker.index()).step_by(worker.peers());
        if let Some(input) = &mut self.input {
            share.for_each(|change| input.update((change.asset, change.annotation.clone()), change.diff));
        }
        match (next, &mut self.input) {
            (Some(next), Some(input)) => {
                input.advance_to(next);
                input.flush();
                worker.step_or_park_while(Some(PARK), || self.probe.less_than(&next));
            }
            _ => {
                self.input = None;
                worker.step_or_park_while(Some(PARK), || !self.probe.done());
            }
        }
        Sample { counts: self.counts.take(), took: began.elapsed() }
    }
}
