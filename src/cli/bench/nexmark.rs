//! `flowstone bench nexmark`

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::bench::{self, BenchError, NexmarkError, NexmarkReport, NexmarkSettings, Progress, QueryRun};
use crate::cli::Failure;
use crate::cli::output::{counted, print, set_texts, table};

/// Measures whole pipelines with queries of Nexmark: an auction house with persons, auctions and bids.
///
/// Events are made up by the published rules, and written to files. Each query is a pipeline file, run as `flowstone backfill` runs
/// it, from the files to rendered documents; what it finds is first checked against an oracle. Examples:
///
///   flowstone bench nexmark
///   flowstone bench nexmark --queries q5,q7,q11 --events 10000000 --workers 1,2
///   flowstone bench nexmark --dir nexmark && flowstone backfill nexmark/q5.yaml
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The queries, separated by commas: q1 to q5, q7, q8, q11, q15 to q18, q20 [default: all of them].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    queries: Vec<String>,
    /// How many events: persons, auctions and bids together, as 1 to 3 to 46.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    /// How many events there are in a second of event time: the fewer, the more windows.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rate: u64,
    /// Worker threads; several numbers, separated by commas, run each query with each.
    #[arg(short, long, value_name = "N", value_delimiter = ',', default_value = "1")]
    workers: Vec<usize>,
    /// How often each query is run to be timed; the table shows the run of median time.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repetitions: usize,
    /// Runs have a journal, as pipelines have by default.
    #[arg(long)]
    journal: bool,
    /// What all randomness comes from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keeps events and pipeline files in this directory; by default they are removed.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Args {
    fn settings(&self) -> NexmarkSettings {
        let Args { events, rate, repetitions, journal, seed, .. } = *self;
        let mut settings = NexmarkSettings { events, rate, repetitions, journal, seed, ..NexmarkSettings::default() };
        if !self.queries.is_empty() {
            settings.queries.clone_from(&self.queries);
        }
        settings.workers.clone_from(&self.workers);
        settings.directory.clone_from(&self.dir);
        settings
    }
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let settings = args.settings();
    let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} runs";
    let style = ProgressStyle::with_template(template).expect("the template is ours, and parses");
    let bar = ProgressBar::new(bench::nexmark_steps(&settings)).with_style(style);
    let drawn = bar.clone();
    let progress: Progress = Arc::new(move |done| drawn.set_position(done));
    let report = bench::nexmark(&settings, &progress);
    bar.finish_and_clear();
    let report = report.map_err(|error| match error {
        NexmarkError::Setting(BenchError::Setting { .. }) => Failure::Usage(format!("error: {error}")),
        error => Failure::run(error),
    })?;
    if json {
        let text = serde_json::to_string(&report).map_err(Failure::run)?;
        return print(&format!("{text}\n"));
    }
    print(&text(&report))
}

fn text(report: &NexmarkReport) -> String {
    let header = ["", "workers", "events", "seconds", "events/s", "CPU s", "events/s a core", "rows"];
    let mut rows = table(&[&header[..], &["what"]].concat());
    set_texts(&mut rows, &[8]);
    report.runs.iter().for_each(|run| _ = rows.add_row(row(run)));
    let NexmarkSettings { events, rate, seed, repetitions, journal, .. } = &report.settings;
    let journal = if *journal { "with a journal" } else { "without a journal" };
    format!(
        "{rows}\nall rows are those of the oracle; {}, {} a second of event time, seed {seed}; {journal}; the median of {}\n",
        counted(*events, "event"),
        HumanCount(*rate),
        counted(*repetitions as u64, "run"),
    )
}

fn row(run: &QueryRun) -> Vec<String> {
    let count = |number: f64| HumanCount(number as u64).to_string();
    vec![
        run.query.to_owned(),
        run.workers.to_string(),
        HumanCount(run.events).to_string(),
        format!("{:.3}", run.seconds),
        count(run.events_per_s),
        run.cpu_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2}")),
        run.events_per_cpu_s.map_or("-".to_owned(), count),
        HumanCount(run.rows).to_string(),
        run.about.to_owned(),
    ]
}
