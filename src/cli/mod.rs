//! The command line: one file a subcommand, each a thin layer over the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod backfill;
mod bench;
mod checkpoints;
mod completion;
mod dev;
mod generate;
mod graph;
mod job;
mod journal;
mod offsets;
mod output;
mod progress;
#[cfg(feature = "tantivy")]
mod query;
mod run;
mod schema;
mod sinks;
mod state;
mod summary;
mod validate;

/// Fuses annotations that overlap in time into searchable moments.
#[derive(Parser)]
#[command(name = "flowstone", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    /// Prints the result as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// Logs more (-v: what happens, -vv: in detail), to standard error. FLOWSTONE_LOG takes filters per module.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Backfill(backfill::Args),
    Validate(validate::Args),
    Graph(graph::Args),
    #[cfg(feature = "tantivy")]
    Query(query::Args),
    Sinks(sinks::Args),
    Offsets(offsets::Args),
    Checkpoints(checkpoints::Args),
    Journal(journal::Args),
    Generate(generate::Args),
    Bench(bench::Args),
    Dev(dev::Args),
    Schema(schema::Args),
    Completion(completion::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success; also an ordinary stop by SIGINT or SIGTERM
  1    the command failed: standard error says what, who must act, and whether a retry helps
  2    wrong usage, or an invalid pipeline file
  130  stopped at once by a second SIGINT or SIGTERM
  134  a bug: the process aborted";

/// How a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong arguments or an invalid pipeline file; already formatted, one problem a line.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error(transparent)]
    Run(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// A failure of the run.
    pub fn run(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Failure::Run(error.into())
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logs(cli.verbose);
    let result = match cli.command {
        Command::Run(args) => run::main(&args, cli.json),
        Command::Backfill(args) => backfill::main(&args, cli.json),
        Command::Validate(args) => validate::main(&args, cli.json),
        Command::Graph(args) => graph::main(&args),
        #[cfg(feature = "tantivy")]
        Command::Query(args) => query::main(&args, cli.json),
        Command::Sinks(args) => sinks::main(&args, cli.json),
        Command::Offsets(args) => offsets::main(&args, cli.json),
        Command::Checkpoints(args) => checkpoints::main(&args, cli.json),
        Command::Journal(args) => journal::main(&args, cli.json),
        Command::Generate(args) => generate::main(&args, cli.json),
        Command::Bench(args) => bench::main(&args, cli.json),
        Command::Dev(args) => dev::main(&args, cli.json),
        Command::Schema(args) => schema::main(&args),
        Command::Completion(args) => completion::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problems)) => {
            eprintln!("{problems}");
            ExitCode::from(2)
        }
        Err(Failure::Run(error)) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::from(1)
        }
    }
}

/// The error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

fn init_logs(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let default = ["flowstone=warn", "flowstone=info", "flowstone=debug"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_env("FLOWSTONE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
