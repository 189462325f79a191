//! `flowstone generate`

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::Failure;
use crate::generate::{Compression, GenerateError, Settings, Style, Summary, generate};
use crate::pipeline::units::Span;

/// Makes a synthetic archive of annotations that look like the real thing: NDJSON files, or records of a topic of Kafka.
///
/// The same options always give the same lines, on every machine.
#[derive(clap::Args)]
pub struct Args {
    /// The directory to write to; made if it does not exist.
    #[arg(required_unless_present = "kafka", conflicts_with = "kafka")]
    out_dir: Option<PathBuf>,
    #[command(flatten)]
    topic: TopicArgs,
    /// How annotations are distributed: like films and series, or uniformly, as in the benchmarks.
    #[arg(long, value_enum, default_value = "episodes")]
    style: Style,
    /// How many assets there are [default: 40, or 200 if uniform].
    #[arg(long, value_name = "N")]
    assets: Option<u64>,
    /// How many lines: exactly if uniform, otherwise about so many [default: 20000, or 1000000 if uniform].
    #[arg(long, value_name = "N")]
    annotations: Option<u64>,
    /// How many types: characters, scenes, dialogue, objects, shots, actions, emotions, music, …; at most 12.
    #[arg(long, value_name = "N", default_value_t = 4)]
    modalities: usize,
    /// The mean length of annotations other than scenes, such as 3s; scenes are scaled alike [default: what is natural for
    /// each type, or 3s if uniform].
    #[arg(long, value_name = "SPAN")]
    mean_length: Option<Span>,
    /// How long an asset is [default: 22m, or 2h if uniform].
    #[arg(long, value_name = "SPAN")]
    span: Option<Span>,
    /// How unequal assets are: 0 is equal; at S the n-th has a share of 1/n^S.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    skew: f64,
    /// How late records may be, as a share of eight assets that are written together: 0 is the order of media time.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    disorder: f64,
    /// The share of lines that send an existing id again, changed.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    corrections: f64,
    /// The share of lines that delete an existing id.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    deletions: f64,
    /// The share of lines that repeat the last lines of their file.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    duplicates: f64,
    /// Adds so many lines, in the first file, that no pipeline can accept.
    #[arg(long, value_name = "N", default_value_t = 0)]
    bad_lines: u64,
    /// Adds `embedding_vector` fields with so many numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    embedding_dims: usize,
    /// Adds the asset `the-one-with-the-fixture`: Joey from 2 s to 8 s, the kitchen from 4 s to 9 s.
    #[arg(long)]
    fixture: bool,
    /// How many files; all records of an id are in one.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "kafka")]
    parts: usize,
    /// How the files are compressed.
    #[arg(long, value_enum, default_value = "none", conflicts_with = "kafka")]
    compress: Compression,
    /// What all randomness comes from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Overwrites an archive that is there; other files in the directory stay.
    #[arg(long, conflicts_with = "kafka")]
    force: bool,
}

/// Where records go instead of into files.
#[derive(clap::Args)]
struct TopicArgs {
    /// Sends a record a line to a topic of these brokers instead, keyed by the annotation's id.
    #[arg(long, value_name = "HOST:PORT", requires = "topic")]
    kafka: Option<String>,
    /// The topic.
    #[arg(long, requires = "kafka")]
    topic: Option<String>,
    /// Lines a second [default: as many as brokers take].
    #[arg(long, value_name = "N", requires = "kafka", value_parser = rate)]
    rate: Option<f64>,
    /// Makes the topic with so many partitions if it does not exist.
    #[arg(long, value_name = "N", requires = "kafka", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// A further option of librdkafka, such as security.protocol=SSL; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", requires = "kafka", value_parser = option)]
    kafka_option: Vec<(String, String)>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "it must be a number from 0.001 to 1,000,000,000".to_owned())
}

fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Args {
    fn settings(&self) -> Settings {
        let defaults = Settings::new(self.style);
        Settings {
            style: self.style,
            assets: self.assets.unwrap_or(defaults.assets),
            annotations: self.annotations.unwrap_or(defaults.annotations),
            modalities: self.modalities,
            mean_length: self.mean_length,
            span: self.span.unwrap_or(defaults.span),
            skew: self.skew,
            disorder: self.disorder,
            corrections: self.corrections,
            deletions: self.deletions,
            duplicates: self.duplicates,
            bad_lines: self.bad_lines,
            embedding_dims: self.embedding_dims,
            fixture: self.fixture,
            parts: self.parts,
            compression: self.compress,
            seed: self.seed,
        }
    }
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let settings = args.settings();
    let bar = progress_bar(settings.annotations);
    let began = Instant::now();
    let result = make(args, &settings, &mut |lines| bar.set_position(lines));
    let took = began.elapsed();
    bar.finish_and_clear();
    let (summary, place) = result.map_err(|error| match error {
        GenerateError::Setting { .. } | GenerateError::NotEmpty { .. } => Failure::Usage(format!("error: {error}")),
        error => Failure::run(error),
    })?;
    let mut out = io::stdout().lock();
    let printed = if json {
        let text = serde_json::to_string(&summary).map_err(Failure::run)?;
        writeln!(out, "{text}")
    } else {
        print(&mut out, &place, &summary, took)
    };
    printed.and_then(|()| out.flush()).map_err(Failure::run)
}

/// Makes the archive; says what was made, and where it is.
fn make(args: &Args, settings: &Settings, progress: &mut dyn FnMut(u64)) -> Result<(Summary, String), GenerateError> {
    let Some(directory) = &args.out_dir else { return produce(&args.topic, settings, progress) };
    let summary = generate(settings, directory, args.force, progress)?;
    let place = format!("{} of {}", count(summary.files.len() as u64, "file"), directory.display());
    Ok((summary, place))
}

#[cfg(feature = "kafka")]
fn produce(
    args: &TopicArgs,
    settings: &Settings,
    progress: &mut dyn FnMut(u64),
) -> Result<(Summary, String), GenerateError> {
    let (brokers, name) = (args.kafka.clone().unwrap_or_default(), args.topic.clone().unwrap_or_default());
    let place = format!("the topic {name} at {brokers}");
    let options = args.kafka_option.iter().cloned().collect();
    let topic = crate::generate::Topic { brokers, name, partitions: args.partitions, rate: args.rate, options };
    Ok((crate::generate::produce(settings, &topic, progress)?, place))
}

#[cfg(not(feature = "kafka"))]
fn produce(_: &TopicArgs, _: &Settings, _: &mut dyn FnMut(u64)) -> Result<(Summary, String), GenerateError> {
    let expected = "left out: this flowstone was built without Kafka".to_owned();
    Err(GenerateError::Setting { setting: "kafka", expected })
}

/// Shows nothing unless standard error is a terminal.
fn progress_bar(lines: u64) -> ProgressBar {
    let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} lines, {rate}/s, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is ours, and parses");
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Nothing can be done about a terminal that takes no more.
        let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
    });
    ProgressBar::new(lines).with_style(style)
}

fn print(out: &mut impl Write, place: &str, summary: &Summary, took: Duration) -> io::Result<()> {
    let rate = summary.lines as f64 / took.as_secs_f64().max(1e-9);
    writeln!(
        out,
        "{} lines, {}, to {} in {:.1} s ({} lines/s)\n",
        HumanCount(summary.lines),
        HumanBytes(summary.bytes),
        place,
        took.as_secs_f64(),
        HumanCount(rate as u64),
    )?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["type", "annotations", "mean length"]);
    for kind in &summary.types {
        let seconds = format!("{:.2} s", kind.mean_length_ns as f64 / 1e9);
        table.add_row([kind.name.to_owned(), HumanCount(kind.annotations).to_string(), seconds]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{table}\n")?;
    let others = [
        (summary.corrections, "correction"),
        (summary.deletions, "deletion"),
        (summary.duplicates, "duplicate"),
        (summary.bad_lines, "bad line"),
    ];
    let others: Vec<String> = others.map(|(number, what)| count(number, what)).into();
    let assets = count(summary.assets, "asset");
    let left = HumanCount(summary.rows);
    writeln!(out, "{assets}, the largest with {:.1} %", summary.largest_asset_share * 100.0)?;
    writeln!(out, "{}; {left} annotations are left in the end", others.join(", "))
}

fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(number), if number == 1 { "" } else { "s" })
}
