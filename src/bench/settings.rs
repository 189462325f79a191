//! What a benchmark is run on.

use serde::{Serialize, Serializer};

use crate::pipeline::units::Span;

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

/// What fusion is benchmarked on. The same settings give the same input on every machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FusionSettings {
    /// How many lines: new annotations, corrections and deletions together.
    pub annotations: u64,
    /// How many assets.
    pub assets: u32,
    /// How many types.
    pub modalities: u8,
    /// The mean length of annotations: lengths are uniform from 1 ns to twice that.
    #[serde(serialize_with = "nanos")]
    pub mean_length: Span,
    /// How long an asset is: starts are uniform over it.
    #[serde(serialize_with = "nanos")]
    pub span: Span,
    /// The width of a bucket.
    #[serde(serialize_with = "nanos")]
    pub bucket: Span,
    /// What one document stands for.
    pub emit: Form,
    /// How many types a document needs.
    pub min_modalities: usize,
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
    /// Whether the input ends with the last epoch, as a backfill's does: fusion builds no state then that only later epochs need.
    pub backfill: bool,
    /// How many worker threads.
    pub workers: usize,
    /// How often all of it is run.
    pub repetitions: usize,
    /// What all randomness comes from.
    pub seed: u64,
}

fn nanos<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
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
    /// The dataflow and the floor disagree: a bug.
    #[error(
        "fusion left {found}, and one sort and sweep {expected}; this is a bug: please report it with the settings"
    )]
    Disagree {
        /// What the dataflow gave.
        found: String,
        /// What is right.
        expected: String,
    },
}

impl Default for FusionSettings {
    /// The workload of the comparison with other tools, in one epoch.
    fn default() -> Self {
        FusionSettings {
            annotations: 1_000_000,
            assets: 200,
            modalities: 4,
            mean_length: Span::from_millis(3_000),
            span: Span::from_millis(7_200_000),
            bucket: Span::from_millis(1_000),
            emit: Form::Buckets,
            min_modalities: 2,
            skew: 0.0,
            disorder: 1.0,
            corrections: 0.0,
            deletions: 0.0,
            bulk: 0,
            batch: None,
            backfill: false,
            workers: 1,
            repetitions: 3,
            seed: 1,
        }
    }
}

impl FusionSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<(), BenchError> {
        let within = |setting, value: u64, least: u64, most: u64| {
            require(setting, (least..=most).contains(&value), || {
                format!("a number from {least} to {most}, not {value}")
            })
        };
        within("annotations", self.annotations, 1, 1_000_000_000)?;
        within("assets", self.assets.into(), 1, 100_000_000)?;
        within("modalities", self.modalities.into(), 1, 255)?;
        within("min-modalities", self.min_modalities as u64, 1, self.modalities.into())?;
        within("workers", self.workers as u64, 1, 256)?;
        within("repetitions", self.repetitions as u64, 1, 1_000)?;
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

/// Twice that, for the ends of the last annotations, is far from the end of all times.
const MOST_SPAN_NS: i64 = 365 * 86_400_000_000_000;

fn require(setting: &'static str, holds: bool, expected: impl FnOnce() -> String) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::Setting { setting, expected: expected() }) }
}
