//! `flowstone backfill`

use super::Failure;
use super::job::{self, JobArgs};
use crate::runtime::Mode;

/// Runs a pipeline over everything that is present now, then exits.
///
/// The sinks then hold exactly what the input gives: running it again, also after input has shrunk, leaves the right
/// content. SIGINT and SIGTERM stop it; until everything is read, nothing is written.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    job::main(&args.job, Mode::Backfill, json)
}
