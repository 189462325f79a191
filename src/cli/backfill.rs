//! `flowstone backfill`

use super::Failure;

/// Runs a pipeline over everything present now, then exits.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
