//! `flowstone sinks`

use flowstone_journal::{Entry, Journal, JournalError, Keeper, SinkState, Standing, State};
use indicatif::HumanCount;
use serde_json::{Map, Value, json};

use super::state::{self, Site, StateArgs};
use super::{Failure, output};
use crate::pipeline::name_hint;
use crate::runtime::forecast::{Tail, sink_names, unfillable, written_through};

/// Shows how far each sink is, or has one filled again.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Shows how far each sink is behind what is sealed, and which store it writes. Also while a run goes on.
    Ls(StateArgs),
    Reset(ResetArgs),
}

/// Has the next run fill a sink again: it writes the whole content, then deletes everything else from the store.
///
/// For a store that was lost, replaced by an older copy, or changed by others. Nothing is read from the sources again. A
/// run that goes on meanwhile loses the journal by this, and stops: start it again.
#[derive(clap::Args)]
struct ResetArgs {
    /// The sink.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    state: StateArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    match &args.command {
        Command::Ls(args) => ls(&args.open()?, json),
        Command::Reset(args) => reset(&args.state.open()?, &args.name, json),
    }
}

fn ls(site: &Site, json: bool) -> Result<(), Failure> {
    let (state, tail) = site.read_tail(|state| state.sealed)?;
    let sinks: Vec<Line<'_>> = state.sinks.iter().map(|(name, sink)| Line::new(name, sink, &state, &tail)).collect();
    if json {
        let sinks: Map<String, Value> = sinks.iter().map(|line| (line.name.to_owned(), line.json())).collect();
        let mut all = state::overview(&state);
        all["sinks"] = Value::Object(sinks);
        return output::print_json(&all);
    }
    let mut table = output::table(&["sink", "standing", "epochs behind", "time behind", "store"]);
    for line in &sinks {
        table.add_row(line.cells());
    }
    output::set_texts(&mut table, &[1, 4]);
    output::print(&format!("{table}\nsealed through epoch {}\n{}", state::epoch(state.sealed), state::detached(&state)))
}

/// How far a sink is.
struct Line<'a> {
    name: &'a str,
    sink: &'a SinkState,
    /// Epochs that change a row, and milliseconds, behind what is sealed.
    behind: Option<(u64, u64)>,
}

impl<'a> Line<'a> {
    fn new(name: &'a str, sink: &'a SinkState, state: &State, tail: &Tail) -> Self {
        let behind = |through: u64| (tail.epochs_after(through), state.sealed.saturating_sub(through));
        Line { name, sink, behind: written_through(sink).map(behind).map(|(n, ms)| (n, if n == 0 { 0 } else { ms })) }
    }

    fn cells(&self) -> [String; 5] {
        let (epochs, time) = match self.behind {
            Some((epochs, ms)) => (HumanCount(epochs).to_string(), state::span(ms)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let store = self.sink.store.clone().unwrap_or_else(|| "-".to_owned());
        [self.name.to_owned(), standing(self.sink), epochs, time, store]
    }

    fn json(&self) -> Value {
        let (standing, epoch) = match self.sink.standing {
            Standing::Upper(upper) => ("upper", Some(upper)),
            Standing::Filling { at } => ("filling", Some(at)),
            Standing::AwaitingReveal => ("awaiting_reveal", None),
        };
        json!({
            "standing": standing,
            "epoch": epoch,
            "epochs_behind": self.behind.map(|(epochs, _)| epochs),
            "behind_ms": self.behind.map(|(_, ms)| ms),
            "store": self.sink.store,
            "mark": self.sink.mark,
            "stream": self.sink.stream,
            "detached_unix_ms": self.sink.detached_unix_ms,
        })
    }
}

/// Where a sink stands, for people.
pub fn standing(sink: &SinkState) -> String {
    let Some(detached) = sink.detached_unix_ms.map(state::moment) else { return attached(&sink.standing) };
    match &sink.standing {
        Standing::AwaitingReveal => format!("detached at {detached}"),
        standing => format!("detached at {detached}, {}", attached(standing)),
    }
}

fn attached(standing: &Standing) -> String {
    match standing {
        Standing::Upper(upper) => format!("has all before {upper}"),
        Standing::Filling { at } => format!("is filled as of {at}"),
        Standing::AwaitingReveal => "awaits the end of catching up".to_owned(),
    }
}

fn reset(site: &Site, name: &str, json: bool) -> Result<(), Failure> {
    let pipeline = &site.loaded.pipeline;
    let names = sink_names(pipeline);
    if !names.iter().any(|known| known == name) {
        let hint = name_hint(name, names.iter().map(String::as_str)).map(|hint| format!("; {hint}"));
        let hint = hint.unwrap_or_default();
        return Err(Failure::Usage(format!("error: the pipeline has no sink {name:?}{hint}")));
    }
    if let Some(reason) = unfillable(pipeline, name) {
        return Err(Failure::Usage(format!(
            "error: sink {name:?} can not be filled again: {reason}; to go on without what it held, run once with the \
             sink taken out of the pipeline file, and put it back"
        )));
    }
    // A journal that can not be read is left alone, and so is the run that goes on with it.
    let is_new = !site.read()?.sinks.contains_key(name);
    let entry = if is_new { None } else { Some(deregister(&site.location, name).map_err(Failure::run)?) };
    if json {
        return output::print_json(&json!({ "sink": name, "reset": entry.is_some(), "entry": entry }));
    }
    if is_new {
        return output::print(&format!("sink {name:?} is new to the state: the next run fills it anyway\n"));
    }
    eprintln!("a run that was going on has lost the journal to this command, and stops: start it again");
    output::print(&format!(
        "sink {name:?} is reset: the next run writes its whole content, then deletes everything else from its store\n"
    ))
}

/// Takes the journal over, and has it forget the sink: to the next run it is new. The number of the entry that says so.
fn deregister(location: &str, name: &str) -> Result<u64, JournalError> {
    let mut keeper = Keeper::open(Journal::open(location)?)?;
    let number = keeper.state().next_entry;
    keeper.append(Entry { sinks: [(name.to_owned(), None)].into(), ..Entry::default() })?;
    Ok(number)
}
