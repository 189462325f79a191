//! `flowstone run`

use super::Failure;
use super::job::{self, JobArgs};
use crate::runtime::Mode;

/// Runs a pipeline until it is stopped, or its input ends.
///
/// Everything that is present at the start is written at once; what comes later is written as it comes. SIGINT and
/// SIGTERM end the run once what was read is written; a second one ends it at once, which is as safe.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    job::main(&args.job, Mode::Run, json)
}
