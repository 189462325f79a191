//! What queries took.

use serde::Serialize;

use super::settings::NexmarkSettings;

/// What all queries took.
#[derive(Clone, Debug, Serialize)]
pub struct NexmarkReport {
    /// What was asked for.
    pub settings: NexmarkSettings,
    /// One for each query and number of workers.
    pub runs: Vec<QueryRun>,
}

/// What a query took: of the repetition that took the median time.
#[derive(Clone, Debug, Serialize)]
pub struct QueryRun {
    /// Its name.
    pub query: &'static str,
    /// What it asks.
    pub about: &'static str,
    /// How many worker threads there were.
    pub workers: usize,
    /// How many events it read.
    pub events: u64,
    /// How many rows it found: as many as the oracle, and the same.
    pub rows: u64,
    /// From the start of the dataflow until the last row was rendered.
    pub seconds: f64,
    /// The processor time of the whole process in that time; not known outside of Linux.
    pub cpu_seconds: Option<f64>,
    /// Events in a second.
    pub events_per_s: f64,
    /// Events in a second of processor time.
    pub events_per_cpu_s: Option<f64>,
    /// The time of each repetition.
    pub repetitions_s: Vec<f64>,
}

impl QueryRun {
    pub(super) fn new(
        (query, about): (&'static str, &'static str),
        workers: usize,
        (events, rows): (u64, u64),
        mut took: Vec<Took>,
    ) -> Self {
        let repetitions_s = took.iter().map(|took| took.seconds).collect();
        took.sort_unstable_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Took { seconds, cpu_seconds } = took[took.len() / 2];
        let rate = |seconds: f64| events as f64 / seconds.max(1e-9);
        // Its clock has steps of 10 ms.
        let events_per_cpu_s = cpu_seconds.filter(|seconds| *seconds > 0.0).map(rate);
        QueryRun {
            query,
            about,
            workers,
            events,
            rows,
            seconds,
            cpu_seconds,
            events_per_s: rate(seconds),
            events_per_cpu_s,
            repetitions_s,
        }
    }
}

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub seconds: f64,
    pub cpu_seconds: Option<f64>,
}
