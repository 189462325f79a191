//! `flowstone schema`

use super::Failure;

/// Prints the JSON Schema of pipeline files.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
