//! `flowstone bench fusion`

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::bench::{self, BenchError, Form, FusionReport, FusionSettings};
use crate::cli::Failure;
use crate::cli::output::{counted, print, table};
use crate::pipeline::units::Span;

/// Measures fusion: made-up annotations through its dataflow, without files, parsing and rendering.
///
/// By default all annotations come in one epoch. Examples, the second one of small updates on top of a million annotations:
///
///   flowstone bench fusion --mean-length 30s --compare
///   flowstone bench fusion --annotations 1100000 --bulk 1000000 --batch 1000 --corrections 0.3 --plot epochs.svg
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// How many lines: new annotations, corrections and deletions together.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    annotations: u64,
    /// How many assets.
    #[arg(long, value_name = "N", default_value_t = 200)]
    assets: u32,
    /// How many types.
    #[arg(long, value_name = "N", default_value_t = 4)]
    modalities: u8,
    /// The mean length of annotations; lengths are uniform up to twice that.
    #[arg(long, value_name = "SPAN", default_value = "3s")]
    mean_length: Span,
    /// How long an asset is.
    #[arg(long, value_name = "SPAN", default_value = "2h")]
    span: Span,
    /// The width of a bucket.
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    bucket: Span,
    /// What one document stands for.
    #[arg(long, value_enum, default_value = "buckets")]
    emit: Form,
    /// How many types a document needs.
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_modalities: usize,
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
    /// The input ends with the last epoch, as that of a backfill: fusion builds no state that only later epochs need.
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
    /// Also forms the documents that are there in the end by one sort and one sweep, without a dataflow: what can not be
    /// beaten. Both must give the same.
    #[arg(long)]
    compare: bool,
    /// Draws the time of each epoch after the bulk, as SVG; needs --batch.
    #[arg(long, value_name = "OUT.svg", requires = "batch", value_hint = clap::ValueHint::FilePath)]
    plot: Option<PathBuf>,
}

impl Args {
    fn settings(&self) -> FusionSettings {
        FusionSettings {
            annotations: self.annotations,
            assets: self.assets,
            modalities: self.modalities,
            mean_length: self.mean_length,
            span: self.span,
            bucket: self.bucket,
            emit: self.emit,
            min_modalities: self.min_modalities,
            skew: self.skew,
            disorder: self.disorder,
            corrections: self.corrections,
            deletions: self.deletions,
            bulk: self.bulk,
            batch: self.batch,
            backfill: self.backfill,
            workers: self.workers,
            repetitions: self.repetitions,
            seed: self.seed,
        }
    }
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let settings = args.settings();
    let bar = progress_bar(settings.annotations.saturating_mul(settings.repetitions as u64));
    let drawn = bar.clone();
    let result = bench::fusion(&settings, args.compare, &(Arc::new(move |lines| drawn.set_position(lines)) as _));
    bar.finish_and_clear();
    let report = result.map_err(|error| match error {
        BenchError::Setting { .. } => Failure::Usage(format!("error: {error}")),
        error => Failure::run(error),
    })?;
    if let Some(path) = &args.plot {
        let write = std::fs::write(path, bench::plot(&report));
        write.map_err(|error| Failure::run(format!("could not write the plot {path:?}: {error}")))?;
    }
    if json {
        let text = serde_json::to_string(&report).map_err(Failure::run)?;
        return print(&format!("{text}\n"));
    }
    print(&text(&report))
}

/// Shows nothing unless standard error is a terminal.
fn progress_bar(lines: u64) -> ProgressBar {
    let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} annotations";
    let style = ProgressStyle::with_template(template).expect("the template is ours, and parses");
    ProgressBar::new(lines).with_style(style)
}

fn text(report: &FusionReport) -> String {
    let mut rows = table(&[
        "",
        "epochs",
        "annotations",
        "seconds",
        "annotations/s",
        "documents",
        "retracted",
        "documents/s",
        "p50",
        "p99",
        "max",
    ]);
    for phase in &report.phases {
        let ms = |ms: f64| format!("{ms:.2} ms");
        rows.add_row([
            phase.name.to_owned(),
            count(phase.epochs),
            count(phase.annotations),
            format!("{:.3}", phase.seconds),
            count(phase.annotations_per_s as u64),
            count(phase.documents),
            count(phase.retracted),
            count(phase.documents_per_s as u64),
            ms(phase.p50_ms),
            ms(phase.p99_ms),
            ms(phase.max_ms),
        ]);
    }
    if let Some(floor) = &report.floor {
        let rate = |n: u64| count((n as f64 / floor.seconds.max(1e-9)) as u64);
        let left = report.annotations_left;
        let row = ["sort and sweep", "-", &count(left), &format!("{:.3}", floor.seconds), &rate(left)];
        let documents = [count(floor.documents), "0".to_owned(), rate(floor.documents)];
        rows.add_row(row.map(str::to_owned).into_iter().chain(documents).chain(["-", "-", "-"].map(str::to_owned)));
    }
    let mut text = format!("{rows}\n");
    if let Some(ratio) = report.floor.as_ref().and_then(|floor| floor.ratio) {
        text.push_str(&format!("{ratio:.2} times the time of one sort and sweep\n"));
    }
    let left = counted(report.annotations_left, "annotation");
    text.push_str(&format!("{left} and {} left in the end\n", counted(report.documents_left, "document")));
    if let Some(bytes) = report.state_bytes_per_annotation {
        text.push_str(&format!("{bytes:.0} bytes of state an annotation, beside the annotation itself\n"));
    }
    if let Some(bytes) = report.peak_rss_bytes {
        text.push_str(&format!("{} at the peak, with the made-up input\n", HumanBytes(bytes)));
    }
    let runs = report.repetitions.iter().map(|run| format!("{:.3}", run.seconds)).collect::<Vec<_>>().join(", ");
    let workers = counted(report.settings.workers as u64, "worker");
    text.push_str(&format!(
        "{workers}, seed {}; runs of {runs} s, of which the median is shown\n",
        report.settings.seed
    ));
    text
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}
