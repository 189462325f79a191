//! What clients alone reach against Kafka, Cassandra and Elasticsearch: loops around librdkafka, the CQL driver and an HTTP
//! client that do nothing else, servers that only swallow what is written, and a watch for what becomes visible when.
//!
//! The scripts beside this crate run them and Flowstone by turns. Each prints one line of JSON.

// A program: what it prints is its result.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bulk;
mod clock;
mod consume;
mod contents;
mod cql_hole;
mod documents;
mod fresh;
mod http_hole;
mod relay;
mod rows;
mod source;

/// What went wrong, for people.
type Failure = Box<dyn Error + Send + Sync>;

/// Clients of Kafka, Cassandra and Elasticsearch that do nothing else.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads a topic to its end with librdkafka, and counts.
    Consume(consume::Args),
    /// Reads the topic of a pipeline to its end with Flowstone's source, and decodes the fields that the pipeline names.
    Source {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Sends documents to Elasticsearch in bulk requests that were put together before.
    Bulk(bulk::Args),
    /// Sends rows to Cassandra, values bound before.
    Rows(rows::Args),
    /// Prints what a table of moments holds.
    Contents(contents::Args),
    /// Listens as an Elasticsearch that takes all documents and keeps none; what else is asked, a real one answers.
    HttpHole {
        /// The real one: `HOST:PORT`.
        upstream: String,
    },
    /// Listens as a Cassandra that takes all rows and keeps none; what else is asked, a real one answers.
    CqlHole {
        /// The real one: `HOST:PORT`.
        upstream: String,
    },
    /// Sends annotations to Kafka and watches when their moments can be seen in Cassandra and in Elasticsearch.
    Fresh(fresh::Args),
}

/// An HTTP client that goes straight to the server.
fn http() -> reqwest::Result<reqwest::Client> {
    // One for the process: it may be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build()
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Consume(args) => consume::main(&args),
        Command::Source { pipeline } => source::main(&pipeline),
        Command::Bulk(args) => bulk::main(args),
        Command::Rows(args) => rows::main(&args),
        Command::Contents(args) => contents::main(&args),
        Command::HttpHole { upstream } => http_hole::main(upstream),
        Command::CqlHole { upstream } => cql_hole::main(upstream),
        Command::Fresh(args) => fresh::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
