//! `flowstone bench`: one file a benchmark.

use clap::Subcommand;

use super::Failure;

mod aggregate;
mod fusion;
mod nexmark;
mod overlap;
mod shared;

/// Measures operators on this machine, with made-up input.
///
/// The same options give the same input everywhere. Compare within one machine, and within one hour.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Aggregate(aggregate::Args),
    Fusion(fusion::Args),
    Nexmark(nexmark::Args),
    Overlap(overlap::Args),
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    match &args.what {
        What::Aggregate(args) => aggregate::main(args, json),
        What::Fusion(args) => fusion::main(args, json),
        What::Nexmark(args) => nexmark::main(args, json),
        What::Overlap(args) => overlap::main(args, json),
    }
}
