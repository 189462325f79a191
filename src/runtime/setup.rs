//! What all workers of a process share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowstone_journal::{Journal, JournalError, Keeper};

use super::RunError;
use super::clock::unix_ms;
use super::control::Control;
use super::metrics::Metrics;
use super::start::Start;
use super::stores::Stores;
use crate::pipeline::compile::{Collection, Plan};
use crate::record::DecodeSpec;
use crate::sink;
use crate::sink::finals::FinalSince;
use crate::sink::gauge::Gauges;
use crate::sink::lag::{Detach, Patience};
use crate::sink::shell::SinkProgress;
use crate::source::Limits;
use crate::source::catalog::Catalog;
use crate::spine::committer::Commit;
use crate::spine::row::TableId;
use crate::spine::sealed::Reader;

/// What the workers of a process need to build the dataflow.
pub(super) struct Setup {
    pub plan: Plan,
    pub start: Start,
    /// By name, in the order of the plan.
    pub catalogs: Vec<(String, Catalog)>,
    pub writers: Stores,
    /// How far the sinks' stores are, in the order of the plan.
    pub progress: Vec<Arc<SinkProgress>>,
    /// None with `state: none`.
    pub journal: Option<Journal>,
    /// The appending end of the manifest, until worker 0 takes it.
    pub keeper: Mutex<Option<Keeper>>,
    pub epoch_length: Duration,
    pub bounded: bool,
    pub limits: Limits,
    pub gauges: Gauges,
    pub control: Arc<Control>,
    pub metrics: Arc<Metrics>,
    /// Of each `aggregate`, since when some of its groups are final.
    pub finals: Vec<FinalSince>,
}

impl Setup {
    /// The partitions of all sources that no earlier call has given; earlier runs' are not among them.
    pub fn found_partitions(&self) -> impl FnMut() -> Vec<(u16, u32, String)> + Send + 'static {
        let mut next: Vec<(u16, Catalog, u32)> = Vec::new();
        for (start, (_, catalog)) in self.start.sources.iter().zip(&self.catalogs) {
            next.push((start.id, catalog.clone(), catalog.known()));
        }
        move || {
            let mut found = Vec::new();
            for (source, catalog, next) in &mut next {
                for (number, name) in catalog.names_from(*next) {
                    *next = number + 1;
                    found.push((*source, number, name));
                }
            }
            found
        }
    }

    /// The names of all sources, by their numbers in the journal; those that are gone have none.
    pub fn source_names(&self) -> Vec<Arc<str>> {
        let last = self.start.sources.iter().map(|s| usize::from(s.id) + 1).max().unwrap_or(0);
        let mut names: Vec<Arc<str>> = vec![Arc::from(""); last];
        for (start, (name, _)) in self.start.sources.iter().zip(&self.catalogs) {
            names[usize::from(start.id)] = name.as_str().into();
        }
        names
    }

    /// How the journalled rows of each table are read.
    pub fn readers(&self) -> BTreeMap<TableId, Reader> {
        let tables = self.start.tables.iter().zip(&self.plan.tables);
        let reader = |(id, table): (&TableId, &crate::pipeline::compile::TablePlan)| {
            // What the table of an `aggregate` keeps was written here, whatever its events are decoded like.
            let spec = if table.groups_of.is_some() { DecodeSpec::default() } else { table.decode.clone() };
            (*id, Reader::Records { spec: Box::new(spec), stream: table.is_stream() })
        };
        tables.map(reader).chain([(self.start.dead_letters, Reader::DeadLetters)]).collect()
    }

    /// The epoch up to which everybody who reads one of these knows what it gives, if nobody is to be filled. Operators start
    /// without anything, so that those who read them know nothing.
    pub fn quiet_through(&self, collections: [Collection; 2]) -> Option<u64> {
        let is_read_by_operator = collections.iter().any(|of| self.plan.is_read_by_operator(*of));
        let sinks = self.plan.sinks.iter().zip(&self.start.sinks);
        let mut readers = sinks.filter(|(sink, _)| collections.contains(&sink.from));
        let all_know = readers.all(|(_, start)| matches!(start, sink::Start::Resume { .. }));
        (all_know && !is_read_by_operator).then_some(self.start.sealed.hydrate_at)
    }

    /// Worker 0's end of the manifest.
    pub fn commit(&self, worker: usize) -> Option<Commit> {
        if worker > 0 {
            return None;
        }
        let keeper = self.keeper.lock().expect("a panic would have ended the process").take()?;
        let names = self.plan.sinks.iter().map(|sink| sink.name.clone());
        let streams = self.plan.sinks.iter().filter(|sink| self.plan.is_stream(sink.from));
        Some(Commit {
            keeper,
            found: Box::new(self.found_partitions()),
            on_error: Box::new(self.on_journal_error()),
            progress: names.zip(self.progress.iter().cloned()).collect(),
            streams: streams.map(|sink| sink.name.clone()).collect(),
            unix_ms,
        })
    }

    /// When a sink is given up, and which go with it; never, of a sink that only makes the sources pause.
    pub fn patience(&self, sink: usize) -> Option<Patience> {
        let limit = self.plan.sinks[sink].spec.on_lag.detach()?.duration();
        Some(Patience { limit, detach: Detach { sinks: self.plan.waiting_for(sink) } })
    }

    /// Whether the run may give a sink up: for itself, or with one that it waits for.
    pub fn may_detach(&self, sink: usize) -> bool {
        let with_detach = |at: &usize| self.plan.sinks[*at].spec.on_lag.detach().is_some();
        (0..self.plan.sinks.len()).filter(with_detach).any(|at| self.plan.waiting_for(at).contains(&sink))
    }

    /// Ends the run if the journal fails.
    pub fn on_journal_error(&self) -> impl FnOnce(JournalError) + Send + use<> {
        let control = self.control.clone();
        move |error| control.fail(RunError::Journal(error))
    }
}
