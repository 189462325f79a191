//! Aggregation, timed.

use std::ops::Range;
use std::sync::Arc;

use differential_dataflow::input::InputSession;
use flowstone_operators::aggregate::{AggregateOptions, Group, Sum, aggregate as aggregated};
use serde::Serialize;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Probe;
use timely::worker::Worker;

use super::history::History;
use super::report::{self, Before, Report};
use super::settings::{BenchError, Running, Workload};
use super::timing::{Counting, Counts, Feed, Progress, passes};

pub(super) mod floor;

/// What aggregation is benchmarked on: how many annotations each asset has, and how long they are together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AggregateSettings {
    /// Which annotations.
    #[serde(flatten)]
    pub workload: Workload,
    /// How it is run.
    #[serde(flatten)]
    pub running: Running,
}

impl Default for AggregateSettings {
    /// Two million annotations of a hundred thousand assets.
    fn default() -> Self {
        let workload = Workload { annotations: 2_000_000, assets: 100_000, ..Workload::default() };
        AggregateSettings { workload, running: Running::default() }
    }
}

impl AggregateSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<(), BenchError> {
        self.workload.check()?;
        self.running.check()
    }
}

/// The asset, how many annotations it has, and how long they are together.
type Row = (u32, i64, i128);

/// What a group adds to the sum by which dataflow and sweep are compared.
pub(super) fn check((asset, rows, total_ns): &Row) -> i64 {
    // Odd constants: no group stands for another one just because its parts are swapped.
    let mixed = u64::from(*asset).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ rows.cast_unsigned().wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(31)
        ^ (*total_ns as u64).wrapping_mul(0x1656_67b1_9e37_79f9).rotate_left(17);
    mixed.cast_signed()
}

/// Makes up changes of annotations, and times their aggregation as often as asked for. Its results are groups.
///
/// # Errors
/// If the settings make no sense, workers can not be started, or dataflow and sweep disagree.
pub fn aggregate(settings: &AggregateSettings, progress: &Progress) -> Result<Report<AggregateSettings>, BenchError> {
    settings.check()?;
    let (workload, running) = (&settings.workload, &settings.running);
    let before = Before::now();
    let history = Arc::new(History::new(workload));
    let passes = passes(running, &history.epochs, progress, feed(&history))?;
    let sweep = || floor::sweep(&history.left);
    report::make(settings.clone(), (workload, running), (&before, &history), &passes, sweep)
}

/// What builds a worker's part.
pub(super) fn feed(history: &Arc<History>) -> impl Fn(&mut Worker) -> Aggregate + Clone + Send + Sync + 'static {
    let history = history.clone();
    move |worker| Aggregate::new(worker, history.clone())
}

/// One worker's part of the dataflow.
pub(super) struct Aggregate {
    history: Arc<History>,
    share: (usize, usize),
    input: Option<InputSession<u64, (u32, i128), isize>>,
    probe: ProbeHandle<u64>,
    counts: Counting,
}

impl Aggregate {
    fn new(worker: &mut Worker, history: Arc<History>) -> Self {
        let share = (worker.index(), worker.peers());
        let mut input = InputSession::new();
        let (probe, counts) = (ProbeHandle::new(), Counting::default());
        worker.dataflow(|scope| {
            let row = |asset: &u32, group: &Group<Sum>| Some((*asset, group.rows, group.of.value()?));
            let groups = aggregated(input.to_collection(scope), AggregateOptions::default(), row);
            let counts = counts.clone();
            let counted = groups.inspect(move |(row, _, diff)| counts.borrow_mut().add(check(row), *diff));
            counted.inner.probe_with(&probe);
        });
        Aggregate { history, share, input: Some(input), probe, counts }
    }
}

impl Feed for Aggregate {
    fn give(&mut self, changes: Range<usize>) {
        let Some(input) = &mut self.input else { return };
        let (worker, workers) = self.share;
        for change in self.history.changes[changes].iter().skip(worker).step_by(workers) {
            input.update((change.asset, change.annotation.interval.length_ns().into()), change.diff);
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
