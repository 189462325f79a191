//! What a benchmark is run on, and how.

use serde::{Serialize, Serializer};

use crate::pipeline::units::Span;

/// Which annotations there are, and what happens to them. The same workload is the same on every machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// How many lines: new annotations, corrections and deletions together.
    pub annotations: u64,
    /// How many assets: only what belongs to the same one meets.
    pub assets: u32,
    /// How many types.
    pub modalities: u8,
    /// The mean length of annotations: lengths are uniform from 1 ns to twice that.
    #[serde(rename = "mean_length_ns", serialize_with = "nanos")]
    pub mean_length: Span,
    /// How long an asset is: starts are uniform over it.
    #[serde(rename = "span_ns", serialize_with = "nanos")]
    pub span: Span,
    /// How unequal assets are: the n-th has a share of `1 / n^skew`.
    pub skew: f64,
    /// How late annotations come, as a share of the span; 1 is no order at all, 0 the order of their starts.
    pub disorder: f64,
    /// The share of lines after the bulk that correct an annotation: another range in the same asset.
    pub corrections: f64,
    /// The share of lines after the bulk that delete an annotation.
    pub deletions: f64,
    /// So many lines come first, in one epoch, all of them new annotations.
    pub bulk: u64,
    /// How many lines an epoch has after the bulk; `None` is all of them.
    pub batch: Option<u64>,
    /// What all randomness comes from.
    pub seed: u64,
}

/// How a benchmark is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// How many worker threads.
    pub workers: usize,
    /// How often all of it is run.
    pub repetitions: usize,
    /// Whether the input ends with the last epoch, as a backfill's does: operators build no state then that only later epochs
    /// need.
    pub backfill: bool,
    /// Whether the same results are also found by one sort and one sweep.
    pub compare: bool,
}

pub(super) fn nanos<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(span.nanos())
}

/// A benchmark that could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A setting that makes no sense, alone or with the others.
    #[error("could not use the setting {setting}: it must be {expected}")]
    Setting {
        /// Its name on the command line.
        setting: &'static str,
        /// What it must be.
        expected: String,
    },
    /// The workers could not be started.
    #[error("could not start the workers: {0}")]
    Workers(String),
    /// The dataflow and the sweep disagree: a bug.
    #[error("the dataflow left {found}, and one sort and sweep {expected}; this is a bug: report it with the settings")]
    Disagree {
        /// What the dataflow gave.
        found: String,
        /// What is right.
        expected: String,
    },
}

impl Default for Workload {
    /// That of the comparison with other tools, in one epoch.
    fn default() -> Self {
        Workload {
            annotations: 1_000_000,
            assets: 200,
            modalities: 4,
            mean_length: Span::from_millis(3_000),
            span: Span::from_millis(7_200_000),
            skew: 0.0,
            disorder: 1.0,
            corrections: 0.0,
            deletions: 0.0,
            bulk: 0,
            batch: None,
            seed: 1,
        }
    }
}

impl Default for Running {
    fn default() -> Self {
        Running { workers: 1, repetitions: 3, backfill: false, compare: false }
    }
}

impl Workload {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        within("annotations", self.annotations, 1, 1_000_000_000)?;
        within("assets", self.assets.into(), 1, 100_000_000)?;
        within("modalities", self.modalities.into(), 1, 255)?;
        within("bulk", self.bulk, 0, self.annotations)?;
        within("batch", self.batch.unwrap_or(1), 1, self.annotations)?;
        for (setting, share) in
            [("disorder", self.disorder), ("corrections", self.corrections), ("deletions", self.deletions)]
        {
            require(setting, (0.0..=1.0).contains(&share), || format!("a share from 0 to 1, not {share}"))?;
        }
        require("skew", (0.0..=4.0).contains(&self.skew), || format!("a number from 0 to 4, not {}", self.skew))?;
        require("deletions", self.corrections + self.deletions <= 1.0, || {
            "together with corrections at most 1: they are shares of the same lines".to_owned()
        })?;
        let (mean, span) = (self.mean_length, self.span);
        require("mean-length", mean.nanos() <= span.nanos(), || format!("at most the span of {span}, not {mean}"))?;
        require("span", span.nanos() <= MOST_SPAN_NS, || format!("at most 365d, not {span}"))
    }
}

impl Running {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        within("workers", self.workers as u64, 1, 256)?;
        within("repetitions", self.repetitions as u64, 1, 1_000)
    }
}

/// Far from the end of all times, also for annotations that corrections move again and again.
const MOST_SPAN_NS: i64 = 365 * 86_400_000_000_000;

pub(super) fn within(setting: &'static str, value: u64, least: u64, most: u64) -> Result<(), BenchError> {
    require(setting, (least..=most).contains(&value), || format!("a number from {least} to {most}, not {value}"))
}

fn require(setting: &'static str, holds: bool, expected: impl FnOnce() -> String) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::Setting { setting, expected: expected() }) }
}
