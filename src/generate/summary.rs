//! What was written.

use serde::Serialize;

use super::annotation::Annotation;
use super::modality::MODALITIES;

/// What was written. `lines` is the sum of the five kinds of lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// All lines.
    pub lines: u64,
    /// Their bytes, before compression.
    pub bytes: u64,
    /// Lines with an id that was not there before.
    pub annotations: u64,
    /// Lines that send an existing id again, changed.
    pub corrections: u64,
    /// Lines that delete an existing id.
    pub deletions: u64,
    /// Lines that were repeated as they were.
    pub duplicates: u64,
    /// Lines that no pipeline can accept.
    pub bad_lines: u64,
    /// How many annotations are left in the end: those made, less those deleted.
    pub rows: u64,
    /// Assets with annotations.
    pub assets: u64,
    /// The share of all new annotations that the largest asset has.
    pub largest_asset_share: f64,
    /// The types, in order.
    pub types: Vec<TypeSummary>,
    /// The files, in order.
    pub files: Vec<FileSummary>,
}

/// The new annotations of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeSummary {
    /// Its name.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// How many.
    pub annotations: u64,
    /// Their mean length, in nanoseconds.
    pub mean_length_ns: i64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileSummary {
    /// Its name in the directory.
    pub name: String,
    /// Its size, as compressed.
    pub bytes: u64,
}

/// Counts new annotations.
pub(super) struct Tally {
    assets: Vec<u64>,
    types: [(u64, i128); MODALITIES.len()],
}

impl Tally {
    pub(super) fn new(assets: usize) -> Self {
        Tally { assets: vec![0; assets], types: [(0, 0); MODALITIES.len()] }
    }

    pub(super) fn add(&mut self, annotation: &Annotation) {
        self.assets[annotation.asset] += 1;
        let (count, length_ns) = &mut self.types[annotation.modality];
        *count += 1;
        *length_ns += i128::from(annotation.end_ns - annotation.start_ns);
    }

    /// Completes a summary whose lines were counted.
    pub(super) fn complete(&self, summary: &mut Summary) {
        summary.rows = summary.annotations - summary.deletions;
        summary.assets = self.assets.iter().filter(|count| **count > 0).count() as u64;
        let largest = self.assets.iter().copied().max().unwrap_or(0);
        summary.largest_asset_share = largest as f64 / summary.annotations.max(1) as f64;
        let types = MODALITIES.iter().zip(&self.types).filter(|(_, (count, _))| *count > 0);
        summary.types = types
            .map(|(modality, (count, length_ns))| TypeSummary {
                name: modality.name,
                annotations: *count,
                mean_length_ns: (length_ns / i128::from(*count)) as i64,
            })
            .collect();
    }
}
