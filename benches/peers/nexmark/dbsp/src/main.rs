//! Queries of Nexmark as circuits of the `dbsp` crate.
//!
//! Lines are parsed on the main thread, only the fields that the queries ask for, and go in by transactions of `--batch` events; what
//! each transaction changes is taken out. With `--verify` what is left in the end is written to a file, a list of columns a line.

mod circuits;
mod events;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use circuits::Handles;
use dbsp::typed_batch::IndexedZSetReader;
use dbsp::{OrdZSet, OutputHandle, RootCircuit, Runtime, Stream};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What all queries give: columns, as JSON.
pub type Found = Stream<RootCircuit, OrdZSet<String>>;

struct Options {
    query: String,
    input: PathBuf,
    threads: usize,
    batch: usize,
    verify: Option<PathBuf>,
}

fn options() -> Result<Options> {
    let mut options = Options { query: String::new(), input: PathBuf::new(), threads: 1, batch: 40_000, verify: None };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--query" => options.query = value,
            "--input" => options.input = value.into(),
            "--threads" => options.threads = value.parse()?,
            "--batch" => options.batch = value.parse()?,
            "--verify" => options.verify = Some(value.into()),
            _ => return Err(format!("{name} is no option").into()),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let query = options.query.clone();
    let circuit = move |circuit: &mut RootCircuit| {
        let (handles, found) = circuits::build(circuit, &query);
        Ok((handles, found.output()))
    };
    let (mut dbsp, (handles, found)): (_, (Handles, OutputHandle<OrdZSet<String>>)) =
        Runtime::init_circuit(options.threads, circuit)?;
    let mut left = options.verify.is_some().then(BTreeMap::<String, i64>::new);
    let (began, cpu_before, mut rows) = (Instant::now(), cpu_seconds()?, 0_u64);
    let mut events = events::Events::open(&options.input, &options.query)?;
    while events.give(&handles, options.batch)? {
        dbsp.transaction()?;
        for (row, (), weight) in found.consolidate().iter() {
            rows += 1;
            if let Some(left) = &mut left {
                *left.entry(row).or_default() += weight;
            }
        }
    }
    let (seconds, cpu_s) = (began.elapsed().as_secs_f64(), cpu_seconds()? - cpu_before);
    if let (Some(left), Some(path)) = (left, options.verify) {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        for (row, times) in left {
            (0..times).try_for_each(|_| writeln!(out, "{row}"))?;
        }
        out.flush()?;
    }
    println!(r#"{{"job_s":{seconds:.4},"job_cpu_s":{cpu_s:.2},"changes":{rows},"version":"0.349.0"}}"#);
    dbsp.kill().map_err(|_| "a worker has ended early")?;
    Ok(())
}

/// Columns as a list.
pub fn columns(values: &[&dyn std::fmt::Display]) -> String {
    let mut out = String::from("[");
    for (at, value) in values.iter().enumerate() {
        write!(out, "{}{value}", if at > 0 { "," } else { "" }).expect("memory takes everything");
    }
    out + "]"
}

/// Hundredths of a second in user and system mode: the 12th and the 13th field after the program's name.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / 100.0)
}
