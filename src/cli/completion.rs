//! `flowstone completion`

use super::Failure;

/// Prints a completion script for a shell.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
