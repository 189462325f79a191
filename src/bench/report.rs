//! What a benchmark found.

use std::time::Duration;

use serde::Serialize;

use super::history::{Epoch, History};
use super::settings::{BenchError, Running, Workload};
use super::timing::{Counts, Pass, Sample, total};
use crate::runtime::memory::{peak_bytes, resident_bytes};

/// What a benchmark found. Results are what the operator puts out: documents, pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Report<S> {
    /// What it was run on.
    pub settings: S,
    /// The bulk, if there is one, and what came after it: of the repetition that took the median time.
    pub phases: Vec<Phase>,
    /// Each repetition as a whole.
    pub repetitions: Vec<Repetition>,
    /// How many annotations were there in the end.
    pub annotations_left: u64,
    /// How many results were there in the end.
    pub results_left: u64,
    /// The most memory that the process ever held, with the made-up input; not known outside of Linux.
    pub peak_rss_bytes: Option<u64>,
    /// What the process held after the first repetition for each annotation that was there, beside the made-up input: not more
    /// than so much is state. Not known if the input ended, or outside of Linux.
    pub state_bytes_per_annotation: Option<f64>,
    /// The same results by one sort and one sweep, if asked for.
    pub floor: Option<Floor>,
    /// The time of each epoch after the bulk, in milliseconds, of that repetition.
    pub epochs_ms: Vec<f64>,
}

/// A part of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// `bulk` or `epochs`.
    pub name: &'static str,
    /// How many epochs.
    pub epochs: u64,
    /// How many lines: new annotations, corrections, deletions.
    pub annotations: u64,
    /// Results written, also in place of others.
    pub written: u64,
    /// Results retracted, also to be replaced.
    pub retracted: u64,
    /// How long it took.
    pub seconds: f64,
    /// Lines a second.
    pub annotations_per_s: f64,
    /// Results written a second.
    pub written_per_s: f64,
    /// Half of the epochs took at most so many milliseconds.
    pub p50_ms: f64,
    /// 99 % of them at most so many.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// A run as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct Repetition {
    /// How long all of its epochs took.
    pub seconds: f64,
}

/// The same results by one sort and one sweep: the fastest of the repetitions.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// How long it took.
    pub seconds: f64,
    /// How many results.
    pub results: u64,
    /// How many times that the dataflow took; only if there was one epoch, so that both did the same.
    pub ratio: Option<f64>,
}

/// What a sweep found; `counts.retracted` is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swept {
    pub counts: Counts,
    pub took: Duration,
}

/// What a process holds before its input is made up; how much of what it holds later is input.
pub(super) struct Before {
    resident_bytes: Option<u64>,
}

impl Before {
    pub(super) fn now() -> Self {
        Before { resident_bytes: resident_bytes() }
    }

    /// What the first pass added: later ones use again what it has freed.
    fn state_bytes(&self, history: &History, passes: &[Pass]) -> Option<u64> {
        let after = passes.first()?.resident_bytes?;
        Some(after.saturating_sub(self.resident_bytes?).saturating_sub(history.bytes()))
    }
}

/// Runs the sweep as often as the dataflow, if asked for, and puts together what both have found.
///
/// # Errors
/// If the two disagree.
pub(super) fn make<S>(
    settings: S,
    (workload, running): (&Workload, &Running),
    (before, history): (&Before, &History),
    passes: &[Pass],
    sweep: impl Fn() -> Swept,
) -> Result<Report<S>, BenchError> {
    let sweeps = (0..running.repetitions).filter(|_| running.compare).map(|_| sweep());
    let swept = sweeps.min_by_key(|swept| swept.took);
    if let Some(swept) = &swept {
        agree(passes, swept)?;
    }
    let mut order: Vec<&Pass> = passes.iter().collect();
    order.sort_by_key(|pass| pass.took());
    let median = order[order.len() / 2];
    let bulk = usize::from(workload.bulk > 0);
    let (samples, epochs) = (median.samples.split_at(bulk), history.epochs.split_at(bulk));
    let phases = [("bulk", samples.0, epochs.0), ("epochs", samples.1, epochs.1)];
    let left = history.left.len() as u64;
    let state_bytes = before.state_bytes(history, passes).filter(|_| left > 0);
    Ok(Report {
        settings,
        phases: phases.iter().filter(|p| !p.1.is_empty()).map(|(name, of, epochs)| phase(name, of, epochs)).collect(),
        repetitions: passes.iter().map(|pass| Repetition { seconds: pass.took().as_secs_f64() }).collect(),
        annotations_left: left,
        results_left: median.counts().left(),
        peak_rss_bytes: peak_bytes(),
        state_bytes_per_annotation: state_bytes.map(|bytes| bytes as f64 / left as f64),
        floor: swept.map(|swept| Floor {
            seconds: swept.took.as_secs_f64(),
            results: swept.counts.written,
            ratio: (history.epochs.len() == 1).then(|| median.took().as_secs_f64() / swept.took.as_secs_f64()),
        }),
        epochs_ms: samples.1.iter().map(|sample| ms(sample.took)).collect(),
    })
}

/// Whether all passes left what the sweep found.
fn agree(passes: &[Pass], swept: &Swept) -> Result<(), BenchError> {
    let text = |counts: Counts| format!("{} results with the sum {}", counts.left(), counts.check);
    let expected = text(swept.counts);
    let wrong = passes.iter().map(|pass| text(pass.counts())).find(|found| *found != expected);
    wrong.map_or(Ok(()), |found| Err(BenchError::Disagree { found, expected }))
}

fn phase(name: &'static str, samples: &[Sample], epochs: &[Epoch]) -> Phase {
    let counts = total(samples);
    let seconds: f64 = samples.iter().map(|sample| sample.took.as_secs_f64()).sum();
    let annotations = epochs.iter().map(|epoch| epoch.lines).sum();
    let mut took: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
    took.sort_unstable();
    Phase {
        name,
        epochs: epochs.len() as u64,
        annotations,
        written: counts.written,
        retracted: counts.retracted,
        seconds,
        annotations_per_s: annotations as f64 / seconds.max(1e-9),
        written_per_s: counts.written as f64 / seconds.max(1e-9),
        p50_ms: ms(quantile(&took, 50)),
        p99_ms: ms(quantile(&took, 99)),
        max_ms: ms(quantile(&took, 100)),
    }
}

/// The least value that so many percent do not exceed; of sorted values, of which there is at least one.
pub(super) fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
