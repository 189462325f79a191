//! `flowstone query`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::json;

use super::Failure;
use crate::query::{self, Annotation, Clause, Hit, Mode, Near, Query, QueryError, Window, timecode};
use crate::record::Scalar;

/// Searches an index of moments.
///
/// Prints the time ranges in which annotations that meet the clauses coincide.
#[derive(clap::Args)]
#[command(after_help = CLAUSES)]
#[command(group = clap::ArgGroup::new("clauses").required(true).multiple(true).args(["all", "any", "near"]))]
pub struct Args {
    /// The directory of the index, as the `path` of the sink in the pipeline file; with --elasticsearch, the name of the
    /// index or of its alias.
    index: PathBuf,
    /// Searches an index of this Elasticsearch or OpenSearch: http://HOST:9200. As whom is said by the environment variables
    /// ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USER and ELASTICSEARCH_PASSWORD.
    #[cfg(feature = "elasticsearch")]
    #[arg(long, value_name = "URL")]
    elasticsearch: Option<String>,
    /// A PEM file with the certificate of who has signed the server's.
    #[cfg(feature = "elasticsearch")]
    #[arg(long, value_name = "FILE", requires = "elasticsearch")]
    ca: Option<PathBuf>,
    /// A clause that must hold; all of them at once. See below.
    #[arg(long, value_name = "CLAUSE")]
    all: Vec<Clause>,
    /// A clause; at least one of these must hold, at the same time as all of --all.
    #[arg(long, value_name = "CLAUSE")]
    any: Vec<Clause>,
    /// An annotation close to a vector, at the same time as all of --all: TYPE:FILE with a file that holds the vector, a JSON
    /// array of numbers. Only with --elasticsearch.
    #[arg(long, value_name = "TYPE:FILE", value_parser = near)]
    near: Vec<Near>,
    /// Only the N nearest annotations count as close.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    nearest: usize,
    /// Only annotations so similar count as close; from 0 to 1.
    #[arg(long, value_name = "NUMBER", value_parser = confidence, requires = "near")]
    min_similarity: Option<f64>,
    /// Lets the server find what is close by its index of vectors, rather than compare all of them.
    #[arg(long, requires = "near")]
    approximate: bool,
    /// Only this asset; may be repeated.
    #[arg(long)]
    asset: Vec<String>,
    /// Only from this time on: 00:01:00, 01:00.5 or 60s.
    #[arg(long, value_name = "TIME", value_parser = timecode::parse)]
    from: Option<i64>,
    /// Only up to this time.
    #[arg(long, value_name = "TIME", value_parser = timecode::parse)]
    to: Option<i64>,
    /// Only annotations with at least this confidence; those without any do not count.
    #[arg(long, value_name = "NUMBER", value_parser = confidence)]
    min_confidence: Option<f64>,
    /// What ranges are made of the annotations found.
    #[arg(long, value_enum, default_value_t = RangeMode::Intersection)]
    mode: RangeMode,
    /// Only the best N ranges of each asset: by confidence (of the weakest clause), then length, then time.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    top: Option<usize>,
    /// Finds phrases whose words were moved by up to N positions in all; 2 also finds swapped neighbours.
    #[arg(long, value_name = "N", default_value_t = 0)]
    slop: u32,
    /// Finds words with up to N letters inserted, deleted or replaced; 0 to 2.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    fuzzy: u8,
    /// Prints at most N ranges.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: Option<usize>,
}

const CLAUSES: &str = "\
A clause is met by one annotation:
  TYPE:some words     its label and texts contain all the words, in any order and case
  TYPE:\"some words\"   its label or one of its texts contains the phrase
  TYPE:=Label         its label is exactly this
  TYPE                any annotation of that type
TYPE is * for any type. Example:
  flowstone query ./index --all 'CHARACTER_SEARCH:Joey' --all 'SCENE_SEARCH:kitchen'";

#[derive(Clone, Copy, clap::ValueEnum)]
enum RangeMode {
    /// The exact time during which all clauses hold at once.
    Intersection,
    /// The full span of the annotations that meet the clauses.
    Union,
}

fn confidence(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("expected a number, not {text:?}"))
}

fn near(text: &str) -> Result<Near, String> {
    let (kind, file) = text.split_once(':').ok_or_else(|| format!("expected TYPE:FILE, not {text:?}"))?;
    let content = std::fs::read_to_string(file).map_err(|error| format!("could not read {file:?}: {error}"))?;
    let vector: Vec<f32> =
        serde_json::from_str(&content).map_err(|error| format!("{file:?} is not a JSON array of numbers: {error}"))?;
    let kind = (kind != "*").then(|| kind.to_owned());
    Ok(Near { kind, vector })
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let query = args.query()?;
    let place = args.place();
    let hits = place.search(&query).map_err(Failure::run)?;
    let printed = if json { write_json(&hits) } else { write_table(&hits) };
    match printed {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        printed => printed.map_err(|error| Failure::run(format!("could not write the result: {error}")))?,
    }
    if hits.is_empty() {
        eprintln!("nothing found");
        for hint in unknown_types(&query, &place.types().map_err(Failure::run)?) {
            eprintln!("{hint}");
        }
    } else if args.limit == Some(hits.len()) {
        eprintln!("stopped at --limit {}; there may be more", hits.len());
    }
    Ok(())
}

/// What is searched.
enum Place<'a> {
    Directory(&'a Path),
    #[cfg(feature = "elasticsearch")]
    Server(query::elasticsearch::Server),
}

impl Place<'_> {
    fn search(&self, query: &Query) -> Result<Vec<Hit>, QueryError> {
        match self {
            Place::Directory(path) => query::search(path, query),
            #[cfg(feature = "elasticsearch")]
            Place::Server(server) => query::elasticsearch::search(server, query),
        }
    }

    fn types(&self) -> Result<Vec<String>, QueryError> {
        match self {
            Place::Directory(path) => query::types(path),
            #[cfg(feature = "elasticsearch")]
            Place::Server(server) => query::elasticsearch::types(server),
        }
    }
}

impl Args {
    fn place(&self) -> Place<'_> {
        #[cfg(feature = "elasticsearch")]
        if let Some(url) = &self.elasticsearch {
            let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let secret = |name: &str| var(name).map(|value| value.as_str().into());
            return Place::Server(query::elasticsearch::Server {
                url: url.clone(),
                index: self.index.to_string_lossy().into_owned(),
                api_key: secret("ELASTICSEARCH_API_KEY"),
                user: var("ELASTICSEARCH_USER"),
                password: secret("ELASTICSEARCH_PASSWORD"),
                ca: self.ca.clone(),
            });
        }
        Place::Directory(&self.index)
    }

    fn query(&self) -> Result<Query, Failure> {
        let window = Window { from_ns: self.from.unwrap_or(0), to_ns: self.to.unwrap_or(i64::MAX) };
        if window.from_ns >= window.to_ns {
            let (from, to) = (timecode::format(window.from_ns), timecode::format(window.to_ns));
            return Err(Failure::Usage(format!("error: --to {to} is not after --from {from}")));
        }
        Ok(Query {
            all: self.all.clone(),
            any: self.any.clone(),
            near: self.near.clone(),
            nearest: Some(self.nearest),
            min_similarity: self.min_similarity,
            approximate: self.approximate,
            assets: self.asset.clone(),
            window,
            min_confidence: self.min_confidence,
            mode: match self.mode {
                RangeMode::Intersection => Mode::Intersection,
                RangeMode::Union => Mode::Union,
            },
            top: self.top,
            slop: self.slop,
            fuzzy: self.fuzzy,
            limit: self.limit,
        })
    }
}

/// One line for each type of a clause that no annotation has.
fn unknown_types(query: &Query, types: &[String]) -> Vec<String> {
    let near = query.near.iter().filter_map(|near| near.kind.as_ref());
    let wanted = query.all.iter().chain(&query.any).filter_map(|clause| clause.kind.as_ref()).chain(near);
    let known = match types {
        [] => "the index is empty".to_owned(),
        types => format!("there are: {}", types.join(", ")),
    };
    wanted
        .filter(|kind| !types.contains(kind))
        .map(|kind| format!("hint: no annotation has the type {kind:?}; {known}"))
        .collect()
}

fn write_json(hits: &[Hit]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"[")?;
    for (n, hit) in hits.iter().enumerate() {
        out.write_all(if n == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut out, &hit_json(hit))?;
    }
    out.write_all(if hits.is_empty() { b"]\n" } else { b"\n]\n" })?;
    out.flush()
}

fn hit_json(hit: &Hit) -> serde_json::Value {
    let asset = match &hit.asset {
        Scalar::Int(number) => json!(number),
        Scalar::UInt(number) => json!(number),
        Scalar::Str(text) => json!(**text),
    };
    let annotations: Vec<_> = hit.annotations.iter().map(annotation_json).collect();
    json!({
        "asset": asset,
        "start_ns": hit.start_ns,
        "end_ns": hit.end_ns,
        "confidence": hit.confidence,
        "annotations": annotations,
    })
}

fn annotation_json(annotation: &Annotation) -> serde_json::Value {
    let key: serde_json::Value = serde_json::from_str(&annotation.key).unwrap_or_else(|_| json!(annotation.key));
    json!({
        "key": key,
        "annotation_type": annotation.kind,
        "labels": annotation.labels,
        "texts": annotation.texts,
        "confidence": annotation.confidence,
        "start_ns": annotation.interval.start_ns(),
        "end_ns": annotation.interval.end_ns(),
    })
}

fn write_table(hits: &[Hit]) -> io::Result<()> {
    if hits.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["asset", "start", "end", "length", "confidence", "annotations"]);
    for hit in hits {
        table.add_row([
            printable(&hit.asset.to_string()),
            timecode::format(hit.start_ns),
            timecode::format(hit.end_ns),
            length(hit.end_ns - hit.start_ns),
            hit.confidence.map_or_else(|| "-".to_owned(), |confidence| format!("{confidence:.2}")),
            summary(&hit.annotations),
        ]);
    }
    for numbers in [3, 4] {
        if let Some(column) = table.column_mut(numbers) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{table}")?;
    out.flush()
}

/// Seconds with milliseconds.
fn length(length_ns: i64) -> String {
    format!("{}.{:03} s", length_ns / 1_000_000_000, length_ns / 1_000_000 % 1_000)
}

/// How many annotations of a hit the table shows.
const MAX_SHOWN: usize = 5;

/// How many characters of a text the table shows.
const MAX_TEXT_CHARS: usize = 60;

/// One line an annotation.
fn summary(annotations: &[Annotation]) -> String {
    let mut lines: Vec<String> = annotations.iter().take(MAX_SHOWN).map(line).collect();
    if annotations.len() > MAX_SHOWN {
        lines.push(format!("and {} more", annotations.len() - MAX_SHOWN));
    }
    lines.join("\n")
}

fn line(annotation: &Annotation) -> String {
    let mut line = printable(&annotation.kind);
    if let Some(text) = annotation.labels.first().or(annotation.texts.first()) {
        let shown: String = text.chars().take(MAX_TEXT_CHARS).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        line.push_str(&format!(" {}{more}", printable(&shown)));
    }
    if let Some(confidence) = annotation.confidence {
        line.push_str(&format!(" ({confidence:.2})"));
    }
    line
}

/// Without control characters, which a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
