//! `flowstone bench overlap`

use super::shared::{self, Shared};
use crate::bench::{self, OverlapSettings};
use crate::cli::Failure;

/// Measures the pairwise join of intervals: made-up annotations of two types, which are its sides, through its dataflow.
///
/// By default two million annotations, about a thousand on each side of each asset, come in one epoch: ten million pairs.
/// Examples:
///
///   flowstone bench overlap --backfill --compare
///   flowstone bench overlap --batch 20000 --workers 2 --plot epochs.svg
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Annotations pair as well if one ends where the other starts.
    #[arg(long)]
    touching: bool,
    #[command(flatten)]
    shared: Shared,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let settings = OverlapSettings {
        workload: args.shared.workload(&OverlapSettings::default().workload),
        running: args.shared.running(),
        touching: args.touching,
    };
    let (workload, running) = (settings.workload.clone(), settings.running.clone());
    let report = shared::run(&workload, &running, |progress| bench::overlap(&settings, progress))?;
    args.shared.show(&report, ("overlap", "pair"), (&workload, &running), json)
}
