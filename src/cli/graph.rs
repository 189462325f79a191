//! `flowstone graph`

use super::Failure;

/// Draws a pipeline as a mermaid or dot graph.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
