//! Runs of queries: pipelines, as everybody runs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::query::Query;
use super::report::Took;
use super::settings::NexmarkError;
use crate::pipeline::{self, DiscardSink, FileSink, Pipeline, SinkSpec};
use crate::runtime::metrics::{Metrics, read};
use crate::runtime::{Job, Mode, Outcome, RunError};

/// Where events are, and what is made of them.
pub(super) struct Place {
    pub path: PathBuf,
    /// Nobody asked for it, and nobody needs it afterwards.
    is_temporary: bool,
}

impl Place {
    pub(super) fn new(directory: Option<&Path>) -> Result<Self, NexmarkError> {
        let temporary =
            || std::env::temp_dir().join(format!("flowstone-nexmark-{}-{}", std::process::id(), next_number()));
        let path = directory.map_or_else(temporary, Path::to_owned);
        std::fs::create_dir_all(&path).map_err(|source| NexmarkError::Files { path: path.clone(), source })?;
        Ok(Place { path, is_temporary: directory.is_none() })
    }

    /// Where a query leaves what it finds when that is checked.
    pub(super) fn found(&self, query: &Query) -> PathBuf {
        self.path.join(format!("checked-{}", query.name))
    }

    fn state(&self) -> PathBuf {
        self.path.join("state-of-bench")
    }
}

/// Several may run in one process.
fn next_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary {
            // Nobody can be told, and the system removes what is left there.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// How a query is run.
pub(super) struct Running<'a> {
    pub query: &'static Query,
    pub place: &'a Place,
    pub workers: usize,
    pub journal: bool,
}

/// The sink of each query.
const OUT: &str = "out";

impl Running<'_> {
    /// Runs it into a directory, which is made anew.
    pub(super) fn checked(&self, found: &Path) -> Result<(), NexmarkError> {
        emptied(found)?;
        let path = found.to_string_lossy().into_owned();
        self.run(|sink| sink.file = Some(FileSink { path })).map(drop)
    }

    /// Runs it into a sink that renders documents and keeps none; there must be so many.
    pub(super) fn timed(&self, rows: u64) -> Result<Took, NexmarkError> {
        let (took, metrics) = self.run(|sink| {
            sink.file = None;
            sink.discard = Some(DiscardSink { render: true, rate: None });
        })?;
        match written(&metrics) {
            (upserts, 0) if upserts == rows => Ok(took),
            (upserts, deletes) => {
                Err(self.incomplete(format!("it wrote {upserts} rows of {rows}, and deleted {deletes}")))
            }
        }
    }

    fn incomplete(&self, reason: String) -> NexmarkError {
        NexmarkError::Incomplete { query: self.query.name, reason }
    }

    fn failed(&self, source: RunError) -> NexmarkError {
        NexmarkError::Run { query: self.query.name, source: Box::new(source) }
    }

    fn run(&self, change: impl FnOnce(&mut SinkSpec)) -> Result<(Took, Arc<Metrics>), NexmarkError> {
        let mut pipeline = self.pipeline()?;
        let state = self.place.state();
        emptied(&state)?;
        pipeline.state = if self.journal { state.to_string_lossy().into_owned() } else { "none".to_owned() };
        change(pipeline.sinks.get_mut(OUT).expect("each query has it"));
        let job = Job::new(pipeline, &self.place.path, Mode::Backfill).with_workers(self.workers);
        let metrics = job.metrics();
        let (began, cpu_before) = (Instant::now(), cpu_seconds());
        let outcome = job.run().map_err(|source| self.failed(source))?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
        let dead = metrics.tables.iter().map(|(_, table)| read(&table.dead_letters)).sum::<u64>()
            + metrics.operators.iter().map(|(_, operator)| read(&operator.rejected)).sum::<u64>();
        match outcome {
            Outcome::Complete if dead == 0 => Ok((Took { seconds, cpu_seconds }, metrics)),
            Outcome::Complete => Err(self.incomplete(format!("{dead} of them became dead letters"))),
            other => Err(self.incomplete(format!("the run ended as {other:?}"))),
        }
    }

    fn pipeline(&self) -> Result<Pipeline, NexmarkError> {
        let problem = |source| NexmarkError::Pipeline { query: self.query.name, source: Box::new(source) };
        Ok(pipeline::parse(self.query.pipeline, &self.place.path, &|_| None).map_err(problem)?.pipeline)
    }
}

/// Rows written, and deleted.
fn written(metrics: &Metrics) -> (u64, u64) {
    let sink = metrics.sinks.iter().find(|(name, _)| name == OUT).map(|(_, sink)| sink);
    sink.map_or((0, 0), |sink| (read(&sink.upserts), read(&sink.deletes)))
}

/// Removes a directory, if it is there.
fn emptied(path: &Path) -> Result<(), NexmarkError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(NexmarkError::Files { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// What processors have spent on this process. Linux counts it in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name of the program, which may have spaces in it, the times in user and system mode are the 12th and the 13th.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}
