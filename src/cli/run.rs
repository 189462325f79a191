//! `flowstone run`

use super::Failure;

/// Runs a pipeline until it is stopped, or its input ends.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
