//! `flowstone query`

use super::Failure;

/// Searches an index of moments.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
