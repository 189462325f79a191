//! What Nexmark is run on, and how; and why it could not be.

use std::path::PathBuf;

use serde::Serialize;

use super::query::{QUERIES, Query};
use crate::bench::settings::{BenchError, within};
use crate::pipeline::Problems;
use crate::runtime::RunError;

/// Which events, which queries, and how they are run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NexmarkSettings {
    /// How many events: persons, auctions and bids together.
    pub events: u64,
    /// How many events there are in a second of event time.
    pub rate: u64,
    /// The names of the queries.
    pub queries: Vec<String>,
    /// Each query is run with each of these numbers of worker threads.
    pub workers: Vec<usize>,
    /// How often each is run to be timed.
    pub repetitions: usize,
    /// Whether runs have a journal.
    pub journal: bool,
    /// What all randomness comes from.
    pub seed: u64,
    /// Where events and pipeline files are kept; by default they are put with temporary files, and removed.
    pub directory: Option<PathBuf>,
}

impl Default for NexmarkSettings {
    /// A million events, 10,000 a second.
    fn default() -> Self {
        NexmarkSettings {
            events: 1_000_000,
            rate: 10_000,
            queries: QUERIES.iter().map(|query| query.name.to_owned()).collect(),
            workers: vec![1],
            repetitions: 3,
            journal: false,
            seed: 1,
            directory: None,
        }
    }
}

impl NexmarkSettings {
    /// The queries, if the settings make sense.
    ///
    /// # Errors
    /// With the first setting that does not, and what would.
    pub fn check(&self) -> Result<Vec<&'static Query>, BenchError> {
        within("events", self.events, 1, 1_000_000_000)?;
        within("rate", self.rate, 1, 1_000_000_000)?;
        within("repetitions", self.repetitions as u64, 1, 1_000)?;
        self.workers.iter().try_for_each(|workers| within("workers", *workers as u64, 1, 256))?;
        let known = |name: &String| {
            Query::named(name).ok_or_else(|| {
                let names: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
                BenchError::Setting {
                    setting: "queries",
                    expected: format!("some of {}, not {name:?}", names.join(", ")),
                }
            })
        };
        self.queries.iter().map(known).collect()
    }
}

/// Nexmark could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NexmarkError {
    /// A setting that makes no sense.
    #[error(transparent)]
    Setting(#[from] BenchError),
    /// Events could not be written, or what was found not be read.
    #[error("could not write or read the files of the benchmark in {path:?}")]
    Files {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A pipeline file of ours is not valid: a bug.
    #[error("the pipeline file of {query} is not valid; this is a bug: report it")]
    Pipeline {
        /// The query.
        query: &'static str,
        /// What is wrong.
        #[source]
        source: Box<Problems>,
    },
    /// A query could not be run.
    #[error("could not run {query}")]
    Run {
        /// The query.
        query: &'static str,
        /// What went wrong.
        #[source]
        source: Box<RunError>,
    },
    /// A query was not run to its end.
    #[error("{query} did not take all events: {reason}; this is a bug: report it with the settings")]
    Incomplete {
        /// The query.
        query: &'static str,
        /// What became of it.
        reason: String,
    },
    /// A query did not find what it must: a bug.
    #[error(
        "{query} found {found} rows with {workers} workers, and the oracle {expected}; missing is {missing}, and \
         not to be there is {wrong}; this is a bug: report it with the settings"
    )]
    Disagree {
        /// The query.
        query: &'static str,
        /// With so many workers.
        workers: usize,
        /// How many rows it found.
        found: u64,
        /// How many there are.
        expected: u64,
        /// One that it did not find, if any.
        missing: Box<str>,
        /// One that it should not have found, if any.
        wrong: Box<str>,
    },
}
