//! The pairwise join of intervals, timed.

use std::ops::Range;
use std::sync::Arc;

use differential_dataflow::input::InputSession;
use flowstone_operators::overlap::{OverlapOptions, overlap_join};
use serde::Serialize;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Probe;
use timely::worker::Worker;

use super::history::{Annotation, History};
use super::report::{self, Before, Report};
use super::settings::{BenchError, Running, Workload};
use super::timing::{Counting, Counts, Feed, Progress, passes};
use crate::pipeline::units::Span;

pub(super) mod floor;

/// What the join is benchmarked on. Annotations are of two types, which are its sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverlapSettings {
    /// Which annotations; there must be two types.
    #[serde(flatten)]
    pub workload: Workload,
    /// How it is run.
    #[serde(flatten)]
    pub running: Running,
    /// Whether annotations pair as well if one ends where the other starts.
    pub touching: bool,
}

impl Default for OverlapSettings {
    /// A thousand assets with about a thousand annotations on each side, a mean length of 0.5 % of the span: ten million pairs.
    fn default() -> Self {
        let mean_length = Span::from_millis(36_000);
        let workload =
            Workload { annotations: 2_000_000, assets: 1_000, modalities: 2, mean_length, ..Workload::default() };
        OverlapSettings { workload, running: Running::default(), touching: false }
    }
}

impl OverlapSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<(), BenchError> {
        if self.workload.modalities != 2 {
            return Err(BenchError::Setting { setting: "modalities", expected: "2: the sides of the join".to_owned() });
        }
        self.workload.check()?;
        self.running.check()
    }
}

/// The side of an annotation.
fn is_left(annotation: &Annotation) -> bool {
    annotation.kind == 0
}

/// What a pair adds to the sum by which dataflow and sweep are compared.
pub(super) fn check(left: u64, right: u64) -> i64 {
    // Odd constants: no pair stands for another one just because its sides are swapped or moved alike.
    let mixed = left.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ right.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31);
    mixed.cast_signed()
}

/// Makes up changes of annotations, and times their join as often as asked for. Its results are pairs.
///
/// # Errors
/// If the settings make no sense, workers can not be started, or dataflow and sweep disagree.
pub fn overlap(settings: &OverlapSettings, progress: &Progress) -> Result<Report<OverlapSettings>, BenchError> {
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
    settings: &OverlapSettings,
    history: &Arc<History>,
) -> impl Fn(&mut Worker) -> Overlap + Clone + Send + Sync + 'static {
    let (settings, history) = (settings.clone(), history.clone());
    move |worker| Overlap::new(worker, &settings, history.clone())
}

type Side = InputSession<u64, (u32, Arc<Annotation>), isize>;

/// One worker's part of the dataflow.
pub(super) struct Overlap {
    history: Arc<History>,
    share: (usize, usize),
    /// Left and right.
    inputs: Option<(Side, Side)>,
    probe: ProbeHandle<u64>,
    counts: Counting,
}

impl Overlap {
    fn new(worker: &mut Worker, settings: &OverlapSettings, history: Arc<History>) -> Self {
        let share = (worker.index(), worker.peers());
        let (mut left, mut right) = (Side::new(), Side::new());
        let (probe, counts) = (ProbeHandle::new(), Counting::default());
        worker.dataflow(|scope| {
            let interval = |annotation: &Arc<Annotation>| annotation.interval;
            let options = OverlapOptions::new(interval, interval);
            let options = if settings.touching { options.with_touching() } else { options };
            let (lefts, rights) = (left.to_collection(scope), right.to_collection(scope));
            let pairs = overlap_join(lefts, rights, options, |asset, a, b| (*asset, a.id, b.id));
            let counts = counts.clone();
            let counted = pairs.inspect(move |((_, a, b), _, diff)| counts.borrow_mut().add(check(*a, *b), *diff));
            counted.inner.probe_with(&probe);
        });
        Overlap { history, share, inputs: Some((left, right)), probe, counts }
    }
}

impl Feed for Overlap {
    fn give(&mut self, changes: Range<usize>) {
        let Some((left, right)) = &mut self.inputs else { return };
        let (worker, workers) = self.share;
        for change in self.history.changes[changes].iter().skip(worker).step_by(workers) {
            let input = if is_left(&change.annotation) { &mut *left } else { &mut *right };
            input.update((change.asset, change.annotation.clone()), change.diff);
        }
    }

    fn advance(&mut self, to: Option<u64>) {
        match (to, &mut self.inputs) {
            (Some(epoch), Some((left, right))) => {
                for input in [left, right] {
                    input.advance_to(epoch);
                    input.flush();
                }
            }
            _ => self.inputs = None,
        }
    }

    fn is_done(&self, before: Option<u64>) -> bool {
        before.map_or_else(|| self.probe.done(), |epoch| !self.probe.less_than(&epoch))
    }

    fn take_counts(&mut self) -> Counts {
        self.counts.take()
    }
}
