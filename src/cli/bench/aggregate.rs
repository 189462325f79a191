//! `flowstone bench aggregate`

use super::shared::{self, Shared};
use crate::bench::{self, AggregateSettings};
use crate::cli::Failure;

/// Measures aggregation: how many annotations each asset has, and how long they are together, through its dataflow.
///
/// By default two million annotations of a hundred thousand assets come in one epoch. Examples:
///
///   flowstone bench aggregate --batch 10000
///   flowstone bench aggregate --batch 10000 --corrections 0.3 --deletions 0.1 --workers 2 --plot epochs.svg
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let workload = args.shared.workload(&AggregateSettings::default().workload);
    let settings = AggregateSettings { workload, running: args.shared.running() };
    let (workload, running) = (settings.workload.clone(), settings.running.clone());
    let report = shared::run(&workload, &running, |progress| bench::aggregate(&settings, progress))?;
    args.shared.show(&report, ("aggregate", "group"), (&workload, &running), json)
}
