//! `flowstone completion`

use clap::CommandFactory;

use super::{Cli, Failure};

/// Prints a completion script for a shell.
///
/// For bash, for example: flowstone completion bash > ~/.local/share/bash-completion/completions/flowstone
#[derive(clap::Args)]
pub struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

pub fn main(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "flowstone", &mut script);
    super::output::print(&String::from_utf8_lossy(&script))
}
