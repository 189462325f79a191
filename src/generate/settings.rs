//! What an archive should be like.

use super::GenerateError;
use super::modality::MODALITIES;
use crate::pipeline::units::Span;

/// How annotations are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Series and films: scenes that follow each other, characters and objects in them, dialogue by who is on screen.
    Episodes,
    /// The workload of the benchmarks: everything uniformly random and in no order.
    Uniform,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Not at all: `.ndjson`.
    #[default]
    None,
    /// gzip: `.ndjson.gz`.
    Gz,
    /// Zstandard: `.ndjson.zst`.
    Zst,
}

/// What an archive should be like. The same settings always give the same lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How annotations are distributed.
    pub style: Style,
    /// How many assets there are: 1 to 10 million.
    pub assets: u64,
    /// How many lines of annotations, corrections, deletions and duplicates: exact for [`Style::Uniform`], about so many
    /// for [`Style::Episodes`].
    pub annotations: u64,
    /// How many types: 1 to [`Settings::MAX_MODALITIES`].
    pub modalities: usize,
    /// The mean length of an annotation; scenes, which follow each other without a gap, are not counted but scaled alike.
    /// By default 3 s if uniform, otherwise what is natural for each type.
    pub mean_length: Option<Span>,
    /// How long an asset is.
    pub span: Span,
    /// How unequal assets are: 0 gives each the same number of annotations, `s` gives the n-th a share of `1 / n^s`.
    pub skew: f64,
    /// How late records may be, as a share of the eight assets that are always written together: 0 is the order of media
    /// time. Not for [`Style::Uniform`], which has no order.
    pub disorder: f64,
    /// The share of lines that send an existing id again, changed.
    pub corrections: f64,
    /// The share of lines that delete an existing id.
    pub deletions: f64,
    /// The share of lines that repeat the last few lines of their file, as a redelivery does.
    pub duplicates: f64,
    /// How many lines to add that no pipeline can accept, in the first file.
    pub bad_lines: u64,
    /// The length of `embedding_vector`; without that field if 0.
    pub embedding_dims: usize,
    /// Whether to add an asset with the worked example: "Joey" in `[2 s, 8 s)` and "kitchen" in `[4 s, 9 s)`.
    pub fixture: bool,
    /// How many files: 1 to 512. All records of an id are in one, so that their order is kept.
    pub parts: usize,
    /// How they are compressed.
    pub compression: Compression,
    /// What all randomness comes from.
    pub seed: u64,
}

/// The mean length if the style is uniform and none is given.
const UNIFORM_MEAN: Span = Span::from_millis(3_000);

impl Settings {
    /// How many types are known by name.
    pub const MAX_MODALITIES: usize = MODALITIES.len();

    /// An ordinary archive of a style.
    pub fn new(style: Style) -> Self {
        let (assets, annotations, span_ms) = match style {
            Style::Episodes => (40, 20_000, 22 * 60_000),
            Style::Uniform => (200, 1_000_000, 7_200_000),
        };
        Settings {
            style,
            assets,
            annotations,
            modalities: 4,
            mean_length: None,
            span: Span::from_millis(span_ms),
            skew: 0.0,
            disorder: 0.0,
            corrections: 0.0,
            deletions: 0.0,
            duplicates: 0.0,
            bad_lines: 0,
            embedding_dims: 0,
            fixture: false,
            parts: 1,
            compression: Compression::None,
            seed: 1,
        }
    }

    /// The mean length of a uniform archive, in nanoseconds.
    pub(super) fn uniform_mean_ns(&self) -> i64 {
        self.mean_length.unwrap_or(UNIFORM_MEAN).nanos()
    }

    /// The share of lines that are new annotations.
    pub(super) fn fresh(&self) -> f64 {
        1.0 - self.corrections - self.deletions - self.duplicates
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<(), GenerateError> {
        self.check_counts()?;
        for (setting, share) in [
            ("disorder", self.disorder),
            ("corrections", self.corrections),
            ("deletions", self.deletions),
            ("duplicates", self.duplicates),
        ] {
            require(setting, (0.0..=1.0).contains(&share), || format!("a share from 0 to 1, not {share}"))?;
        }
        require("skew", (0.0..=4.0).contains(&self.skew), || format!("a number from 0 to 4, not {}", self.skew))?;
        let fresh = self.fresh();
        require("corrections", fresh >= 0.1, || {
            "together with deletions and duplicates at most 0.9: a tenth of the lines must be new".to_owned()
        })?;
        require("deletions", self.deletions <= fresh, || {
            format!("at most the share of new lines, which is {fresh:.3}: an id is deleted once")
        })?;
        require("disorder", self.style == Style::Episodes || self.disorder == 0.0, || {
            "left out: the uniform style has no order".to_owned()
        })
    }

    fn check_counts(&self) -> Result<(), GenerateError> {
        const DAY_NS: i64 = 86_400_000_000_000;
        let within = |setting, value: u64, most: u64| {
            require(setting, (1..=most).contains(&value), || format!("a number from 1 to {most}, not {value}"))
        };
        within("assets", self.assets, 10_000_000)?;
        within("annotations", self.annotations, 1_000_000_000_000)?;
        within("modalities", self.modalities as u64, Self::MAX_MODALITIES as u64)?;
        within("parts", self.parts as u64, 512)?;
        within("embedding-dims", self.embedding_dims.max(1) as u64, 16_384)?;
        let span_ns = self.span.nanos();
        require("span", (1_000_000_000..=DAY_NS).contains(&span_ns), || format!("from 1s to 1d, not {}", self.span))?;
        let mean = self.mean_length.unwrap_or(Span::from_millis(1));
        require("mean-length", mean.nanos() <= span_ns, || format!("at most the span of {}, not {mean}", self.span))
    }
}

fn require(setting: &'static str, holds: bool, expected: impl FnOnce() -> String) -> Result<(), GenerateError> {
    if holds { Ok(()) } else { Err(GenerateError::Setting { setting, expected: expected() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused_by_name() {
        let base = || Settings::new(Style::Episodes);
        let day = |days| format!("{days}d").parse::<Span>().unwrap();
        let cases = [
            ("assets", Settings { assets: 0, ..base() }),
            ("annotations", Settings { annotations: 0, ..base() }),
            ("modalities", Settings { modalities: Settings::MAX_MODALITIES + 1, ..base() }),
            ("parts", Settings { parts: 513, ..base() }),
            ("embedding-dims", Settings { embedding_dims: 20_000, ..base() }),
            ("span", Settings { span: day(2), ..base() }),
            ("mean-length", Settings { mean_length: Some(day(1)), ..base() }),
            ("skew", Settings { skew: f64::NAN, ..base() }),
            ("duplicates", Settings { duplicates: -0.1, ..base() }),
            ("corrections", Settings { corrections: 0.5, deletions: 0.3, duplicates: 0.2, ..base() }),
            ("deletions", Settings { deletions: 0.6, ..base() }),
            ("disorder", Settings { disorder: 0.5, ..Settings::new(Style::Uniform) }),
        ];
        for (expected, settings) in cases {
            match settings.check() {
                Err(GenerateError::Setting { setting, .. }) => assert_eq!(setting, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        base().check().unwrap();
        Settings::new(Style::Uniform).check().unwrap();
    }
}
