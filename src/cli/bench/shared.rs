//! What all benchmarks share: the workload and how it is run, progress, the table, the plot.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::bench::{self, BenchError, Floor, Phase, Progress, Report, Running, Workload};
use crate::cli::Failure;
use crate::cli::output::{counted, print, table};
use crate::pipeline::units::Span;

#[derive(clap::Args)]
pub struct Shared {
    /// How many lines: new annotations, corrections and deletions together [default: 1000000; overlap and aggregate: 2000000].
    #[arg(long, value_name = "N")]
    annotations: Option<u64>,
    /// How many assets: only what belongs to the same one meets [default: 200; overlap: 1000; aggregate: 100000].
    #[arg(long, value_name = "N")]
    assets: Option<u32>,
    /// The mean length of annotations; lengths are uniform up to twice that [default: 3s; overlap: 36s].
    #[arg(long, value_name = "SPAN")]
    mean_length: Option<Span>,
    /// How long an asset is [default: 2h].
    #[arg(long, value_name = "SPAN")]
    span: Option<Span>,
    /// How unequal assets are: 0 is equal; at S the n-th has a share of 1/n^S.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    skew: f64,
    /// How late annotations come, as a share of the span: 0 is the order of their starts, 1 no order at all.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    disorder: f64,
    /// The share of lines after the bulk that correct an annotation.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    corrections: f64,
    /// The share of lines after the bulk that delete an annotation.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    deletions: f64,
    /// So many lines come first, in one epoch, all of them new annotations.
    #[arg(long, value_name = "N", default_value_t = 0)]
    bulk: u64,
    /// How many lines an epoch has after the bulk [default: all of them].
    #[arg(long, value_name = "N")]
    batch: Option<u64>,
    /// The input ends with the last epoch, as that of a backfill: no state is built that only later epochs need.
    #[arg(long)]
    backfill: bool,
    /// Worker threads.
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// How often all of it is run; the table shows the run of median time.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repetitions: usize,
    /// What all randomness comes from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also finds what is there in the end by one sort and one sweep, without a dataflow: what can not be beaten. Both must
    /// agree.
    #[arg(long)]
    compare: bool,
    /// Draws the time of each epoch after the bulk, as SVG; needs --batch.
    #[arg(long, value_name = "OUT.svg", requires = "batch", value_hint = clap::ValueHint::FilePath)]
    plot: Option<PathBuf>,
}

impl Shared {
    /// The workload that was asked for; what was not said is as in `defaults`.
    pub fn workload(&self, defaults: &Workload) -> Workload {
        Workload {
            annotations: self.annotations.unwrap_or(defaults.annotations),
            assets: self.assets.unwrap_or(defaults.assets),
            modalities: defaults.modalities,
            mean_length: self.mean_length.unwrap_or(defaults.mean_length),
            span: self.span.unwrap_or(defaults.span),
            skew: self.skew,
            disorder: self.disorder,
            corrections: self.corrections,
            deletions: self.deletions,
            bulk: self.bulk,
            batch: self.batch,
            seed: self.seed,
        }
    }

    pub fn running(&self) -> Running {
        let Shared { workers, repetitions, backfill, compare, .. } = *self;
        Running { workers, repetitions, backfill, compare }
    }

    /// Writes the plot, if asked for, and prints the report. `names` are those of the benchmark and of one result.
    pub fn show<S: Serialize>(
        &self,
        report: &Report<S>,
        (name, result): (&str, &str),
        (workload, running): (&Workload, &Running),
        json: bool,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.plot {
            let svg = bench::plot(report, name, workload, running);
            let written = std::fs::write(path, svg);
            written.map_err(|error| Failure::run(format!("could not write the plot {path:?}: {error}")))?;
        }
        if json {
            let text = serde_json::to_string(report).map_err(Failure::run)?;
            return print(&format!("{text}\n"));
        }
        print(&text(report, result, workload.seed, running))
    }
}

/// Runs a benchmark with a bar; none is drawn unless standard error is a terminal.
pub fn run<S>(
    workload: &Workload,
    running: &Running,
    bench: impl FnOnce(&Progress) -> Result<Report<S>, BenchError>,
) -> Result<Report<S>, Failure> {
    let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} annotations";
    let style = ProgressStyle::with_template(template).expect("the template is ours, and parses");
    let lines = workload.annotations.saturating_mul(running.repetitions as u64);
    let bar = ProgressBar::new(lines).with_style(style);
    let drawn = bar.clone();
    let progress: Progress = Arc::new(move |lines| drawn.set_position(lines));
    let report = bench(&progress);
    bar.finish_and_clear();
    report.map_err(|error| match error {
        BenchError::Setting { .. } => Failure::Usage(format!("error: {error}")),
        error => Failure::run(error),
    })
}

fn text<S>(report: &Report<S>, result: &str, seed: u64, running: &Running) -> String {
    let (results, rate) = (format!("{result}s"), format!("{result}s/s"));
    let header = ["", "epochs", "annotations", "seconds", "annotations/s", &results, "retracted", &rate];
    let mut rows = table(&[&header[..], &["p50", "p99", "max"]].concat());
    report.phases.iter().for_each(|phase| _ = rows.add_row(phase_row(phase)));
    if let Some(floor) = &report.floor {
        rows.add_row(floor_row(floor, report.annotations_left));
    }
    let mut text = format!("{rows}\n");
    if let Some(ratio) = report.floor.as_ref().and_then(|floor| floor.ratio) {
        text.push_str(&format!("{ratio:.2} times the time of one sort and sweep\n"));
    }
    let annotations = counted(report.annotations_left, "annotation");
    text.push_str(&format!("{annotations} and {} left in the end\n", counted(report.results_left, result)));
    if let Some(bytes) = report.state_bytes_per_annotation {
        text.push_str(&format!("at most {bytes:.0} bytes of state an annotation, beside the made-up input\n"));
    }
    if let Some(bytes) = report.peak_rss_bytes {
        text.push_str(&format!("{} at the peak, with the made-up input\n", HumanBytes(bytes)));
    }
    let runs = report.repetitions.iter().map(|run| format!("{:.3}", run.seconds)).collect::<Vec<_>>().join(", ");
    let workers = counted(running.workers as u64, "worker");
    text.push_str(&format!("{workers}, seed {seed}; runs of {runs} s, of which the median is shown\n"));
    text
}

fn phase_row(phase: &Phase) -> Vec<String> {
    let ms = |ms: f64| format!("{ms:.2} ms");
    vec![
        phase.name.to_owned(),
        count(phase.epochs),
        count(phase.annotations),
        format!("{:.3}", phase.seconds),
        count(phase.annotations_per_s as u64),
        count(phase.written),
        count(phase.retracted),
        count(phase.written_per_s as u64),
        ms(phase.p50_ms),
        ms(phase.p99_ms),
        ms(phase.max_ms),
    ]
}

fn floor_row(floor: &Floor, annotations: u64) -> Vec<String> {
    let rate = |n: u64| count((n as f64 / floor.seconds.max(1e-9)) as u64);
    let seconds = format!("{:.3}", floor.seconds);
    let found = [count(annotations), seconds, rate(annotations), count(floor.results)];
    let row = ["sort and sweep", "-"].map(str::to_owned).into_iter().chain(found);
    row.chain(["0".to_owned(), rate(floor.results)]).chain(["-", "-", "-"].map(str::to_owned)).collect()
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}
