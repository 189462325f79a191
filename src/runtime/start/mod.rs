//! How a run starts: from what the journal remembers to what every worker must know.

use std::collections::{BTreeMap, BTreeSet};

use flowstone_journal::{Entry, Seal, SinkState, Standing, State, TableInfo};
use serde::{Deserialize, Serialize};

use super::clock::{Hiding, unix_ms};
use super::nodes::{self, ChangedNode};
use super::stores::Seen;
use crate::pipeline::compile::{Collection, DEAD_LETTERS, Plan};
use crate::sink::{self, StoreState};
use crate::source::Bookmark;
use crate::spine::row::TableId;
use crate::spine::sealed::Sealed;

/// What all workers of all processes must know of the run; worker 0 tells them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The number of the run, unique for ever.
    pub run: u64,
    /// What earlier runs have sealed.
    pub sealed: Sealed,
    /// The first hidden epoch; none if the run does not catch up first.
    pub hidden_from: Option<u64>,
    /// The first epoch that the clock opens.
    pub first_epoch: u64,
    /// Where each sink starts, in the order of the plan.
    pub sinks: Vec<sink::Start>,
    /// The sources, in the order of the plan.
    pub sources: Vec<SourceStart>,
    /// The tables' numbers in the journal, in the order of the plan.
    pub tables: Vec<TableId>,
    /// The number of the dead letters.
    pub dead_letters: TableId,
    /// Tables that are made of the rows of others, and have nothing before the reveal.
    pub new_tables: Vec<TableId>,
}

/// Where a source starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SourceStart {
    /// Its number, which it keeps for ever.
    pub id: u16,
    /// Its partitions, by number, and where to go on.
    pub known: Vec<(String, Bookmark)>,
}

/// What the user wants to be done about what has changed.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// Changed operators are taken, and the sinks below them filled again.
    pub accept_changes: bool,
    /// Tables that are built anew from their sources' start.
    pub rebuild: Vec<String>,
    /// Input that is gone is given up.
    pub skip_lost: bool,
}

/// A start that the journal's contents forbid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Operators are not what they were (law L8).
    #[error("the pipeline has changed since its state was written: {}; {}", describe(.0), choices(.0))]
    Changed(Vec<ChangedNode>),
    /// `--rebuild` names no table.
    #[error("--rebuild {name:?}: there is no such table; there are {known}")]
    NoTable {
        /// As given.
        name: String,
        /// The tables.
        known: String,
    },
    /// An `aggregate` of events would count some of them twice, or not at all; or a `join` would keep pairs of rows that are not
    /// there any more.
    #[error("{reason}; give {}", flags(.rebuild))]
    Miscounted {
        /// Which, and why.
        reason: String,
        /// The tables that must be built anew together.
        rebuild: Vec<String>,
    },
    /// A store is not the one that was written, or has lost data (law L13).
    #[error("sink {sink:?}: {reason}; {}", way_out(.sink, *.is_stream))]
    Store {
        /// The sink.
        sink: String,
        /// What is wrong.
        reason: String,
        /// It reads rows that are only added, and that the state does not keep.
        is_stream: bool,
    },
}

fn flags(tables: &[String]) -> String {
    tables.iter().map(|name| format!("--rebuild {name}")).collect::<Vec<_>>().join(" ")
}

fn way_out(sink: &str, is_stream: bool) -> String {
    if is_stream {
        return "the state keeps its rows only until they are written, and can not fill it; put the store back, or go on \
                without what it held: run once with the sink taken out of the pipeline file, then put it back"
            .to_owned();
    }
    format!("if that is meant to be, `flowstone sinks reset {sink} PIPELINE.yaml` fills it again from the state")
}

fn describe(changed: &[ChangedNode]) -> String {
    let one = |node: &ChangedNode| format!("{} ({})", node.node, node.differences.join("; "));
    changed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn choices(changed: &[ChangedNode]) -> String {
    let tables: Vec<_> =
        changed.iter().filter_map(ChangedNode::table).map(|name| format!("--rebuild {name}")).collect();
    let mut choices = Vec::new();
    if !tables.is_empty() {
        let flags = tables.join(" ");
        choices.push(format!("{flags} reads its sources from the start again"));
    }
    if changed.iter().any(|node| node.table().is_none()) {
        choices.push("--accept-changes takes the new settings and fills the sinks below again".to_owned());
    }
    format!("{}; or undo the change", choices.join("; "))
}

/// The state of a pipeline, and what this run makes of it.
pub(super) struct Opening<'a> {
    pub plan: &'a Plan,
    pub nodes: BTreeMap<String, String>,
    pub state: &'a State,
    pub consent: &'a Consent,
    /// Whether everything that is present is read before anything is shown.
    pub catch_up: bool,
}

/// The number of a table in the journal, if it has one of this name.
fn known_table(state: &State, name: &str, tail: bool) -> Option<TableId> {
    state.tables.iter().find(|(_, info)| info.name == name && info.tail == tail).map(|(id, _)| *id)
}

impl<'a> Opening<'a> {
    /// A backfill catches up; so does any run without a state, on one that was catching up, that builds a table anew, or that has
    /// a new table which is made of the rows of others.
    pub fn new(
        plan: &'a Plan,
        nodes: BTreeMap<String, String>,
        state: &'a State,
        consent: &'a Consent,
        backfill: bool,
    ) -> Self {
        let is_new = plan
            .tables
            .iter()
            .any(|table| table.pairs_of.is_some() && known_table(state, &table.name, false).is_none());
        let catch_up =
            backfill || state.sealed == 0 || state.catching_up.is_some() || !consent.rebuild.is_empty() || is_new;
        Opening { plan, nodes, state, consent, catch_up }
    }

    /// Whether the pipeline may run on this state.
    pub fn check(&self) -> Result<(), Refused> {
        for name in &self.consent.rebuild {
            if !self.has_table(name) {
                let known: Vec<_> = self.plan.tables.iter().map(|table| format!("{:?}", table.name)).collect();
                return Err(Refused::NoTable { name: name.clone(), known: known.join(", ") });
            }
        }
        let mut changed = nodes::changed(&self.state.nodes, &self.nodes);
        changed.retain(|node| match node.table() {
            Some(name) => self.has_table(name) && !self.consent.rebuild.iter().any(|rebuilt| rebuilt == name),
            None => !self.consent.accept_changes,
        });
        if !changed.is_empty() {
            return Err(Refused::Changed(changed));
        }
        self.check_counts()?;
        self.check_pairs()
    }

    /// A table of pairs has one for each row that was looked up: of rows that are built anew they must be, too.
    fn check_pairs(&self) -> Result<(), Refused> {
        let rebuilt = &self.consent.rebuild;
        for table in self.plan.tables.iter().filter(|table| !rebuilt.contains(&table.name)) {
            let Some(node) = table.pairs_of else { continue };
            let name = &table.name;
            let left = self.plan.table_of(self.plan.nodes[node].from).map(|at| &self.plan.tables[at].name);
            if let Some(left) =
                left.filter(|left| known_table(self.state, name, false).is_some() && rebuilt.contains(left))
            {
                let reason = format!("join {name:?} has pairs of the rows of {left:?}, which are built anew");
                return Err(Refused::Miscounted { reason, rebuild: rebuilt.iter().chain([name]).cloned().collect() });
            }
        }
        Ok(())
    }

    /// A table of groups counts each event of its sources once: it must read them from the start, and only once. Other tables
    /// come out the same, however often records are read.
    fn check_counts(&self) -> Result<(), Refused> {
        let rebuilt = &self.consent.rebuild;
        let rewound: BTreeSet<&String> = self.rewound().collect();
        for table in self.plan.tables.iter().filter(|table| table.groups_of.is_some() && !rebuilt.contains(&table.name))
        {
            let name = &table.name;
            let with = |others: &[String]| others.iter().chain([name]).cloned().collect();
            let is_known = known_table(self.state, name, false).is_some();
            for source in table.sources.iter().map(|source| &self.plan.sources[*source]) {
                if is_known && rewound.contains(source) {
                    let reason =
                        format!("aggregate {name:?} would count the events of {source:?} twice, which is read again");
                    return Err(Refused::Miscounted { reason, rebuild: with(rebuilt) });
                }
                if !is_known && !rewound.contains(source) && self.known(source).iter().any(|(_, at)| at.offset > 0) {
                    let reason = format!("aggregate {name:?} is new, and earlier runs have read events of {source:?}");
                    return Err(Refused::Miscounted { reason, rebuild: with(rebuilt) });
                }
            }
        }
        Ok(())
    }

    /// Whether there is such a table: an unkeyed source that no sink reads is none.
    fn has_table(&self, name: &str) -> bool {
        self.plan.tables.iter().any(|table| table.name == name)
    }

    /// The partitions that earlier runs have read of a source, and how far.
    pub fn known(&self, source: &str) -> Vec<(String, Bookmark)> {
        let rewound = self.rewound().any(|name| name == source);
        let found = self.state.sources.iter().find(|s| s.name == source);
        let partitions = found.into_iter().flat_map(|s| &s.partitions);
        let known = partitions.map(|p| {
            let bookmark =
                if rewound { Bookmark::default() } else { Bookmark { offset: p.upper, mark: p.mark.clone() } };
            (p.name.clone(), bookmark)
        });
        known.collect()
    }

    /// The sources of the tables that are built anew.
    fn rewound(&self) -> impl Iterator<Item = &String> {
        let rebuilt = self.plan.tables.iter().filter(|table| self.consent.rebuild.contains(&table.name));
        rebuilt.flat_map(|table| table.all_sources().map(|source| &self.plan.sources[source]))
    }

    /// The sinks, by number, that hold something else than they should: what they are made of, or how, is not what it was.
    pub fn changed_sinks(&self) -> BTreeSet<usize> {
        let changed = nodes::changed(&self.state.nodes, &self.nodes).into_iter().map(|node| node.node);
        let rebuilt = self.consent.rebuild.iter().map(|name| format!("table {name}"));
        changed.chain(rebuilt).flat_map(|node| nodes::sinks_below(self.plan, &node)).collect()
    }

    /// The entry that registers what this run has and earlier ones had not, and the start that follows from it.
    ///
    /// `stores` are those of the sinks, in the order of the plan; `above` is above every epoch that any of them holds.
    pub fn register(&self, stores: &[Seen], above: u64) -> Result<Registration, Refused> {
        let state = self.state;
        let mut entry = Entry::default();
        let sources = self.plan.sources.iter().map(|name| self.source(name, &mut entry)).collect::<Vec<_>>();
        let mut tables = Vec::new();
        for table in &self.plan.tables {
            tables.push(self.table(&table.name, table.is_stream(), &mut entry));
        }
        let dead_letters = self.table(DEAD_LETTERS, true, &mut entry);
        let live: Vec<TableId> = tables.iter().copied().chain([dead_letters]).collect();
        entry.dropped_tables.extend(state.tables.keys().filter(|id| !live.contains(id)));
        entry.rewound_sources.extend(self.rewound().filter_map(|name| {
            let at = state.sources.iter().position(|s| s.name == *name)?;
            u16::try_from(at).ok()
        }));
        entry.rewound_sources.sort_unstable();
        entry.rewound_sources.dedup();

        let first = unix_ms().max(state.sealed + 1).max(above);
        if self.catch_up && state.catching_up.is_none() {
            entry.catching_up = Some(state.sealed + 1);
        }
        let filled = self.sinks(stores, first, &mut entry)?;
        let mut first_epoch = first;
        if filled && !self.catch_up {
            entry.seals.push(Seal { epoch: first, bindings: Vec::new() });
            first_epoch += 1;
        }
        self.nodes_of(&mut entry);
        Ok(Registration { entry, sources, tables, dead_letters, first_epoch })
    }

    fn source(&self, name: &str, entry: &mut Entry) -> SourceStart {
        let known = self.known(name);
        let at = self.state.sources.iter().position(|s| s.name == name).unwrap_or_else(|| {
            let at = self.state.sources.len() + entry.new_sources.len();
            entry.new_sources.push(name.to_owned());
            at
        });
        SourceStart { id: u16::try_from(at).expect("fewer than 2^16 sources"), known }
    }

    /// The table's number; one that is built anew gets another, so that nothing of its old rows is left.
    fn table(&self, name: &str, tail: bool, entry: &mut Entry) -> TableId {
        let rebuilt = self.consent.rebuild.iter().any(|rebuilt| rebuilt == name);
        if let Some(id) = known_table(self.state, name, tail).filter(|_| !rebuilt) {
            return id;
        }
        let next = self.state.next_table + u16::try_from(entry.new_tables.len()).expect("fewer than 2^16 tables");
        // Rows that were there before are looked up when all is shown, also if the run ends before.
        let awaits_reveal = self.plan.tables.iter().any(|table| table.name == name && table.pairs_of.is_some());
        entry.new_tables.push((next, TableInfo { name: name.to_owned(), tail, awaits_reveal }));
        next
    }

    /// Registers sinks; says whether one is to be filled at epoch `fill`.
    fn sinks(&self, stores: &[Seen], fill: u64, entry: &mut Entry) -> Result<bool, Refused> {
        let changed = self.changed_sinks();
        let mut filled = false;
        for (at, sink) in self.plan.sinks.iter().enumerate() {
            let stream = self.plan.is_stream(sink.from);
            let Seen { store, mark } = &stores[at];
            let store = store.as_ref();
            let recorded = self.state.sinks.get(&sink.name).filter(|_| !changed.contains(&at) || stream);
            let to_fill = if self.catch_up { Standing::AwaitingReveal } else { Standing::Filling { at: fill } };
            let mut now = match recorded {
                Some(recorded) => resumed(&sink.name, recorded, store, self.state.sealed, to_fill, stream)?,
                None => {
                    let standing = if stream { Standing::Upper(self.state.sealed + 1) } else { to_fill };
                    SinkState { standing, store: None, mark: None, stream: false, detached_unix_ms: None }
                }
            };
            now.store = store.map(|store| store.id.clone());
            now.mark = mark.clone().or(now.mark);
            // Operators put their refusals among the dead letters without a journal: hydration must not pass what is not written.
            now.stream = stream && (sink.from != Collection::DeadLetters || self.plan.operators().next().is_none());
            filled |= now.standing == Standing::Filling { at: fill };
            if self.state.sinks.get(&sink.name) != Some(&now) {
                entry.sinks.insert(sink.name.clone(), Some(now));
            }
        }
        let gone = self.state.sinks.keys().filter(|name| !self.plan.sinks.iter().any(|sink| sink.name == **name));
        entry.sinks.extend(gone.map(|name| (name.clone(), None)));
        Ok(filled)
    }

    fn nodes_of(&self, entry: &mut Entry) {
        let nodes = self.nodes.iter().filter(|(node, settings)| self.state.nodes.get(*node) != Some(settings));
        entry.nodes.extend(nodes.map(|(node, settings)| (node.clone(), Some(settings.clone()))));
        let gone = self.state.nodes.keys().filter(|node| !self.nodes.contains_key(*node));
        entry.nodes.extend(gone.map(|node| (node.clone(), None)));
    }
}

/// Where a sink goes on whose store is the one that was written.
fn resumed(
    name: &str,
    recorded: &SinkState,
    store: Option<&StoreState>,
    sealed: u64,
    to_fill: Standing,
    is_stream: bool,
) -> Result<SinkState, Refused> {
    let refused = |reason: String| Refused::Store { sink: name.to_owned(), reason, is_stream };
    let mut now = SinkState { detached_unix_ms: None, ..recorded.clone() };
    if let (Standing::Filling { at }, Some(store)) = (&recorded.standing, store) {
        // The fill was completed, and the run ended before that was recorded; or the store is another one, which may hold
        // newer epochs.
        match recorded.store.as_ref() == Some(&store.id) {
            true if store.upper > *at => now.standing = Standing::Upper(store.upper),
            true => (),
            false => now.standing = to_fill.clone(),
        }
    }
    // A sink that is to be filled takes any store.
    let is_written = matches!(now.standing, Standing::Upper(_)) && recorded.store.is_some();
    if let Some(store) = store.filter(|_| is_written) {
        if recorded.store.as_ref() != Some(&store.id) {
            return Err(refused("its store is not the one that it wrote, or was made anew".to_owned()));
        }
        let Standing::Upper(upper) = &mut now.standing else { return Ok(now) };
        let known = recorded.mark.as_deref().and_then(|mark| mark.parse().ok()).unwrap_or(0);
        if store.upper < known {
            let found = store.upper;
            return Err(refused(format!(
                "its store lost data: it holds the epochs below {found}, and held those below {known}"
            )));
        }
        if store.upper > sealed + 1 {
            // Nothing is shown before it is sealed: the state is an older copy, and what the store holds beyond it is not known.
            tracing::warn!(
                "sink {name:?} was written beyond what the state knows, which must be an older copy: it is filled again"
            );
            now.standing = to_fill;
            return Ok(now);
        }
        // It was written, and the run ended before that was recorded.
        *upper = (*upper).max(store.upper);
    }
    if now.standing == Standing::AwaitingReveal {
        now.standing = to_fill;
    }
    Ok(now)
}

/// What is to be appended to the manifest before a run's first record, and what follows from it.
pub(super) struct Registration {
    pub entry: Entry,
    pub sources: Vec<SourceStart>,
    pub tables: Vec<TableId>,
    pub dead_letters: TableId,
    pub first_epoch: u64,
}

impl Registration {
    /// The start of a run whose registration was appended; `state` is what the manifest says now.
    pub fn start(self, plan: &Plan, state: &State) -> Start {
        let sinks =
            plan.sinks.iter().map(|sink| start_of(plan.is_stream(sink.from), &state.sinks[&sink.name])).collect();
        let sealed = Sealed {
            hydrate_at: state.hydrate_at(),
            through: state.sealed,
            tails_from: state.least_upper().saturating_sub(1),
            collapses: state.collapses.clone(),
            parts: state.parts.clone(),
        };
        Start {
            run: state.run,
            sealed,
            hidden_from: state.catching_up,
            first_epoch: self.first_epoch,
            sinks,
            sources: self.sources,
            tables: self.tables,
            dead_letters: self.dead_letters,
            new_tables: state.tables.iter().filter(|(_, info)| info.awaits_reveal).map(|(id, _)| *id).collect(),
        }
    }
}

fn start_of(is_stream: bool, state: &SinkState) -> sink::Start {
    match state.standing {
        Standing::Upper(from) if is_stream => sink::Start::Stream { from },
        Standing::Upper(from) => sink::Start::Resume { from },
        Standing::Filling { at } => sink::Start::Fill { at },
        Standing::AwaitingReveal => sink::Start::FillAtReveal,
    }
}

impl Start {
    /// The start of a run without a journal: everything is read again, and every sink filled.
    pub fn without_journal(plan: &Plan, above: u64) -> Self {
        let first_epoch = unix_ms().max(above);
        let numbered = |n: usize| u16::try_from(n).expect("fewer than 2^16 nodes");
        let source = |at: usize| SourceStart { id: numbered(at), known: Vec::new() };
        Start {
            run: 0,
            sealed: Sealed::default(),
            hidden_from: Some(1),
            first_epoch,
            sinks: vec![sink::Start::FillAtReveal; plan.sinks.len()],
            sources: (0..plan.sources.len()).map(source).collect(),
            tables: (0..plan.tables.len()).map(numbered).collect(),
            dead_letters: numbered(plan.tables.len()),
            new_tables: Vec::new(),
        }
    }

    /// Whether a table is made of all rows that there are at the reveal.
    pub fn is_new(&self, table: TableId) -> bool {
        self.new_tables.contains(&table)
    }

    /// Whether the clock hides what is read at first.
    pub fn hiding(&self, journalled: bool) -> Hiding {
        match (self.hidden_from, journalled) {
            (None, _) => Hiding::Never,
            (Some(_), true) => Hiding::Epochs,
            (Some(_), false) => Hiding::OneEpoch,
        }
    }
}

#[cfg(test)]
mod tests;
