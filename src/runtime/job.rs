//! A job: one run of a pipeline, from opening its stores to its summary.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use flowstone_journal::{Journal, JournalError};
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use super::cluster::{Cluster, PARK, agree, expect_peers};
use super::control::{Control, Phase};
use super::dataflow;
use super::memory::Memory;
use super::metrics::Metrics;
use super::opening::{Opened, Site};
use super::setup::Setup;
use super::start::{Consent, Refused, Start};
use crate::pipeline::compile::Plan;
use crate::pipeline::{Pipeline, resolve};
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::source::memory::MemoryInput;

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
    /// It was stopped while it read what was present at its start. Sinks of tables are as they were; with a journal the next
    /// run goes on.
    NothingWritten,
    /// It was stopped, and some sinks did not finish in the time that `drain` gives them; the next run completes them.
    NotDrained,
    /// Everything that was read is written, except to sinks that stood still for longer than `on_lag` allows, and to those that
    /// wait for them; [`SinkMetrics::detached`](super::metrics::SinkMetrics::detached) says which. The next run fills them.
    Detached,
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
    /// The journal could not be read or written. Nothing that is sealed is lost.
    #[error("the journal of the pipeline's state")]
    Journal(#[from] JournalError),
    /// The pipeline or its stores are not those that the state belongs to.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The process takes more memory than it may. Nothing that is sealed is lost.
    #[error(
        "the process takes {used_bytes} bytes of memory, and `memory:` allows {limit_bytes}: {holders}; allow more, or run on more machines"
    )]
    Memory {
        /// What it takes.
        used_bytes: u64,
        /// What it may.
        limit_bytes: u64,
        /// What holds it.
        holders: String,
    },
    /// A `memory` source that the program has not given records for.
    #[error("source {0:?} is a memory source: only a program that embeds flowstone can hand over its records")]
    NoMemory(String),
    /// Processes of a cluster that share nothing to be durable in.
    #[error("several processes need a state that all of them can reach; `state: none` has none")]
    NoSharedState,
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
    cluster: Cluster,
    consent: Consent,
    memory: HashMap<String, MemoryInput>,
    control: Arc<Control>,
    metrics: Arc<Metrics>,
}

impl Job {
    /// A job for a valid pipeline. Relative paths in it are relative to `base`.
    pub fn new(pipeline: Pipeline, base: &Path, mode: Mode) -> Self {
        let plan = Plan::compile(&pipeline);
        let metrics = Arc::new(Metrics {
            sources: plan.sources.iter().map(|name| (name.clone(), Arc::default())).collect(),
            tables: plan.tables.iter().map(|table| (table.name.clone(), Arc::default())).collect(),
            operators: plan.operators().map(|name| (name.to_owned(), Arc::default())).collect(),
            sinks: plan.sinks.iter().map(|sink| (sink.name.clone(), Arc::default())).collect(),
            ..Metrics::default()
        });
        Job {
            plan,
            pipeline,
            base: base.to_owned(),
            workers: 1,
            mode,
            cluster: Cluster::default(),
            consent: Consent::default(),
            memory: HashMap::new(),
            control: Arc::default(),
            metrics,
        }
    }

    /// Runs on so many worker threads.
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Runs as one of several processes, each with the same number of workers.
    pub fn with_cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = cluster;
        self
    }

    /// What the user wants to be done about what has changed since the state was written.
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = consent;
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

    /// The directory of what is not in the journal.
    fn state_dir(&self) -> PathBuf {
        let is_directory = self.pipeline.state != "none" && !self.pipeline.state.contains("://");
        resolve(&self.base, if is_directory { &self.pipeline.state } else { "." })
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// [`RunError`]. What is sealed is safe, and the next run goes on from there.
    pub fn run(self) -> Result<Outcome, RunError> {
        let journal = self.journal()?;
        if journal.is_none() && self.cluster.hosts.len() > 1 {
            return Err(RunError::NoSharedState);
        }
        let opened = if self.cluster.is_first() { Some(self.site().open(journal.as_ref())?) } else { None };
        let config = self.cluster.config(self.workers);
        let shared = Shared { opened: Mutex::new(opened), setup: OnceLock::new() };
        let (control, metrics, workers) = (self.control.clone(), self.metrics.clone(), self.workers);
        let complete = self.execute(config, journal, shared, workers)?;
        let is_detached = metrics.sinks.iter().any(|(_, sink)| sink.detached.load(SeqCst));
        match control.take_failure() {
            Some(failure) => Err(failure),
            None if complete && !control.is_unfinished() && is_detached => Ok(Outcome::Detached),
            None if complete && !control.is_unfinished() => Ok(Outcome::Complete),
            None if control.is_unfinished() => Ok(Outcome::NothingWritten),
            None => Ok(Outcome::NotDrained),
        }
    }

    fn journal(&self) -> Result<Option<Journal>, RunError> {
        let directory = self.state_dir();
        std::fs::create_dir_all(&directory).map_err(|source| RunError::State { path: directory, source })?;
        if self.pipeline.state == "none" {
            return Ok(None);
        }
        Ok(Some(Journal::open(&journal_location(&self.pipeline, &self.base))?))
    }

    /// Starts the workers and waits for their end; says whether everything was written.
    fn execute(
        self,
        config: timely::Config,
        journal: Option<Journal>,
        shared: Shared,
        workers: usize,
    ) -> Result<bool, RunError> {
        let (drain, is_cluster) = (self.pipeline.drain.duration(), self.cluster.hosts.len() > 1);
        let (ended, ends) = std::sync::mpsc::channel();
        let ended = Mutex::new(ended);
        let job = Arc::new((self, journal, shared));
        let met = expect_peers(&job.0.cluster);
        let kept = job.clone();
        let guards = timely::execute(config, move |worker| {
            met.store(true, SeqCst);
            let (job, journal, shared) = &*job;
            let start =
                shared.opened.lock().expect("a panic would have ended the process").as_ref().map(|o| o.start.clone());
            let start = agree(worker, start.filter(|_| worker.index() == 0), &job.control);
            let setup = start.map(|start| shared.setup(job, journal.as_ref(), start));
            let complete = match setup {
                Some(Some(setup)) => work(worker, setup, drain),
                Some(None) | None => false,
            };
            // Nobody is left to hear it if the caller has gone.
            let _ = ended.lock().expect("a panic would have ended the process").send(complete);
            drop_dataflows(worker);
        });
        let guards = guards.map_err(RunError::Workers)?;
        let ends: Vec<bool> = ends.iter().take(workers).collect();
        if let Some(Some(setup)) = kept.2.setup.get() {
            setup.catalogs.iter().for_each(|(_, catalog)| catalog.finish());
        }
        if is_cluster {
            // What the links still hold tells the other processes that all is done; without it they would take this one for
            // crashed.
            drop(guards);
        } else {
            // Freeing millions of rows one by one takes a while, and nobody has to wait for it.
            std::thread::spawn(move || drop((guards, kept)));
        }
        Ok(ends.into_iter().all(|complete| complete))
    }
}

/// Where the journal of a pipeline is; `state:` must not be `none`.
pub fn journal_location(pipeline: &Pipeline, base: &Path) -> String {
    if pipeline.state.contains("://") {
        return format!("{}/journal", pipeline.state.trim_end_matches('/'));
    }
    resolve(base, &pipeline.state).join("journal").to_string_lossy().into_owned()
}

/// What the workers of a process make once for all of them.
struct Shared {
    /// In the first process: what was opened before the workers started.
    opened: Mutex<Option<Opened>>,
    setup: OnceLock<Option<Setup>>,
}

impl Shared {
    /// The setup; none if it failed, which the control knows then.
    fn setup(&self, job: &Job, journal: Option<&Journal>, start: Start) -> Option<&Setup> {
        let make = || {
            let opened = self.opened.lock().expect("a panic would have ended the process").take();
            let opened = match opened {
                Some(opened) => Ok(opened),
                None => job.site().follow(start),
            };
            match opened {
                Ok(opened) => Some(job.setup(journal.cloned(), opened)),
                Err(error) => {
                    job.control.fail(error);
                    None
                }
            }
        };
        self.setup.get_or_init(make).as_ref()
    }
}

impl Job {
    fn site(&self) -> Site<'_> {
        Site {
            pipeline: &self.pipeline,
            plan: &self.plan,
            base: self.base.clone(),
            dead_letters: self.dead_letters_path(),
            memory: &self.memory,
            consent: &self.consent,
            mode: self.mode,
            metrics: &self.metrics,
        }
    }

    fn setup(&self, journal: Option<Journal>, opened: Opened) -> Setup {
        let Opened { start, catalogs, writers, keeper } = opened;
        let memory = Memory::new(self.pipeline.memory.map(|size| size.0));
        let gauges = memory.gauges();
        memory.watch(self.control.clone(), self.metrics.clone(), gauges.waiting.clone());
        if start.hidden_from.is_none() {
            self.control.set_filling(start.first_epoch - 1);
        }
        let mut limits = memory.limits(catalogs.len() * self.workers);
        if journal.is_none() {
            // What was present at the start is one epoch, however much it is: nothing of it is sealed before its end.
            limits.unsealed_bytes = u64::MAX;
        }
        Setup {
            limits,
            progress: self.plan.sinks.iter().map(|_| Arc::default()).collect(),
            plan: self.plan.clone(),
            start,
            catalogs,
            writers,
            journal,
            keeper: Mutex::new(keeper),
            epoch_length: self.pipeline.epoch.duration(),
            bounded: self.mode == Mode::Backfill,
            gauges,
            control: self.control.clone(),
            metrics: self.metrics.clone(),
            finals: self.plan.aggregates.iter().map(|_| Default::default()).collect(),
        }
    }
}

/// One worker's part of the run; says whether everything was written.
fn work(worker: &mut Worker, setup: &Setup, drain: Duration) -> bool {
    let done = ProbeHandle::new();
    worker.dataflow::<u64, _, _>(|scope| dataflow::build(scope, setup, &done));
    let control = &setup.control;
    let late = || control.stopped_at().is_some_and(|at: Instant| at.elapsed() > drain);
    while !done.done() && !control.must_end() && !late() {
        worker.step_or_park(Some(PARK));
        if control.phase() == Phase::Filling && control.shown_at().is_some_and(|epoch| !done.less_equal(&epoch)) {
            control.set_following();
        }
    }
    done.done()
}

/// Ends what is left of the dataflow: nobody waits for it.
fn drop_dataflows(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}
