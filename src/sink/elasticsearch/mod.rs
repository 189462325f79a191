//! An index of Elasticsearch or OpenSearch: a document a row, exactly what the collection holds as of the sink's upper.
//!
//! | of a document | holds |
//! |---|---|
//! | `_id` | the row key, a compact JSON array: `["a7",4000000000]`; beyond 512 bytes its beginning and a hash |
//! | `_version` | the newest epoch that touched the key, compared by the server (`external_gte`) |
//! | `_source` | the document |
//!
//! There are no transactions, so nothing depends on order: a write or a deletion is refused by the server if a newer one is
//! there, which is as good as written (409). Rows of several epochs go in one request, several requests are on their way at
//! once, and what fails in one is sent again by itself. An epoch is acknowledged when each of its items has a final outcome.
//! Readers may see half an epoch, and never an older document in the place of a newer one.
//!
//! | file | what it owns |
//! |---|---|
//! | this one | the writer: which request holds what, and what is acknowledged |
//! | `batch` | requests, and parts of them |
//! | `sender` | a request until each item has its outcome: retries, splitting, back-off |
//! | `outcome` | what the server says of each item |
//! | `client` | nodes, credentials, TLS, compression |
//! | `index` | the index: made or checked, its identity, its owner, its upper |
//! | `members` | the same of several indexes, which one remembers |
//! | `routes` | which of several indexes a row is in |
//! | `schema` | settings and mapping |
//! | `view` | all documents as of one moment, page by page: for sweeps, and for searches |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::time::{Duration, Instant};

use fail::fail_point;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::batch::{BatchBuilder, Target};
use self::client::{Access, Client};
use self::index::{Found, OwnedIndex, Restore};
use self::routes::Routes;
use self::sender::{Delivered, Sender};
use self::view::{Page, View};
use super::epochs::Epochs;
use super::refused::{Refusal, Refusals, Remedy};
use super::{Change, Opened, Place, SinkError, StoreState, Sweep, Writer};
use crate::pipeline::remote::{Deletes, ElasticsearchSink};
use crate::record::Renderer;

mod batch;
pub(crate) mod client;
mod index;
mod members;
mod outcome;
mod routes;
pub(crate) mod schema;
mod sender;
#[cfg(test)]
mod tests;
pub(crate) mod view;

/// How far above an epoch the bound is set that all versions are below: once in so many milliseconds it is written anew.
const AHEAD: u64 = 10_000;

/// How often the index is told its upper, while it grows.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often the writer looks at what was answered while it has nothing else to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Documents of one page of a sweep.
const PAGE: usize = 5_000;

/// Beyond the time after which a sink is detached, its thread need not try for ever.
const AFTER_DETACHING: Duration = Duration::from_secs(60);

/// Opens the index that `spec` describes; makes what is missing if it says so.
///
/// # Errors
/// [`SinkError::Mismatch`] if the index exists and is another one than is needed, or is missing; [`SinkError::Store`] if
/// the server can not be reached or refuses.
pub(crate) fn open(place: &Place<'_>, spec: &ElasticsearchSink) -> Result<Opened, SinkError> {
    let urls = spec.url.as_slice().to_vec();
    let object = format!("elasticsearch sink {:?} (index {:?} at {})", place.name, spec.index, urls.join(", "));
    let ca = spec.ca.as_ref().map(|ca| std::fs::read(crate::pipeline::resolve(place.base, ca)));
    let ca = ca.transpose().map_err(|error| SinkError::store("read the certificate `ca` of", &object, error))?;
    let (api_key, user, password) = (spec.api_key.clone(), spec.user.clone(), spec.password.clone());
    let client = Client::new(&object, &Access { urls, api_key, user, password, ca, gzip: spec.gzip })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(format!("requests {}", place.name))
        .enable_all()
        .build()
        .map_err(|error| SinkError::store("open", &object, error))?;
    let patience = place.detach.map(|limit| limit.saturating_add(AFTER_DETACHING));
    let mismatch = |difference| SinkError::Mismatch { object: object.clone(), difference };
    let routes = spec.index.parse().and_then(|name| Routes::of(&name, place.layout)).map_err(mismatch)?;
    let found = runtime.block_on(index::open(&client, spec, place.layout, patience))?;
    let refusals_path = super::refused::path(place.dead_letters, place.name);
    let refusals = Refusals::new(place.name, &object, refusals_path, spec.on_refused, spec.max_refused);
    let Found { index, meta, is_populated } = found;
    let members = if routes.is_some() { meta.members.into_keys().collect() } else { [index.name.clone()].into() };
    let store = StoreState { id: index.uuid.clone(), upper: meta.upper };
    let (answers, answered) = channel();
    let above = meta.above.max(meta.upper);
    let writer = ElasticsearchWriter {
        object,
        runtime,
        sender: Arc::new(Sender::new(client, index, spec.in_flight, spec.bulk.0)),
        answers,
        answered,
        in_flight: 0,
        batch: BatchBuilder::new(spec.deletes == Deletes::Tombstone),
        epochs: Epochs::new(meta.upper),
        refusals,
        durable_upper: meta.upper,
        told: Told { upper: meta.upper, above: meta.above, at: Instant::now() },
        opened_above: above,
        restore: meta.restore,
        is_populated,
        routes,
        members,
        renderer: Renderer::default(),
        key: Vec::new(),
    };
    Ok(Opened { writer: Box::new(writer), above, store: Some(store) })
}

type Answered = Result<Delivered, SinkError>;

struct ElasticsearchWriter {
    /// The sink and the store, for errors.
    object: String,
    runtime: Runtime,
    sender: Arc<Sender>,
    answers: Channel<Answered>,
    answered: Receiver<Answered>,
    /// Requests on their way.
    in_flight: usize,
    batch: BatchBuilder,
    epochs: Epochs,
    refusals: Refusals,
    durable_upper: u64,
    told: Told,
    /// All versions of earlier runs are below.
    opened_above: u64,
    /// What the first fill has to restore.
    restore: Option<Restore>,
    /// Whether the index may hold documents of earlier epochs.
    is_populated: bool,
    /// If the rows are in several indexes.
    routes: Option<Routes>,
    /// The indexes that hold documents.
    members: BTreeSet<String>,
    renderer: Renderer,
    key: Vec<u8>,
}

/// What the index was told of itself.
struct Told {
    upper: u64,
    above: u64,
    at: Instant,
}

impl ElasticsearchWriter {
    fn index(&self) -> &OwnedIndex {
        &self.sender.index
    }

    /// Puts what was put together on its way, once there is room.
    fn submit(&mut self) -> Result<(), SinkError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.in_flight >= self.sender.limit() {
            self.wait()?;
        }
        let (batch, sender, answers) = (self.batch.take(), self.sender.clone(), self.answers.clone());
        self.in_flight += 1;
        self.runtime.spawn(async move {
            // Without a receiver the writer is gone.
            let _ = answers.send(sender.deliver(batch).await);
        });
        Ok(())
    }

    /// Waits for an answer.
    fn wait(&mut self) -> Result<(), SinkError> {
        let answered = self.answered.recv().expect("the writer has a sender itself");
        self.take(answered)
    }

    /// Takes what was answered.
    fn look(&mut self) -> Result<(), SinkError> {
        while let Ok(answered) = self.answered.try_recv() {
            self.take(answered)?;
        }
        Ok(())
    }

    fn take(&mut self, answered: Answered) -> Result<(), SinkError> {
        self.in_flight -= 1;
        let Delivered { epochs, refused } = answered?;
        for (refusal, index) in &refused {
            if self.refusals.take(refusal)? == Remedy::Delete {
                self.epochs.again(refusal.epoch);
                self.batch.delete_id(index.as_deref(), &refusal.key, refusal.epoch, true);
            }
        }
        for (epoch, count) in epochs {
            self.epochs.acknowledged(epoch, count);
        }
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        self.durable_upper = self.durable_upper.max(self.epochs.upper());
        self.refusals.finished(self.durable_upper);
    }

    /// Sends everything and waits for all of it.
    fn drain(&mut self) -> Result<(), SinkError> {
        loop {
            self.submit()?;
            if self.in_flight == 0 && self.batch.is_empty() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Keeps with the index what is true now; `above` bounds the versions in it.
    fn tell(&mut self, upper: u64, above: u64) -> Result<(), SinkError> {
        let restored = self.restore.is_none();
        self.runtime.block_on(self.sender.index.update(&self.sender.client, |meta| {
            (meta.upper, meta.above) = (upper, above);
            if restored {
                meta.restore = None;
            }
        }))?;
        self.told = Told { upper, above, at: Instant::now() };
        Ok(())
    }

    /// Before anything of an epoch is written, the index knows that there may be versions so high.
    fn reserve(&mut self, epoch: u64) -> Result<(), SinkError> {
        if epoch >= self.told.above {
            self.tell(self.durable_upper, epoch.saturating_add(AHEAD))?;
        }
        Ok(())
    }

    /// Deletes documents with older versions than `epoch`, at that version: neither does a newer document go nor an older
    /// one come back. The versions are in no index of the server, so that all of them are looked at.
    fn sweep(&mut self, epoch: u64, name: &str) -> Result<(), SinkError> {
        let search = json!({
            "size": PAGE, "version": true, "_source": false,
            "query": { "bool": { "must_not": { "term": { "_deleted": true } } } },
        });
        let is_older = |hit: &&Value| hit["_version"].as_u64().is_some_and(|version| version < epoch);
        let index = self.routes.is_some().then_some(name);
        loop {
            self.ask(name, Method::POST, "/_refresh", None)?;
            let patience = self.index().patience();
            let mut view = self.runtime.block_on(View::open(&self.sender.client, name, patience))?;
            let is_whole = loop {
                let page = self.runtime.block_on(view.next(&self.sender.client, &search))?;
                let Page::Hits(hits) = page else { break false };
                for id in hits.iter().filter(is_older).filter_map(|hit| hit["_id"].as_str()) {
                    self.epochs.wrote(epoch, 1);
                    self.batch.delete_id(index, id, epoch, false);
                }
                if self.batch.bytes() >= self.sender.bulk_bytes() {
                    self.submit()?;
                }
                if hits.len() < PAGE {
                    break true;
                }
            };
            self.runtime.block_on(view.close(&self.sender.client));
            self.drain()?;
            if is_whole {
                return Ok(());
            }
            tracing::warn!("{} has lost the view that a sweep goes through; it is begun again", self.object);
        }
    }

    fn ask(&self, name: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Value, SinkError> {
        self.runtime.block_on(self.index().ask(&self.sender.client, name, method, path, body))
    }

    /// Puts a change into a request.
    fn put(&mut self, epoch: u64, key: &str, change: &Change) -> Result<(), SinkError> {
        let index = match self.routes.as_ref().map(|routes| routes.index(change.row(), key)) {
            None => None,
            Some(Ok(index)) => Some(index),
            Some(Err(reason)) => return self.refuse(epoch, key, change, reason),
        };
        if let Some(index) = index.as_ref().filter(|index| !self.members.contains(*index)) {
            let is_first_fill = self.restore.is_some();
            self.runtime.block_on(self.sender.index.add(&self.sender.client, index, is_first_fill))?;
            self.members.insert(index.clone());
        }
        let target = Target { index: index.as_deref(), key };
        match change.after() {
            Some(row) => {
                let renderer = &mut self.renderer;
                self.batch.index(target, epoch, |out| renderer.document(row, out));
            }
            None => self.batch.delete(target, epoch),
        }
        Ok(())
    }

    /// A row that can be in no index, and never was in one.
    fn refuse(&mut self, epoch: u64, key: &str, change: &Change, reason: String) -> Result<(), SinkError> {
        self.epochs.acknowledged(epoch, 1);
        let Some(row) = change.after() else { return Ok(()) };
        let mut document = Vec::new();
        self.renderer.document(row, &mut document);
        self.refusals.take(&Refusal { key: key.to_owned(), epoch, reason, document }).map(drop)
    }

    /// Undoes what the first fill has changed.
    fn restore(&mut self) -> Result<(), SinkError> {
        let Some(restore) = self.restore.take() else { return Ok(()) };
        let Restore { refresh_interval, number_of_replicas } = restore;
        let settings =
            json!({ "index": { "refresh_interval": refresh_interval, "number_of_replicas": number_of_replicas } });
        for name in &self.members {
            self.ask(name, Method::PUT, "/_settings", Some(&settings))?;
            self.ask(name, Method::POST, "/_refresh", None)?;
        }
        Ok(())
    }
}

impl Writer for ElasticsearchWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        self.reserve(epoch)?;
        self.epochs.wrote(epoch, changes.len());
        for change in changes.drain(..) {
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            change.row().write_key(&mut key);
            self.put(epoch, std::str::from_utf8(&key).expect("a key is JSON text"), &change)?;
            self.key = key;
            if self.batch.bytes() >= self.sender.bulk_bytes() {
                self.submit()?;
            }
        }
        self.look()
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        self.reserve(epoch)?;
        if sweep == Sweep::Older {
            self.drain()?;
            if self.is_populated {
                fail_point!("sink-sweep");
                for name in self.members.clone() {
                    self.sweep(epoch, &name)?;
                }
            }
        }
        self.epochs.close(epoch);
        let first = self.restore.is_some();
        if sweep == Sweep::Older || first {
            self.drain()?;
            self.advance();
            self.restore()?;
            fail_point!("sink-before-commit");
            self.tell(self.durable_upper, self.told.above)?;
            fail_point!("sink-after-commit");
        }
        self.is_populated = true;
        self.look()?;
        self.advance();
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.durable_upper
    }

    /// What the index says itself when it is opened: it is told later.
    fn mark(&self) -> Option<String> {
        Some(self.told.upper.to_string())
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        self.look()?;
        self.submit()?;
        if self.in_flight > 0 {
            return Ok(Some(LOOK_EVERY));
        }
        if self.durable_upper == self.told.upper {
            return Ok(None);
        }
        let passed = self.told.at.elapsed();
        if passed < TELL_EVERY {
            return Ok(Some(TELL_EVERY - passed));
        }
        self.tell(self.durable_upper, self.told.above)?;
        Ok(None)
    }

    /// What was not closed is left: it is written again, with the same versions.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.drain()?;
        self.advance();
        // Only above what earlier runs may have written is known what is there.
        let above = Some(self.epochs.above()).filter(|above| *above >= self.opened_above);
        let above = above.map_or(self.told.above, |above| above.min(self.told.above));
        if (self.told.upper, self.told.above) != (self.durable_upper, above) {
            self.tell(self.durable_upper, above)?;
        }
        Ok(())
    }
}
