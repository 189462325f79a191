//! What the next run would do, told from the journal and the pipeline file alone: nothing is opened but the journal.

use std::collections::BTreeMap;

use flowstone_journal::{Journal, JournalError, KEY_GROUPS, SinkState, Standing, State};

use super::nodes::nodes;
use super::start::{Consent, Opening, Refused};
use crate::pipeline::Pipeline;
use crate::pipeline::compile::{Collection, DEAD_LETTERS, Plan};

/// The sealed changes that some sink may not have, or that a restart replays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Changes of tables, by the epoch that shows them.
    changes: BTreeMap<u64, u64>,
}

impl Tail {
    /// Reads the changes that are shown after `from` out of the parts.
    ///
    /// # Errors
    /// If a part can not be read. While a run goes on it may be gone already: reading the state again helps then.
    pub fn read(journal: &Journal, state: &State, from: u64) -> Result<Self, JournalError> {
        let mut tail = Tail::default();
        for part in state.parts.iter().filter(|part| state.visible_at(part.last) > from) {
            for block in journal.open_part(part)?.blocks(0..KEY_GROUPS) {
                for change in block?.changes() {
                    let is_stream = state.tables.get(&change.table).is_none_or(|table| table.tail);
                    let shown_at = state.visible_at(change.epoch);
                    if shown_at > from && !is_stream {
                        *tail.changes.entry(shown_at).or_default() += 1;
                    }
                }
            }
        }
        Ok(tail)
    }

    /// How many epochs after `epoch` change a row.
    pub fn epochs_after(&self, epoch: u64) -> u64 {
        self.changes.range(epoch + 1..).count() as u64
    }

    /// How many changes of rows those epochs have.
    pub fn changes_after(&self, epoch: u64) -> u64 {
        self.changes.range(epoch + 1..).map(|(_, changes)| changes).sum()
    }
}

/// The last epoch that a sink has; `None` if it is to be filled at the next reveal, so that it has none that counts.
pub fn written_through(sink: &SinkState) -> Option<u64> {
    match sink.standing {
        Standing::Upper(upper) => Some(upper.saturating_sub(1)),
        Standing::Filling { at } => Some(at.saturating_sub(1)),
        Standing::AwaitingReveal => None,
    }
}

/// What the next `flowstone run` would do. Stores are not looked at: one that is gone or too old is noticed by the run.
#[derive(Debug)]
pub struct Forecast {
    /// Why it would not start.
    pub refused: Option<Refused>,
    /// It reads everything that is present before it shows anything. (`backfill` always does.)
    pub catches_up: bool,
    /// Tables start with their rows as of the end of this epoch.
    pub hydrate_at: u64,
    /// What becomes of each sink, in the order of the pipeline; then of those that it has no more.
    pub sinks: Vec<(String, Next)>,
}

/// What becomes of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on with this epoch.
    GoesOn {
        /// The first one that it has not.
        from: u64,
    },
    /// It is filled: it was begun and not completed.
    FillBeginsAgain,
    /// It is filled: it is new, or was reset, or awaits the end of catching up.
    Filled,
    /// It reads a stream, and is new: it gets what is read from now on.
    BeginsHere,
    /// It is in the pipeline no more.
    Forgotten,
}

impl Forecast {
    /// Of a pipeline on the state of its journal.
    pub fn new(pipeline: &Pipeline, state: &State) -> Self {
        let plan = Plan::compile(pipeline);
        let consent = Consent::default();
        let opening = Opening::new(&plan, nodes(pipeline), state, &consent, false);
        let refused = opening.check().err();
        let changed = opening.changed_sinks();
        let mut sinks: Vec<(String, Next)> = Vec::new();
        let mut left = state.clone();
        for (at, sink) in plan.sinks.iter().enumerate() {
            let is_stream = plan.is_stream(sink.from);
            let recorded = state.sinks.get(&sink.name).filter(|_| is_stream || !changed.contains(&at));
            let next = match recorded.map(|recorded| &recorded.standing) {
                Some(Standing::Upper(from)) => Next::GoesOn { from: *from },
                Some(Standing::Filling { .. }) => Next::FillBeginsAgain,
                Some(Standing::AwaitingReveal) => Next::Filled,
                None if is_stream => Next::BeginsHere,
                None => Next::Filled,
            };
            if matches!(next, Next::Filled | Next::BeginsHere) {
                left.sinks.remove(&sink.name);
            }
            sinks.push((sink.name.clone(), next));
        }
        let gone: Vec<String> =
            state.sinks.keys().filter(|name| !plan.sinks.iter().any(|sink| sink.name == **name)).cloned().collect();
        for name in gone {
            left.sinks.remove(&name);
            sinks.push((name, Next::Forgotten));
        }
        Forecast { refused, catches_up: opening.catch_up, hydrate_at: left.hydrate_at(), sinks }
    }
}

/// Why the sink `name` of the pipeline can not be filled again from the journal; `None` if it can.
pub fn unfillable(pipeline: &Pipeline, name: &str) -> Option<String> {
    let plan = Plan::compile(pipeline);
    let sink = plan.sinks.iter().find(|sink| sink.name == name).filter(|sink| plan.is_stream(sink.from))?;
    let what = match sink.from {
        Collection::DeadLetters => "dead letters".to_owned(),
        _ => format!("the records of {:?}, which has no `key`", sink.spec.from),
    };
    Some(format!("it holds {what}: they are only ever added, and leave the journal once every sink has them"))
}

/// The names of all sinks, that of the dead letters included.
pub fn sink_names(pipeline: &Pipeline) -> Vec<String> {
    pipeline.sinks.keys().cloned().chain([DEAD_LETTERS.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flowstone_journal::{Collapse, Entry, Keeper, NewPart, PartBuilder, Seal, TableInfo};

    use super::*;

    const TEXT: &str = "name: test\nsources:\n  a: { file: { paths: [a] }, key: /k }\n  s: { file: { paths: [s] } }\nsinks:\n  \
                        store: { from: a, file: { path: store } }\n  lines: { from: s, file: { path: lines } }\n";

    fn pipeline() -> Pipeline {
        crate::pipeline::parse(TEXT, Path::new("/"), &|_| None).unwrap().pipeline
    }

    fn sink(standing: Standing, stream: bool) -> SinkState {
        SinkState { standing, store: None, mark: None, stream, detached_unix_ms: None }
    }

    fn state(standing: Standing) -> State {
        let sinks = BTreeMap::from([
            ("store".to_owned(), sink(standing, false)),
            ("lines".to_owned(), sink(Standing::Upper(31), true)),
            (DEAD_LETTERS.to_owned(), sink(Standing::Upper(31), true)),
            ("old".to_owned(), sink(Standing::Upper(8), false)),
        ]);
        let mut state = State::default();
        (state.sealed, state.sinks, state.nodes) = (30, sinks, nodes(&pipeline()));
        state
    }

    #[test]
    fn sinks_go_on_where_they_are_and_one_that_is_gone_holds_nothing_back() {
        let forecast = Forecast::new(&pipeline(), &state(Standing::Upper(21)));
        assert!(forecast.refused.is_none() && !forecast.catches_up);
        assert_eq!(forecast.hydrate_at, 20);
        let next = |name: &str| forecast.sinks.iter().find(|(sink, _)| sink == name).unwrap().1;
        assert_eq!(next("store"), Next::GoesOn { from: 21 });
        assert_eq!(next("lines"), Next::GoesOn { from: 31 });
        assert_eq!(next("old"), Next::Forgotten);
    }

    #[test]
    fn what_is_new_is_filled_and_what_was_being_filled_is_again() {
        let mut state = state(Standing::Filling { at: 15 });
        let forecast = Forecast::new(&pipeline(), &state);
        assert_eq!((forecast.sinks[0].1, forecast.hydrate_at), (Next::FillBeginsAgain, 15));
        state.sinks.clear();
        let forecast = Forecast::new(&pipeline(), &state);
        assert_eq!(forecast.sinks[0], ("store".to_owned(), Next::Filled));
        assert_eq!(forecast.sinks[1], ("lines".to_owned(), Next::BeginsHere));
        assert_eq!(forecast.hydrate_at, 30);
    }

    #[test]
    fn an_empty_state_and_one_that_was_catching_up_catch_up() {
        assert!(Forecast::new(&pipeline(), &State::default()).catches_up);
        let mut state = state(Standing::AwaitingReveal);
        state.catching_up = Some(12);
        let forecast = Forecast::new(&pipeline(), &state);
        assert!(forecast.catches_up);
        assert_eq!((forecast.hydrate_at, forecast.sinks[0].1), (11, Next::Filled));
    }

    #[test]
    fn a_changed_table_is_refused() {
        let mut state = state(Standing::Upper(21));
        state.nodes.insert("table a".to_owned(), "{}".to_owned());
        let refused = Forecast::new(&pipeline(), &state).refused.unwrap().to_string();
        assert!(refused.contains("--rebuild a"), "{refused}");
    }

    #[test]
    fn streams_can_not_be_filled() {
        assert_eq!(unfillable(&pipeline(), "store"), None);
        assert!(unfillable(&pipeline(), "lines").unwrap().contains("\"s\", which has no `key`"));
        assert!(unfillable(&pipeline(), DEAD_LETTERS).unwrap().contains("dead letters"));
    }

    /// Two tables, one of which is a stream; epochs 10 and 20, and 30 to 32, which are shown at 33.
    #[test]
    fn the_tail_counts_epochs_as_they_are_shown() {
        let journal = Journal::in_memory();
        let mut keeper = Keeper::open(journal.clone()).unwrap();
        let info = |name: &str, tail| TableInfo { name: name.to_owned(), tail, awaits_reveal: false };
        let new_tables = vec![(0, info("a", false)), (1, info("s", true))];
        keeper.append(Entry { new_tables, ..Entry::default() }).unwrap();
        let part = |epochs: &[u64]| {
            let keys: Vec<_> = epochs.iter().zip(0u64..).map(|(epoch, n)| (*epoch, n.to_le_bytes())).collect();
            let mut builder = PartBuilder::new();
            for (epoch, key) in &keys {
                builder.add(0, 7, *epoch, key, Some(b"v"));
                builder.add(1, 7, *epoch, key, Some(b"v"));
            }
            vec![(NewPart::Inline(builder.finish()), epochs[0], epochs[epochs.len() - 1])]
        };
        let seals = |epochs: &[u64]| epochs.iter().map(|epoch| Seal { epoch: *epoch, bindings: Vec::new() }).collect();
        keeper.append(Entry { seals: seals(&[10, 20]), parts: part(&[10, 20, 20]), ..Entry::default() }).unwrap();
        let hidden = Entry { catching_up: Some(21), ..Entry::default() };
        keeper.append(hidden).unwrap();
        let reveal =
            Entry { seals: seals(&[30, 32, 33]), parts: part(&[30, 32]), reveal: Some(33), ..Entry::default() };
        keeper.append(reveal).unwrap();
        let state = keeper.state();
        assert_eq!(state.collapses, [Collapse { first: 21, last: 33 }]);
        let tail = Tail::read(&journal, state, 10).unwrap();
        assert_eq!((tail.epochs_after(10), tail.changes_after(10)), (2, 4));
        assert_eq!((tail.epochs_after(20), tail.changes_after(20)), (1, 2));
        assert_eq!(tail.epochs_after(33), 0);
        assert_eq!(Tail::read(&journal, state, 20).unwrap().changes_after(0), 2);
    }
}
