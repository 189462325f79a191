//! `flowstone validate`

use super::Failure;

/// Checks a pipeline file and reports all problems at once.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
