//! Fusion, timed.

use std::ops::Range;
use std::sync::Arc;

use differential_dataflow::input::InputSession;
use flowstone_operators::fuse::{Emit, FuseOptions, fuse};
use flowstone_operators::interval::Grid;
use serde::Serialize;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Probe;
use timely::worker::Worker;

use super::history::{Annotation, History};
use super::report::{self, Before, Report};
use super::settings::{BenchError, Running, Workload, nanos, within};
use super::timing::{Counting, Counts, Feed, Progress, passes};
use crate::pipeline::units::Span;

pub(super) mod floor;

/// What one fused document stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A bucket.
    Buckets,
    /// Consecutive buckets with the same children.
    Runs,
    /// The exact stretch between two neighbouring end points.
    Segments,
}

/// What fusion is benchmarked on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FusionSettings {
    /// Which annotations.
    #[serde(flatten)]
    pub workload: Workload,
    /// How it is run.
    #[serde(flatten)]
    pub running: Running,
    /// The width of a bucket.
    #[serde(rename = "bucket_ns", serialize_with = "nanos")]
    pub bucket: Span,
    /// What one document stands for.
    pub emit: Form,
    /// How many types a document needs.
    pub min_modalities: usize,
}

impl Default for FusionSettings {
    fn default() -> Self {
        let (workload, running) = (Workload::default(), Running::default());
        FusionSettings { workload, running, bucket: Span::from_millis(1_000), emit: Form::Buckets, min_modalities: 2 }
    }
}

impl FusionSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<(), BenchError> {
        self.workload.check()?;
        self.running.check()?;
        within("min-modalities", self.min_modalities as u64, 1, self.workload.modalities.into())
    }

    /// The grid in which a sweep counts; a segment is a run of buckets of one nanosecond.
    fn grid(&self) -> Grid {
        Grid::new(if self.emit == Form::Segments { 1 } else { self.bucket.nanos() })
    }

    fn options(&self) -> FuseOptions<u8> {
        let emit = match self.emit {
            Form::Buckets => Emit::Buckets(self.grid()),
            Form::Runs => Emit::Runs(self.grid()),
            Form::Segments => Emit::Segments,
        };
        FuseOptions::new(emit).with_min_kinds(self.min_modalities)
    }
}

/// Makes up changes of annotations, and times fusion of them as often as asked for. Its results are documents.
///
/// # Errors
/// If the settings make no sense, workers can not be started, or dataflow and sweep disagree.
pub fn fusion(settings: &FusionSettings, progress: &Progress) -> Result<Report<FusionSettings>, BenchError> {
    settings.check()?;
    let (workload, running) = (&settings.workload, &settings.running);
    let before = Before::now();
    let history = Arc::new(History::new(workload));
    let passes = passes(running, &history.epochs, progress, feed(settings, &history))?;
    let sweep = || floor::sweep(&history.left, settings);
    report::make(settings.clone(), (workload, running), (&before, &history), &passes, sweep)
}

/// What builds a worker's part.
pub(super) fn feed(
    settings: &FusionSettings,
    history: &Arc<History>,
) -> impl Fn(&mut Worker) -> Fusion + Clone + Send + Sync + 'static {
    let (settings, history) = (settings.clone(), history.clone());
    move |worker| Fusion::new(worker, settings.options(), history.clone())
}

/// One worker's part of the dataflow.
pub(super) struct Fusion {
    history: Arc<History>,
    share: (usize, usize),
    input: Option<InputSession<u64, (u32, Arc<Annotation>), isize>>,
    probe: ProbeHandle<u64>,
    counts: Counting,
}

impl Fusion {
    fn new(worker: &mut Worker, options: FuseOptions<u8>, history: Arc<History>) -> Self {
        let share = (worker.index(), worker.peers());
        let (mut input, probe, counts) = (InputSession::new(), ProbeHandle::new(), Counting::default());
        worker.dataflow(|scope| {
            let annotations = input.to_collection(scope);
            let (moments, _rejected) = fuse(annotations, options, |a: &Arc<Annotation>| a.interval, |a| &a.kind);
            let counts = counts.clone();
            let counted = moments.inspect(move |(moment, _, diff)| {
                counts.borrow_mut().add(moment.children.len() as i64, *diff);
            });
            counted.inner.probe_with(&probe);
        });
        Fusion { history, share, input: Some(input), probe, counts }
    }
}

impl Feed for Fusion {
    fn give(&mut self, changes: Range<usize>) {
        let Some(input) = &mut self.input else { return };
        let (worker, workers) = self.share;
        for change in self.history.changes[changes].iter().skip(worker).step_by(workers) {
            input.update((change.asset, change.annotation.clone()), change.diff);
        }
    }

    fn advance(&mut self, to: Option<u64>) {
        match (to, &mut self.input) {
            (Some(epoch), Some(input)) => {
                input.advance_to(epoch);
                input.flush();
            }
            _ => self.input = None,
        }
    }

    fn is_done(&self, before: Option<u64>) -> bool {
        before.map_or_else(|| self.probe.done(), |epoch| !self.probe.less_than(&epoch))
    }

    fn take_counts(&mut self) -> Counts {
        self.counts.take()
    }
}
