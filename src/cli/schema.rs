//! `flowstone schema`

use super::Failure;
use crate::pipeline;

/// Prints the JSON Schema of pipeline files.
#[derive(clap::Args)]
pub struct Args {}

pub fn main(_args: &Args) -> Result<(), Failure> {
    super::output::print_json(&pipeline::schema())
}
