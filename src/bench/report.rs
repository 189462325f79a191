//! What a benchmark found.

use std::time::Duration;

use serde::Serialize;

use super::floor::Swept;
use super::fusion::{Counts, Pass, Sample};
use super::history::{Epoch, History};
use super::settings::{BenchError, FusionSettings};
use crate::runtime::memory::peak_bytes;

/// What a benchmark of fusion found.
#[derive(Clone, Debug, Serialize)]
pub struct FusionReport {
    /// What it was run on.
    pub settings: FusionSettings,
    /// The bulk, if there is one, and what came after it: of the repetition that took the median time.
    pub phases: Vec<Phase>,
    /// Each repetition as a whole.
    pub repetitions: Vec<Repetition>,
    /// How many annotations were there in the end.
    pub annotations_left: u64,
    /// How many documents were there in the end.
    pub documents_left: u64,
    /// The most memory that the process ever held, with the made-up input; not known outside of Linux.
    pub peak_rss_bytes: Option<u64>,
    /// What the process held after the first repetition for each annotation that was there, beside the made-up input: not more
    /// than so much is state. Not known if the input ended, or outside of Linux.
    pub state_bytes_per_annotation: Option<f64>,
    /// The same documents by one sort and one sweep, if asked for.
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
    /// Documents written, also in place of others.
    pub documents: u64,
    /// Documents retracted, also to be replaced.
    pub retracted: u64,
    /// How long it took.
    pub seconds: f64,
    /// Lines a second.
    pub annotations_per_s: f64,
    /// Documents written a second.
    pub documents_per_s: f64,
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

/// The same documents by one sort and one sweep: the fastest of the repetitions.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// How long it took.
    pub seconds: f64,
    /// How many documents.
    pub documents: u64,
    /// Their children.
    pub children: u64,
    /// How many times that the dataflow took; only if there was one epoch, so that both did the same.
    pub ratio: Option<f64>,
}

/// Whether all passes left what the sweep found.
pub(super) fn agree(passes: &[Pass], swept: &Swept) -> Result<(), BenchError> {
    let text = |documents: i64, children: i64| format!("{documents} documents with {children} children");
    let expected = text(swept.documents as i64, swept.children as i64);
    for pass in passes {
        let counts = total(&pass.samples);
        let found = text(counts.written as i64 - counts.retracted as i64, counts.children);
        if found != expected {
            return Err(BenchError::Disagree { found, expected });
        }
    }
    Ok(())
}

/// Puts together what the passes, of which there is at least one, have found.
pub(super) fn make(
    settings: &FusionSettings,
    history: &History,
    passes: &[Pass],
    swept: Option<Swept>,
    state_bytes: Option<u64>,
) -> FusionReport {
    let mut order: Vec<&Pass> = passes.iter().collect();
    order.sort_by_key(|pass| pass.took());
    let median = order[order.len() / 2];
    let counts = total(&median.samples);
    let bulk = usize::from(settings.bulk > 0);
    let (first, rest) = (median.samples.split_at(bulk), history.epochs.split_at(bulk));
    let phases = [("bulk", first.0, rest.0), ("epochs", first.1, rest.1)];
    let floor = swept.map(|swept| Floor {
        seconds: swept.took.as_secs_f64(),
        documents: swept.documents,
        children: swept.children,
        ratio: (history.epochs.len() == 1).then(|| median.took().as_secs_f64() / swept.took.as_secs_f64()),
    });
    let left = history.left.len() as u64;
    FusionReport {
        settings: settings.clone(),
        phases: phases.iter().filter(|p| !p.1.is_empty()).map(|(name, of, epochs)| phase(name, of, epochs)).collect(),
        repetitions: passes.iter().map(|pass| Repetition { seconds: pass.took().as_secs_f64() }).collect(),
        annotations_left: left,
        documents_left: counts.written - counts.retracted,
        peak_rss_bytes: peak_bytes(),
        state_bytes_per_annotation: state_bytes.filter(|_| left > 0).map(|bytes| bytes as f64 / left as f64),
        floor,
        epochs_ms: first.1.iter().map(|sample| ms(sample.took)).collect(),
    }
}

fn total(samples: &[Sample]) -> Counts {
    let mut counts = Counts::default();
    samples.iter().for_each(|sample| counts += sample.counts);
    counts
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
        documents: counts.written,
        retracted: counts.retracted,
        seconds,
        annotations_per_s: annotations as f64 / seconds.max(1e-9),
        documents_per_s: counts.written as f64 / seconds.max(1e-9),
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
