//! `flowstone graph`

use std::path::PathBuf;

use super::{Failure, output};
use crate::pipeline::{self, Format};

/// Draws a pipeline as a mermaid or dot graph.
#[derive(clap::Args)]
pub struct Args {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to write the drawing in.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn main(args: &Args) -> Result<(), Failure> {
    let loaded = pipeline::load(&args.file).map_err(|problems| Failure::Usage(problems.to_string()))?;
    output::print(&pipeline::draw(&loaded, args.format))
}
