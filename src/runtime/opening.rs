//! What the first process does before the workers start: journal, sources and stores are opened, and the run registered.

use std::collections::HashMap;
use std::path::PathBuf;

use flowstone_journal::{Journal, Keeper, State};

use super::metrics::Metrics;
use super::nodes::nodes;
use super::start::{Consent, Opening, Start};
use super::stores::{Held, OpenStores, Stores};
use super::{Mode, RunError};
#[cfg(feature = "kafka")]
use crate::pipeline::KeyField;
use crate::pipeline::compile::Plan;
use crate::pipeline::{KafkaSource, Pipeline, SourceSpec};
use crate::source::catalog::Catalog;
use crate::source::memory::MemoryInput;
use crate::source::{Bookmark, Source, SourceError, file};

/// A pipeline, and what it may be opened with.
pub(super) struct Site<'a> {
    pub pipeline: &'a Pipeline,
    pub plan: &'a Plan,
    pub base: PathBuf,
    pub dead_letters: PathBuf,
    pub memory: &'a HashMap<String, MemoryInput>,
    pub consent: &'a Consent,
    pub mode: Mode,
    pub metrics: &'a Metrics,
}

/// Everything that is open when the workers start.
pub(super) struct Opened {
    pub start: Start,
    pub catalogs: Vec<(String, Catalog)>,
    pub writers: Stores,
    pub keeper: Option<Keeper>,
}

impl Site<'_> {
    /// Opens everything; with a journal, the run is registered in it when this returns.
    pub fn open(&self, journal: Option<&Journal>) -> Result<Opened, RunError> {
        let Some(journal) = journal else {
            let catalogs = self.sources(|_| Vec::new())?;
            let OpenStores { writers, above, .. } = self.stores(&State::default(), Held::new())?;
            return Ok(Opened { start: Start::without_journal(self.plan, above), catalogs, writers, keeper: None });
        };
        // What may refuse comes first: a run that can not start must not end the one that runs.
        let mut state = journal.read()?.unwrap_or_default();
        self.opening(&state).check()?;
        let mut catalogs = self.sources(|name| self.opening(&state).known(name))?;
        let held = Stores::hold(self.plan, &self.base, &self.dead_letters)?;
        let mut keeper = Keeper::open(journal.clone())?;
        if keeper.state().sources != state.sources {
            self.opening(keeper.state()).check()?;
            catalogs = self.sources(|name| self.opening(keeper.state()).known(name))?;
        }
        state = keeper.state().clone();
        let OpenStores { writers, states, above } = self.stores(&state, held)?;
        let mut registration = self.opening(&state).register(&states, above)?;
        keeper.append(std::mem::take(&mut registration.entry))?;
        let start = registration.start(self.plan, keeper.state());
        Ok(Opened { start, catalogs, writers, keeper: Some(keeper) })
    }

    /// Opens what a process without worker 0 needs, once that has told how the run starts.
    pub fn follow(&self, start: Start) -> Result<Opened, RunError> {
        let known = |name: &str| {
            let at = self.plan.sources.iter().position(|source| source == name).expect("a source of the plan");
            start.sources[at].known.clone()
        };
        let catalogs = self.catalogs(known, Catalog::replica)?;
        Ok(Opened { catalogs, writers: Stores::elsewhere(self.plan, self.metrics), keeper: None, start })
    }

    fn opening<'b>(&'b self, state: &'b State) -> Opening<'b> {
        Opening::new(self.plan, nodes(self.pipeline), state, self.consent, self.mode == Mode::Backfill)
    }

    fn sources(&self, known: impl Fn(&str) -> Vec<(String, Bookmark)>) -> Result<Vec<(String, Catalog)>, RunError> {
        self.catalogs(known, Catalog::open)
    }

    fn catalogs(
        &self,
        known: impl Fn(&str) -> Vec<(String, Bookmark)>,
        open: impl Fn(Box<dyn Source>, Vec<(String, Bookmark)>, bool) -> Result<Catalog, SourceError>,
    ) -> Result<Vec<(String, Catalog)>, RunError> {
        let mut catalogs = Vec::new();
        for (name, spec) in &self.pipeline.sources {
            let failed = |source| RunError::Source { name: name.clone(), source };
            let source: Box<dyn Source> = if let Some(spec_file) = &spec.file {
                let most_bytes = spec.max_record_bytes.0;
                Box::new(file::open(&spec_file.paths, &self.base, spec_file.follow, most_bytes).map_err(failed)?)
            } else if let Some(kafka) = &spec.kafka {
                self.kafka(name, kafka, spec).map_err(failed)?
            } else {
                self.memory.get(name).ok_or_else(|| RunError::NoMemory(name.clone()))?.source()
            };
            catalogs.push((name.clone(), open(source, known(name), self.consent.skip_lost).map_err(failed)?));
        }
        Ok(catalogs)
    }

    #[cfg(feature = "kafka")]
    fn kafka(&self, name: &str, kafka: &KafkaSource, spec: &SourceSpec) -> Result<Box<dyn Source>, SourceError> {
        let group = format!("flowstone-{}-{name}", self.pipeline.name);
        let is_by_message = spec.key.as_ref().is_some_and(|key| key.as_slice().contains(&KeyField::Message));
        let messages = crate::source::kafka::Messages { max_record_bytes: spec.max_record_bytes.0, is_by_message };
        Ok(Box::new(crate::source::kafka::open(kafka, name, &group, messages)?))
    }

    #[cfg(not(feature = "kafka"))]
    fn kafka(&self, name: &str, _: &KafkaSource, _: &SourceSpec) -> Result<Box<dyn Source>, SourceError> {
        let source = "this program was built without the cargo feature \"kafka\"; build it with that feature".into();
        Err(SourceError::Service { action: "open", object: format!("source {name:?}"), source })
    }

    fn stores(&self, state: &State, held: Held) -> Result<OpenStores, RunError> {
        let mark = |name: &str| state.sinks.get(name).and_then(|sink| sink.mark.clone());
        Stores::open(self.plan, &self.base, &self.dead_letters, self.metrics, mark, held)
    }
}
