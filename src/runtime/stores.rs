//! The stores of a run's sinks, opened before the workers start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::RunError;
use super::metrics::Metrics;
use crate::pipeline::DiscardSink;
use crate::pipeline::compile::{Plan, SinkPlan};
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
use crate::pipeline::layout::Layout;
use crate::pipeline::resolve;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
use crate::sink::Place;
use crate::sink::discard::Discard;
use crate::sink::shell::Placement;
use crate::sink::{Opened, SinkError, StoreState, Writer};

/// The writers of all sinks; worker 0 takes those of which there is only one.
pub(super) struct Stores {
    writers: Vec<Mutex<Store>>,
}

/// What opening them has shown.
pub(super) struct OpenStores {
    pub writers: Stores,
    /// What each says of itself, in the order of the plan.
    pub states: Vec<Seen>,
    /// An epoch above all that any of them holds.
    pub above: u64,
}

/// What a store shows when it is opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What it says of itself.
    pub store: Option<StoreState>,
    /// What its writer wants to find again: to be recorded before anything is written.
    pub mark: Option<String>,
}

enum Store {
    Single(Option<Box<dyn Writer>>),
    Discard(DiscardSink, Arc<super::metrics::SinkMetrics>),
}

/// Stores that are open already, by the sink's number.
pub(super) type Held = BTreeMap<usize, Opened>;

impl Stores {
    /// Opens the stores that one process can hold at a time, which changes nothing in them: a run that can not have them must
    /// not end the one that has.
    pub(super) fn hold(plan: &Plan, base: &Path, dead_letters: &Path) -> Result<Held, RunError> {
        let sinks = plan.sinks.iter().enumerate().filter(|(_, sink)| sink.spec.tantivy.is_some());
        let hold = |(number, sink): (usize, &SinkPlan)| {
            let failed = |source| RunError::Sink { name: sink.name.clone(), source };
            Ok((number, open(plan, sink, base, dead_letters, None).map_err(failed)?))
        };
        sinks.map(hold).collect()
    }

    /// Opens the store of each sink. `mark` gives what is recorded of a sink's store.
    pub(super) fn open(
        plan: &Plan,
        base: &Path,
        dead_letters: &Path,
        metrics: &Metrics,
        mark: impl Fn(&str) -> Option<String>,
        mut held: Held,
    ) -> Result<OpenStores, RunError> {
        let (mut writers, mut states) = (Vec::new(), Vec::new());
        let mut above = 0;
        for (number, sink) in plan.sinks.iter().enumerate() {
            if let Some(discard) = &sink.spec.discard {
                let metrics = metrics.sinks[number].1.clone();
                writers.push(Mutex::new(Store::Discard(discard.clone(), metrics)));
                states.push(Seen::default());
                continue;
            }
            let failed = |source| RunError::Sink { name: sink.name.clone(), source };
            let opened = match held.remove(&number) {
                Some(opened) => opened,
                None => open(plan, sink, base, dead_letters, mark(&sink.name).as_deref()).map_err(failed)?,
            };
            above = above.max(opened.above);
            states.push(Seen { store: opened.store, mark: opened.writer.mark() });
            writers.push(Mutex::new(Store::Single(Some(opened.writer))));
        }
        Ok(OpenStores { writers: Stores { writers }, states, above })
    }

    /// The stores of a process without worker 0: only those that every worker writes to.
    pub(super) fn elsewhere(plan: &Plan, metrics: &Metrics) -> Self {
        let store = |(number, sink): (usize, &SinkPlan)| {
            Mutex::new(match &sink.spec.discard {
                Some(discard) => Store::Discard(discard.clone(), metrics.sinks[number].1.clone()),
                None => Store::Single(None),
            })
        };
        Stores { writers: plan.sinks.iter().enumerate().map(store).collect() }
    }

    /// The writer of a sink for one worker.
    pub(super) fn placement(&self, sink: usize, worker: usize) -> Placement {
        match &mut *self.writers[sink].lock().expect("a panic would have ended the process") {
            Store::Single(writer) => Placement::Single(if worker == 0 { writer.take() } else { None }),
            Store::Discard(spec, metrics) => {
                Placement::EveryWorker(Box::new(Discard::new(spec.clone(), metrics.clone())))
            }
        }
    }
}

#[cfg_attr(
    not(any(feature = "elasticsearch", feature = "cassandra")),
    allow(unused_variables, reason = "servers need it")
)]
fn open(
    plan: &Plan,
    sink: &SinkPlan,
    base: &Path,
    dead_letters: &Path,
    mark: Option<&str>,
) -> Result<Opened, SinkError> {
    let at = |path: &str| resolve(base, path);
    let spec = &sink.spec;
    #[cfg(feature = "sqlite")]
    if let Some(sqlite) = &spec.sqlite {
        let detach = spec.on_lag.detach().map(|limit| limit.duration());
        return crate::sink::sqlite::open(&sink.name, &at(&sqlite.path), sqlite, detach);
    }
    #[cfg(feature = "tantivy")]
    if let Some(tantivy) = &spec.tantivy {
        return crate::sink::tantivy::open(&sink.name, &at(&tantivy.path), tantivy);
    }
    #[cfg(feature = "elasticsearch")]
    if let Some(elasticsearch) = &spec.elasticsearch {
        let layout = plan.layout(sink.from);
        return crate::sink::elasticsearch::open(&place(sink, &layout, base, dead_letters), elasticsearch);
    }
    #[cfg(feature = "cassandra")]
    if let Some(cassandra) = &spec.cassandra {
        let layout = plan.layout(sink.from);
        return crate::sink::cassandra::open(&place(sink, &layout, base, dead_letters), cassandra);
    }
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &spec.kafka {
        return crate::sink::kafka::open(&sink.name, kafka, &format!("flowstone-{}", kafka.topic));
    }
    if let Some(file) = &spec.file {
        return crate::sink::file::open(&sink.name, &at(&file.path));
    }
    if sink.is_dead_letters() {
        return crate::sink::file::open_documents(dead_letters, mark);
    }
    let kinds = [
        ("sqlite", spec.sqlite.is_some()),
        ("elasticsearch", spec.elasticsearch.is_some()),
        ("kafka", spec.kafka.is_some()),
        ("cassandra", spec.cassandra.is_some()),
    ];
    let kind = kinds.into_iter().find(|(_, is_it)| *is_it).map_or("tantivy", |(kind, _)| kind);
    Err(SinkError::Mismatch {
        object: format!("this build of flowstone, for sink {:?},", sink.name),
        difference: format!("it was built without the cargo feature {kind:?}; build it with that feature"),
    })
}

#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
fn place<'a>(sink: &'a SinkPlan, layout: &'a Layout, base: &'a Path, dead_letters: &'a Path) -> Place<'a> {
    let detach = sink.spec.on_lag.detach().map(|limit| limit.duration());
    Place { name: &sink.name, layout, base, dead_letters, detach }
}
