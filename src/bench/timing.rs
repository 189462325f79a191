//! Workers that take changes epoch by epoch, and how long each epoch takes.

use std::cell::RefCell;
use std::ops::{AddAssign, Range};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use timely::worker::Worker;

use super::history::Epoch;
use super::settings::{BenchError, Running};
use crate::runtime::memory::resident_bytes;

/// How long a worker that has nothing to do sleeps at most.
const PARK: Duration = Duration::from_millis(1);

/// Told how many lines are done of all repetitions together.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What an epoch put out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Results that came.
    pub written: u64,
    /// Results that went.
    pub retracted: u64,
    /// A sum over those that came, less that over those that went; wraps around.
    pub check: i64,
}

impl Counts {
    /// One result that comes or goes, with its summand.
    pub(super) fn add(&mut self, check: i64, diff: isize) {
        if diff > 0 {
            self.written += 1;
            self.check = self.check.wrapping_add(check);
        } else {
            self.retracted += 1;
            self.check = self.check.wrapping_sub(check);
        }
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.written.saturating_sub(self.retracted)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.written += other.written;
        self.retracted += other.retracted;
        self.check = self.check.wrapping_add(other.check);
    }
}

/// Counts that an operator adds to, and its worker takes.
pub(super) type Counting = Rc<RefCell<Counts>>;

/// One worker's part of a dataflow.
pub(super) trait Feed {
    /// Gives this worker's share of these changes.
    fn give(&mut self, changes: Range<usize>);
    /// Ends the epoch before this one; `None` ends the input.
    fn advance(&mut self, to: Option<u64>);
    /// Whether all epochs before this one are done; with `None`, whether all are.
    fn is_done(&self, before: Option<u64>) -> bool;
    /// What came out since it was last asked.
    fn take_counts(&mut self) -> Counts;
}

/// An epoch: what it put out, and how long it took from its first change until the first worker knew that it was done.
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

    pub(super) fn counts(&self) -> Counts {
        total(&self.samples)
    }
}

/// What several epochs put out.
pub(super) fn total(samples: &[Sample]) -> Counts {
    let mut counts = Counts::default();
    samples.iter().for_each(|sample| counts += sample.counts);
    counts
}

/// Runs all epochs as often as asked for, each time on new workers. `make` builds a worker's part of the dataflow.
pub(super) fn passes<F: Feed + 'static>(
    running: &Running,
    epochs: &[Epoch],
    progress: &Progress,
    make: impl Fn(&mut Worker) -> F + Clone + Send + Sync + 'static,
) -> Result<Vec<Pass>, BenchError> {
    let lines: u64 = epochs.iter().map(|epoch| epoch.lines).sum();
    let passes = (0..running.repetitions as u64).map(|number| {
        let progress = progress.clone();
        pass(running, epochs, Arc::new(move |done| progress(number * lines + done)), make.clone())
    });
    passes.collect()
}

/// Runs all epochs on new workers.
fn pass<F: Feed + 'static>(
    running: &Running,
    epochs: &[Epoch],
    progress: Progress,
    make: impl Fn(&mut Worker) -> F + Send + Sync + 'static,
) -> Result<Pass, BenchError> {
    let (epochs, backfill) = (epochs.to_vec(), running.backfill);
    // Memory is looked at while all workers still have their state.
    let (ended, looked) = (Barrier::new(running.workers), Barrier::new(running.workers));
    let guards = timely::execute(timely::Config::process(running.workers), move |worker| {
        let mut feed = make(worker);
        let mut samples = Vec::with_capacity(epochs.len());
        let mut lines = 0;
        for (number, epoch) in (1..).zip(&epochs) {
            let ends = backfill && number == epochs.len() as u64;
            samples.push(one_epoch(worker, &mut feed, epoch, (!ends).then_some(number)));
            lines += epoch.lines;
            if worker.index() == 0 {
                progress(lines);
            }
        }
        ended.wait();
        let resident_bytes = if worker.index() == 0 && !backfill { settled_bytes() } else { None };
        looked.wait();
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

/// Gives an epoch and waits until all of it is done; `next` opens if there is one, else the input ends.
fn one_epoch(worker: &mut Worker, feed: &mut impl Feed, epoch: &Epoch, next: Option<u64>) -> Sample {
    let began = Instant::now();
    feed.give(epoch.changes.clone());
    feed.advance(next);
    worker.step_or_park_while(Some(PARK), || !feed.is_done(next));
    Sample { took: began.elapsed(), counts: feed.take_counts() }
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
