//! `flowstone validate`

use std::path::PathBuf;

use serde_json::json;

use super::{Failure, output};
use crate::pipeline::{self, Loaded, Problems};

/// Checks a pipeline file and reports all problems at once.
///
/// With --json: an object with `valid`, `problems` and `warnings`; the last two are arrays of objects with `file`, `line`,
/// `column`, `path`, `message` and `hint`.
#[derive(clap::Args)]
pub struct Args {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let result = pipeline::load(&args.file);
    if json {
        output::print_json(&as_json(&result))?;
    }
    match result {
        Ok(loaded) if !json => output::print(&summary(&loaded)),
        Ok(_) => Ok(()),
        Err(problems) => Err(Failure::Usage(problems.to_string())),
    }
}

fn as_json(result: &Result<Loaded, Problems>) -> serde_json::Value {
    match result {
        Ok(loaded) => json!({
            "valid": true,
            "name": loaded.pipeline.name,
            "sources": loaded.pipeline.sources.keys().collect::<Vec<_>>(),
            "operators": loaded.pipeline.operators.keys().collect::<Vec<_>>(),
            "sinks": loaded.pipeline.sinks.keys().collect::<Vec<_>>(),
            "problems": [],
            "warnings": loaded.warnings,
        }),
        Err(problems) => json!({ "valid": false, "problems": problems.as_slice(), "warnings": [] }),
    }
}

fn summary(loaded: &Loaded) -> String {
    let pipeline = &loaded.pipeline;
    let mut text = format!("ok: {}\n", pipeline.name);
    let mut line = |what: &str, names: Vec<&String>| {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        text.push_str(&format!("  {what:<10} {names}\n"));
    };
    line("sources", pipeline.sources.keys().collect());
    line("operators", pipeline.operators.keys().collect());
    line("sinks", pipeline.sinks.keys().collect());
    for warning in &loaded.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}
