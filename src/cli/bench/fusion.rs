//! `flowstone bench fusion`

use super::shared::{self, Shared};
use crate::bench::{self, Form, FusionSettings};
use crate::cli::Failure;
use crate::pipeline::units::Span;

/// Measures fusion: made-up annotations through its dataflow, without files, parsing and rendering.
///
/// By default a million annotations come in one epoch. Examples, the second one of small updates on top of a million:
///
///   flowstone bench fusion --mean-length 30s --compare
///   flowstone bench fusion --annotations 1100000 --bulk 1000000 --batch 1000 --corrections 0.3 --plot epochs.svg
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// How many types.
    #[arg(long, value_name = "N", default_value_t = 4)]
    modalities: u8,
    /// The width of a bucket.
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    bucket: Span,
    /// What one document stands for.
    #[arg(long, value_enum, default_value = "buckets")]
    emit: Form,
    /// How many types a document needs.
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_modalities: usize,
    #[command(flatten)]
    shared: Shared,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let mut defaults = FusionSettings::default();
    defaults.workload.modalities = args.modalities;
    let settings = FusionSettings {
        workload: args.shared.workload(&defaults.workload),
        running: args.shared.running(),
        bucket: args.bucket,
        emit: args.emit,
        min_modalities: args.min_modalities,
    };
    let (workload, running) = (settings.workload.clone(), settings.running.clone());
    let report = shared::run(&workload, &running, |progress| bench::fusion(&settings, progress))?;
    args.shared.show(&report, ("fusion", "document"), (&workload, &running), json)
}
