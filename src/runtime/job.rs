//! A job: one run of a pipeline, from opening its stores to its summary.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use timely::dataflow::ProbeHandle;

use super::clock::unix_ms;
use super::control::{Control, Phase};
use super::dataflow;
use super::metrics::Metrics;
use super::setup::Setup;
use super::stores::Stores;
use crate::pipeline::compile::{Plan, SinkPlan};
use crate::pipeline::{Pipeline, resolve};
use crate::sink::SinkError;
use crate::source::memory::MemoryInput;
use crate::source::{SourceError, catalog::Catalog, file};

/// How long a worker sleeps at most, so that it sees requests to stop.
const PARK: Duration = Duration::from_millis(50);

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When everything that is present at its start is written.
    Backfill,
    /// When it is stopped, or all sources have ended.
    Run,
}

/// How a run ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was read is written.
    Complete,
    /// It was stopped while it read what was present at its start. The sinks are as they were.
    NothingWritten,
    /// It was stopped, and some sinks did not finish in the time that `drain` gives them; the next run completes them.
    NotDrained,
}

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A source could not be opened or read. Nothing is lost: the next run reads it again.
    #[error("source {name:?}")]
    Source {
        /// The source.
        name: String,
        /// What went wrong.
        #[source]
        source: SourceError,
    },
    /// A sink could not be opened or written. Nothing is lost: the next run writes it again.
    #[error("sink {name:?}")]
    Sink {
        /// The sink.
        name: String,
        /// What went wrong.
        #[source]
        source: SinkError,
    },
    /// The state directory can not be used.
    #[error("could not create the state directory {path:?}; `state:` in the pipeline file names it")]
    State {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A `memory` source that the program has not given records for.
    #[error("source {0:?} is a memory source: only a program that embeds flowstone can hand over its records")]
    NoMemory(String),
    /// The workers could not be started.
    #[error("could not start the workers: {0}")]
    Workers(String),
}

/// A pipeline that is ready to run.
pub struct Job {
    plan: Plan,
    pipeline: Pipeline,
    base: PathBuf,
    workers: usize,
    mode: Mode,
    memory: HashMap<String, MemoryInput>,
    control: Arc<Control>,
    metrics: Arc<Metrics>,
}

impl Job {
    /// A job for a valid pipeline. Relative paths in it are relative to `base`.
    pub fn new(pipeline: Pipeline, base: &Path, mode: Mode) -> Self {
        let mut plan = Plan::compile(&pipeline);
        plan.sinks.push(SinkPlan::dead_letters());
        let metrics = Arc::new(Metrics {
            sources: plan.sources.iter().map(|name| (name.clone(), Arc::default())).collect(),
            tables: plan.tables.iter().map(|table| (table.name.clone(), Arc::default())).collect(),
            fuses: plan.fuses.iter().map(|fuse| (fuse.name.clone(), Arc::default())).collect(),
            sinks: plan.sinks.iter().map(|sink| (sink.name.clone(), Arc::default())).collect(),
        });
        let (base, memory, control) = (base.to_owned(), HashMap::new(), Arc::default());
        Job { plan, pipeline, base, workers: 1, mode, memory, control, metrics }
    }

    /// Runs on so many worker threads.
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The records of a `memory` source.
    pub fn with_memory(mut self, source: &str, input: MemoryInput) -> Self {
        self.memory.insert(source.to_owned(), input);
        self
    }

    /// To stop the run from another thread.
    pub fn control(&self) -> Arc<Control> {
        self.control.clone()
    }

    /// To watch the run from another thread.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Where records go that could not be processed.
    pub fn dead_letters_path(&self) -> PathBuf {
        let path = self.pipeline.dead_letters.path.as_deref();
        path.map_or_else(|| self.state_dir().join("dead-letters.ndjson"), |path| resolve(&self.base, path))
    }

    fn state_dir(&self) -> PathBuf {
        if self.pipeline.state == "none" { resolve(&self.base, ".") } else { resolve(&self.base, &self.pipeline.state) }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// [`RunError`]; the sinks then hold what they held before the epoch that failed.
    pub fn run(self) -> Result<Outcome, RunError> {
        let state = self.state_dir();
        std::fs::create_dir_all(&state).map_err(|source| RunError::State { path: state, source })?;
        let catalogs = self.open_sources()?;
        let (writers, above) = Stores::open(&self.plan, &self.base, &self.dead_letters_path(), &self.metrics)?;
        let drain = self.pipeline.drain.duration();
        let setup = Arc::new(Setup {
            plan: self.plan,
            catalogs,
            writers,
            // Above every epoch that a store may hold, also when the system's clock went back (law L3).
            first_epoch: unix_ms().max(above),
            epoch_length: self.pipeline.epoch.duration(),
            bounded: self.mode == Mode::Backfill,
            control: self.control.clone(),
            metrics: self.metrics,
        });
        let (ended, ends) = std::sync::mpsc::channel();
        let ended = Mutex::new(ended);
        let guards = timely::execute(timely::Config::process(self.workers), move |worker| {
            let complete = work(worker, &setup, drain);
            // Nobody is left to hear it if the caller has gone.
            let _ = ended.lock().expect("a panic would have ended the process").send(complete);
            drop_dataflows(worker);
        });
        let guards = guards.map_err(RunError::Workers)?;
        let ends: Vec<bool> = ends.iter().take(self.workers).collect();
        let complete = ends.into_iter().all(|complete| complete);
        // Freeing millions of rows one by one takes a while, and nobody has to wait for it.
        std::thread::spawn(move || drop(guards));
        match self.control.take_failure() {
            Some(failure) => Err(failure),
            None if complete => Ok(Outcome::Complete),
            None if self.control.is_abandoned() => Ok(Outcome::NothingWritten),
            None => Ok(Outcome::NotDrained),
        }
    }

    fn open_sources(&self) -> Result<Vec<(String, Catalog)>, RunError> {
        let mut catalogs = Vec::new();
        for (name, spec) in &self.pipeline.sources {
            let failed = |source| RunError::Source { name: name.clone(), source };
            let source = if let Some(spec_file) = &spec.file {
                let most_bytes = spec.max_record_bytes.0;
                let source = file::open(&spec_file.paths, &self.base, spec_file.follow, most_bytes);
                Box::new(source.map_err(failed)?)
            } else {
                self.memory.get(name).ok_or_else(|| RunError::NoMemory(name.clone()))?.source()
            };
            catalogs.push((name.clone(), Catalog::open(source, Vec::new(), false).map_err(failed)?));
        }
        Ok(catalogs)
    }
}

/// One worker's part of the run; says whether everything was written.
fn work(worker: &mut timely::worker::Worker, setup: &Setup, drain: Duration) -> bool {
    let done = ProbeHandle::new();
    worker.dataflow::<u64, _, _>(|scope| dataflow::build(scope, setup, &done));
    let control = &setup.control;
    let late = || control.stopped_at().is_some_and(|at: Instant| at.elapsed() > drain);
    while !done.done() && !control.must_end() && !late() {
        worker.step_or_park(Some(PARK));
        if control.phase() == Phase::Filling && !done.less_equal(&setup.first_epoch) {
            control.set_following();
        }
    }
    done.done()
}

/// Ends what is left of the dataflow: nobody waits for it.
fn drop_dataflows(worker: &mut timely::worker::Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}
