//! What `run` and `backfill` share: arguments, signals, progress, summary.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::progress::Progress;
use super::{Failure, output, summary};
use crate::pipeline;
use crate::runtime::{Cluster, Consent, Control, Job, Mode, Outcome};

/// Arguments of commands that run a pipeline.
#[derive(clap::Args)]
pub struct JobArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml", value_hint = clap::ValueHint::FilePath)]
    pipeline: PathBuf,
    /// Worker threads; by default one a core.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Takes operators that have changed since the state was written, and fills the sinks below them again.
    #[arg(long)]
    accept_changes: bool,
    /// Builds a table anew: reads its sources from the start, and fills the sinks below it again. May be repeated.
    #[arg(long, value_name = "TABLE")]
    rebuild: Vec<String>,
    /// Goes on without input that is gone before it was read.
    #[arg(long)]
    skip_lost: bool,
    /// Runs as one of several processes: `host:port` of each, the same list in all. Their links are neither encrypted nor
    /// authenticated: use a private network.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', requires = "process")]
    hosts: Vec<String>,
    /// Which of the hosts this process is; the first, 0, opens the stores.
    #[arg(long, value_name = "N", requires = "hosts")]
    process: Option<usize>,
}

impl JobArgs {
    fn cluster(&self) -> Result<Cluster, Failure> {
        let process = self.process.unwrap_or(0);
        if process > 0 && process >= self.hosts.len() {
            let last = self.hosts.len() - 1;
            return Err(Failure::Usage(format!(
                "error: --process {process} is none of the hosts, which are 0 to {last}"
            )));
        }
        Ok(Cluster { hosts: self.hosts.clone(), process })
    }

    fn consent(&self) -> Consent {
        Consent { accept_changes: self.accept_changes, rebuild: self.rebuild.clone(), skip_lost: self.skip_lost }
    }
}

pub fn main(args: &JobArgs, mode: Mode, json: bool) -> Result<(), Failure> {
    let loaded = pipeline::load(&args.pipeline).map_err(|problems| Failure::Usage(problems.to_string()))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let workers = args.workers.map_or_else(cores, usize::from);
    let name = loaded.pipeline.name.clone();
    let job = Job::new(loaded.pipeline, &loaded.base, mode)
        .with_workers(workers)
        .with_cluster(args.cluster()?)
        .with_consent(args.consent());
    let (control, metrics, dead_letters) = (job.control(), job.metrics(), job.dead_letters_path());
    stop_on_signals(control.clone())?;
    tracing::info!("running {name} on {workers} workers");

    let started = Instant::now();
    let progress = Progress::start(&control, &metrics);
    let outcome = job.run();
    progress.finish();
    let outcome = outcome.map_err(Failure::run)?;
    match outcome {
        Outcome::Complete | Outcome::Detached => (),
        Outcome::NothingWritten => eprintln!("stopped before everything was read: the next run goes on"),
        Outcome::NotDrained => eprintln!("stopped before {}: the next run completes it", summary::pending(&metrics)),
    }
    if let Some(detached) = summary::detached(&metrics) {
        eprintln!("{detached}");
    }
    let summary = summary::Summary::new(&name, outcome, started.elapsed(), workers, &metrics, &dead_letters);
    output::print(&format!("{}\n", if json { summary.json() } else { summary.text() }))?;
    // Whoever stops a run knows that it is not at its end. One process says it for all.
    let is_first = args.process.unwrap_or(0) == 0;
    if outcome == Outcome::Detached && is_first && !control.was_stopped() {
        let problem = "not everything was written: see to the stores that stood still, then start again";
        return Err(Failure::run(problem));
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The first signal stops the run in order; the second one ends the process.
fn stop_on_signals(control: Arc<Control>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::run)?;
    let watch = move || {
        for _ in signals.forever() {
            if control.is_stopping() {
                std::process::exit(130);
            }
            eprintln!("stopping; once more to stop at once");
            control.stop();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(Failure::run)?;
    Ok(())
}
