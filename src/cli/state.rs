//! What the commands that look at a pipeline's state share.

use std::path::{Path, PathBuf};

use flowstone_journal::{Journal, JournalError, State};
use serde_json::{Value, json};

use super::Failure;
use crate::pipeline::{self, Loaded};
use crate::runtime::forecast::{Tail, written_through};
use crate::runtime::journal_location;

/// How often a state is read again of which a run removes objects meanwhile.
const READ_ATTEMPTS: usize = 5;

/// The argument of these commands.
#[derive(clap::Args)]
pub struct StateArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.yaml", value_hint = clap::ValueHint::FilePath)]
    pub pipeline: PathBuf,
}

/// A pipeline, and the journal of its state, opened to be read.
pub struct Site {
    pub loaded: Loaded,
    pub location: String,
    pub journal: Journal,
}

impl StateArgs {
    /// Opens the journal of a pipeline that has one. Writes nothing.
    pub fn open(&self) -> Result<Site, Failure> {
        let loaded = pipeline::load(&self.pipeline).map_err(|problems| Failure::Usage(problems.to_string()))?;
        if loaded.pipeline.state == "none" {
            let problem = "error: the pipeline has `state: none`: nothing is remembered from one run to the next";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let location = journal_location(&loaded.pipeline, &loaded.base);
        if !location.contains("://") && !Path::new(&location).is_dir() {
            return Err(no_journal(&location));
        }
        let journal = Journal::open_to_read(&location).map_err(Failure::run)?;
        Ok(Site { loaded, location, journal })
    }
}

impl Site {
    /// What the journal says.
    pub fn read(&self) -> Result<State, Failure> {
        self.journal.read().map_err(Failure::run)?.ok_or_else(|| no_journal(&self.location))
    }

    /// The same, with the changes that some sink may not have, and those after `from`.
    pub fn read_tail(&self, from: impl Fn(&State) -> u64) -> Result<(State, Tail), Failure> {
        let mut attempt = 1;
        loop {
            let state = self.read()?;
            let least = state.sinks.values().filter_map(written_through).min().unwrap_or(state.sealed);
            match Tail::read(&self.journal, &state, least.min(from(&state))) {
                Ok(tail) => return Ok((state, tail)),
                // A run has merged it since.
                Err(JournalError::Missing { .. }) if attempt < READ_ATTEMPTS => attempt += 1,
                Err(error) => return Err(Failure::run(error)),
            }
        }
    }
}

fn no_journal(location: &str) -> Failure {
    Failure::run(format!("there is no journal at {location:?} yet; the first run of the pipeline makes it"))
}

/// An epoch for people: its number, and when it opened.
pub fn epoch(epoch: u64) -> String {
    // Epochs of made-up clocks, as those of tests, are numbers and nothing else.
    if epoch > 1_000_000_000_000 { format!("{epoch} ({})", moment(epoch)) } else { epoch.to_string() }
}

/// Milliseconds since 1970, for people.
pub fn moment(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| unix_ms.to_string(), |moment| format!("{moment:.3}"))
}

/// What people who look at a state must know of sinks that were given up; empty if there are none.
pub fn detached(state: &State) -> String {
    let detached = state.sinks.iter().filter_map(|(name, sink)| Some((name, moment(sink.detached_unix_ms?))));
    let line = |(name, moment)| {
        format!(
            "sink {name} is detached since {moment}: its store stood still, or one that it waits for; the next run brings it up to date\n"
        )
    };
    detached.map(line).collect()
}

/// A span between epochs, for people.
pub fn span(ms: u64) -> String {
    match ms {
        0 => "0 s".to_owned(),
        1..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1_000),
        600_000..36_000_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// The state of a journal as a whole, for programs.
pub fn overview(state: &State) -> Value {
    json!({
        "run": state.run,
        "next_entry": state.next_entry,
        "sealed": state.sealed,
        "catching_up_since": state.catching_up,
        "detached": state.sinks.iter().filter(|(_, sink)| sink.detached_unix_ms.is_some()).map(|(name, _)| name).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_shown_as_moments() {
        assert_eq!(epoch(1_700_000_000_123), "1700000000123 (2023-11-14T22:13:20.123Z)");
        assert_eq!(epoch(17), "17");
    }

    #[test]
    fn spans_have_a_fitting_unit() {
        let spans: Vec<String> = [0, 9_999, 59_999, 3_600_000, 36_000_000].map(span).into();
        assert_eq!(spans, ["0 s", "9999 ms", "59 s", "60 min", "10 h"]);
    }
}
