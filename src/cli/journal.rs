//! `flowstone journal`

use flowstone_journal::{JournalError, PartRef, Report, State, verify_with};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::state::{self, Site, StateArgs};
use super::{Failure, output};

/// Shows what the journal of a pipeline's state holds, or checks every byte of it.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists the parts, oldest first: the changes of rows that are sealed. Also while a run goes on.
    Ls(StateArgs),
    Show(ShowArgs),
    /// Reads everything and checks it; names every object that a restart would stumble over, and exits with 1 if there is
    /// any. Also while a run goes on.
    Verify(StateArgs),
}

/// Prints as JSON what the journal says: all together, or one entry of its manifest.
#[derive(clap::Args)]
#[command(allow_missing_positional = true)]
struct ShowArgs {
    /// The number of an entry; without it, what all entries add up to.
    entry: Option<u64>,
    #[command(flatten)]
    state: StateArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    match &args.command {
        Command::Ls(args) => ls(&args.open()?, json),
        Command::Show(args) => show(&args.state.open()?, args.entry),
        Command::Verify(args) => verify(&args.open()?, json),
    }
}

fn ls(site: &Site, json: bool) -> Result<(), Failure> {
    let state = site.read()?;
    let objects = site.journal.objects().map_err(Failure::run)?;
    let totals = Totals::new(&state, &objects);
    if json {
        let mut all = state::overview(&state);
        all["location"] = json!(site.location);
        all["entries"] = json!(totals.entries);
        all["rows"] = json!(totals.rows);
        all["bytes"] = json!(totals.bytes);
        all["parts"] = state.parts.iter().map(part_json).collect();
        return output::print_json(&all);
    }
    let mut table = output::table(&["part", "first epoch", "last epoch", "rows", "of them gone", "bytes"]);
    for part in &state.parts {
        table.add_row([
            part.object.clone(),
            part.first.to_string(),
            part.last.to_string(),
            HumanCount(part.rows).to_string(),
            HumanCount(part.removals).to_string(),
            HumanBytes(part.bytes).to_string(),
        ]);
    }
    let parts = output::counted(state.parts.len() as u64, "part");
    let (rows, bytes) = (output::counted(totals.rows, "row"), HumanBytes(totals.bytes));
    // The word has a plural of its own.
    let entries = format!("{} {}", HumanCount(totals.entries), if totals.entries == 1 { "entry" } else { "entries" });
    let sealed = state::epoch(state.sealed);
    let location = &site.location;
    output::print(&format!(
        "{table}\n{parts} of {rows}, {entries}, {bytes} in {location}\nsealed through epoch {sealed}\n"
    ))
}

struct Totals {
    entries: u64,
    rows: u64,
    /// Of all objects.
    bytes: u64,
}

impl Totals {
    fn new(state: &State, objects: &[(String, u64)]) -> Self {
        let entries = objects.iter().filter(|(object, _)| object.starts_with("manifest/")).count() as u64;
        let rows = state.parts.iter().map(|part| part.rows).sum();
        Totals { entries, rows, bytes: objects.iter().map(|(_, bytes)| bytes).sum() }
    }
}

fn part_json(part: &PartRef) -> Value {
    json!({
        "object": part.object,
        "first": part.first,
        "last": part.last,
        "rows": part.rows,
        "removals": part.removals,
        "bytes": part.bytes,
        "raw_bytes": part.raw_bytes,
    })
}

fn show(site: &Site, entry: Option<u64>) -> Result<(), Failure> {
    let Some(number) = entry else {
        let state = site.read()?;
        return output::print_json(&serde_json::to_value(&state).map_err(Failure::run)?);
    };
    match site.journal.entry(number) {
        Ok(entry) => output::print_json(&entry),
        Err(JournalError::Missing { .. }) => {
            let there = site.journal.entries().map_err(Failure::run)?;
            Err(Failure::run(format!("the manifest has no entry {number}; it has {}", ranges(&there))))
        }
        Err(error) => Err(Failure::run(error)),
    }
}

/// `0, 93, 128 to 130`
fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text =
        |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first} to {last}") };
    if ranges.is_empty() { "none".to_owned() } else { ranges.iter().map(text).collect::<Vec<_>>().join(", ") }
}

fn verify(site: &Site, json: bool) -> Result<(), Failure> {
    let bar = progress_bar();
    let report = verify_with(&site.journal, &mut |done, total| {
        bar.set_length(total.max(1));
        bar.set_position(done.min(total));
    });
    bar.finish_and_clear();
    let report = report.map_err(Failure::run)?;
    output::print(&if json { format!("{:#}\n", report_json(&report)) } else { report_text(&report) })?;
    match report.problems.len() {
        0 => Ok(()),
        n => Err(Failure::run(format!(
            "{} of the journal can not be used: restore what is named from a copy of {:?}, or rebuild from the sources",
            output::counted(n as u64, "object"),
            site.location
        ))),
    }
}

/// Shows nothing unless standard error is a terminal.
fn progress_bar() -> ProgressBar {
    let template = "reading {bar:32} {percent:>3}%  {bytes}/{total_bytes}  {eta} left";
    ProgressBar::no_length().with_style(ProgressStyle::with_template(template).expect("a literal template"))
}

fn report_json(report: &Report) -> Value {
    let problem = |problem: &flowstone_journal::Problem| json!({ "object": problem.object, "problem": super::chain(&problem.error) });
    json!({
        "whole": report.problems.is_empty(),
        "entries": report.entries,
        "parts": report.parts,
        "rows": report.rows,
        "bytes": report.bytes,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "unnamed": report.unnamed,
    })
}

fn report_text(report: &Report) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        text.push_str(&format!("{}: {}\n", problem.object, super::chain(&problem.error)));
    }
    for object in &report.unnamed {
        text.push_str(&format!("{object}: no entry names it; it is in nobody's way, and a later run removes it\n"));
    }
    let (parts, rows) = (output::counted(report.parts, "part"), output::counted(report.rows, "row"));
    let entries = if report.entries == 1 { "entry" } else { "entries" };
    let read = format!("{} {entries} and {parts} of {rows}, {}", HumanCount(report.entries), HumanBytes(report.bytes));
    text.push_str(&format!("{}read {read}\n", if report.problems.is_empty() { "ok: " } else { "" }));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges(&[0, 93, 128, 129, 130]), "0, 93, 128 to 130");
        assert_eq!(ranges(&[]), "none");
    }

    #[test]
    fn totals_count_all_objects() {
        let objects = [("manifest/000000000000", 7), ("manifest/000000000001", 8), ("parts/0-0-1", 9)];
        let totals = Totals::new(&State::default(), &objects.map(|(object, bytes)| (object.to_owned(), bytes)));
        assert_eq!((totals.entries, totals.bytes, totals.rows), (2, 24, 0));
    }
}
