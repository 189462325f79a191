//! `flowstone generate`

use super::Failure;

/// Makes a synthetic archive of annotations.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args, _json: bool) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
