//! `flowstone checkpoints`

use indicatif::HumanCount;
use serde_json::{Map, Value, json};

use super::sinks::standing;
use super::state::{self, StateArgs};
use super::{Failure, output};
use crate::runtime::forecast::{Forecast, Next};

/// Shows what is sealed, where each sink stands, and what the next run would do.
///
/// Stores are not opened: whether one is gone, or older than the journal remembers, the run itself will say. Also while a
/// run goes on: then it is what a run after a crash at this moment would do.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    state: StateArgs,
}

pub fn main(args: &Args, json: bool) -> Result<(), Failure> {
    let site = args.state.open()?;
    let pipeline = &site.loaded.pipeline;
    let (state, tail) = site.read_tail(|state| Forecast::new(pipeline, state).hydrate_at)?;
    let forecast = Forecast::new(pipeline, &state);
    let from = forecast.hydrate_at;
    let settled = state.parts.iter().filter(|part| state.visible_at(part.last) <= from).map(|part| part.rows).sum();
    let restart = Restart {
        hydrate_changes: settled,
        replay_epochs: tail.epochs_after(from),
        replay_changes: tail.changes_after(from),
        forecast,
    };
    if json {
        let mut all = state::overview(&state);
        all["sinks"] =
            restart.forecast.sinks.iter().map(|(name, _)| (name.clone(), json!(state.sinks.get(name)))).collect();
        all["restart"] = restart.json();
        return output::print_json(&all);
    }
    let mut table = output::table(&["sink", "now", "the next run"]);
    for (name, next) in &restart.forecast.sinks {
        let now = state.sinks.get(name).map_or_else(|| "unknown to the state".to_owned(), standing);
        table.add_row([name.clone(), now, what(next)]);
    }
    output::set_texts(&mut table, &[1, 2]);
    let catching_up = state.catching_up.map_or_else(String::new, |first| format!(", hidden since epoch {first}"));
    let sealed = state::epoch(state.sealed);
    let detached = state::detached(&state);
    output::print(&format!("sealed through epoch {sealed}{catching_up}\n{table}\n{detached}{}", restart.text()))
}

/// What the next run does before it reads on.
struct Restart {
    forecast: Forecast,
    hydrate_changes: u64,
    replay_epochs: u64,
    replay_changes: u64,
}

impl Restart {
    fn json(&self) -> Value {
        let sinks: Map<String, Value> =
            self.forecast.sinks.iter().map(|(name, next)| (name.clone(), json!(word(next)))).collect();
        json!({
            "refused": self.forecast.refused.as_ref().map(ToString::to_string),
            "catches_up": self.forecast.catches_up,
            "hydrate_at": self.forecast.hydrate_at,
            "hydrate_changes": self.hydrate_changes,
            "replay_epochs": self.replay_epochs,
            "replay_changes": self.replay_changes,
            "sinks": sinks,
        })
    }

    fn text(&self) -> String {
        let mut text = match &self.forecast.refused {
            Some(refused) => format!("the next run would not start: {refused}\nif it did, it would:\n"),
            None => "the next run would:\n".to_owned(),
        };
        let epoch = state::epoch(self.forecast.hydrate_at);
        text.push_str(&format!("- load {} changes, through epoch {epoch}\n", HumanCount(self.hydrate_changes)));
        let (changes, epochs) = (HumanCount(self.replay_changes), output::counted(self.replay_epochs, "epoch"));
        text.push_str(&format!("- replay {changes} changes of {epochs} after it\n"));
        let filled = |next: &Next| matches!(next, Next::Filled | Next::FillBeginsAgain);
        let filled: Vec<&str> =
            self.forecast.sinks.iter().filter(|(_, next)| filled(next)).map(|(name, _)| name.as_str()).collect();
        if !filled.is_empty() {
            text.push_str(&format!("- fill {}\n", filled.join(", ")));
        }
        text.push_str(match self.forecast.catches_up {
            true => "- read everything that is present before it shows any of it\n",
            false => "- show what it reads epoch by epoch; `backfill` shows it at once, at its end\n",
        });
        text
    }
}

fn what(next: &Next) -> String {
    match next {
        Next::GoesOn { from } => format!("goes on with {from}"),
        Next::FillBeginsAgain => "fills it again".to_owned(),
        Next::Filled => "fills it".to_owned(),
        Next::BeginsHere => "begins with what it reads".to_owned(),
        Next::Forgotten => "forgets it".to_owned(),
    }
}

fn word(next: &Next) -> &'static str {
    match next {
        Next::GoesOn { .. } => "goes_on",
        Next::FillBeginsAgain | Next::Filled => "fill",
        Next::BeginsHere => "begins_here",
        Next::Forgotten => "forgotten",
    }
}
