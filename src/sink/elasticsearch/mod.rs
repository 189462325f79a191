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
//! | `opener` | one index when it is opened: made or compared; what is remembered in it |
//! | `members` | the same of several indexes, which one remembers |
//! | `index` | the index that a run owns: its identity, its owner, its upper |
//! | `routes` | which of several indexes a row is in |
//! | `schema` | settings and mapping |
//! | `view` | all documents as of one moment, page by page: for sweeps, and for searches |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fail::fail_point;
use reqwest::Method;
use serde_json::{Value, json};

use self::batch::{BatchBuilder, Target};
use self::client::{Access, Client};
use self::index::{Found, OwnedIndex};
use self::opener::Restore;
use self::routes::Routes;
use self::sender::{Delivered, Sender};
use self::view::{Page, View};
use super::ledger::{Ledger, Told, Turn};
use super::refused::{Refusal, Refusals, Remedy};
use super::requests::{LOOK_EVERY, Requests, patience};
use super::{Change, Opened, Place, SinkError, StoreState, Sweep, Writer};
use crate::pipeline::remote::{Deletes, ElasticsearchSink};
use crate::record::Renderer;

mod batch;
pub(crate) mod client;
mod index;
mod members;
mod opener;
mod outcome;
mod routes;
pub(crate) mod schema;
mod sender;
#[cfg(test)]
mod tests;
pub(crate) mod view;

/// Documents of one page of a sweep.
const PAGE: usize = 5_000;

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
    let requests = Requests::new(place.name).map_err(|error| SinkError::store("open", &object, error))?;
    let mismatch = |difference| SinkError::Mismatch { object: object.clone(), difference };
    let routes = spec.index.parse().and_then(|name| Routes::of(&name, place.layout)).map_err(mismatch)?;
    let found = requests.block_on(index::open(&client, spec, place.layout, patience(place.detach)))?;
    let refusals_path = super::refused::path(place.dead_letters, place.name);
    let refusals = Refusals::new(place.name, &object, refusals_path, spec.on_refused, spec.max_refused);
    let Found { index, meta, is_populated } = found;
    let members = if routes.is_some() { meta.members.into_keys().collect() } else { [index.name.clone()].into() };
    let store = StoreState { id: index.uuid.clone(), upper: meta.upper };
    let ledger = Ledger::new(Told { upper: meta.upper, above: meta.above });
    let above = ledger.opened_above();
    let writer = ElasticsearchWriter {
        object,
        requests,
        sender: Arc::new(Sender::new(client, index, spec.in_flight, spec.bulk.0)),
        batch: BatchBuilder::new(spec.deletes == Deletes::Tombstone),
        ledger,
        refusals,
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
    requests: Requests<Answered>,
    sender: Arc<Sender>,
    batch: BatchBuilder,
    ledger: Ledger,
    refusals: Refusals,
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

impl ElasticsearchWriter {
    fn index(&self) -> &OwnedIndex {
        &self.sender.index
    }

    /// Puts what was put together on its way, once there is room.
    fn submit(&mut self) -> Result<(), SinkError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.requests.on_their_way() >= self.sender.limit() {
            self.wait()?;
        }
        let (batch, sender) = (self.batch.take(), self.sender.clone());
        self.requests.send(async move { sender.deliver(batch).await });
        Ok(())
    }

    /// Waits for an answer.
    fn wait(&mut self) -> Result<(), SinkError> {
        let answered = self.requests.wait();
        self.take(answered)
    }

    /// Takes what was answered.
    fn look(&mut self) -> Result<(), SinkError> {
        while let Some(answered) = self.requests.look() {
            self.take(answered)?;
        }
        Ok(())
    }

    fn take(&mut self, answered: Answered) -> Result<(), SinkError> {
        let Delivered { epochs, refused } = answered?;
        for (refusal, index) in &refused {
            if self.refusals.take(refusal)? == Remedy::Delete {
                self.ledger.epochs.again(refusal.epoch);
                self.batch.delete_id(index.as_deref(), &refusal.key, refusal.epoch, true);
            }
        }
        for (epoch, count) in epochs {
            self.ledger.epochs.acknowledged(epoch, count);
        }
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        self.refusals.finished(self.ledger.advance());
    }

    /// Sends everything and waits for all of it.
    fn drain(&mut self) -> Result<(), SinkError> {
        loop {
            self.submit()?;
            if self.requests.on_their_way() == 0 && self.batch.is_empty() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Keeps with the index what is true now.
    fn tell(&mut self, told: Told) -> Result<(), SinkError> {
        let restored = self.restore.is_none();
        self.requests.block_on(self.sender.index.update(&self.sender.client, |meta| {
            (meta.upper, meta.above) = (told.upper, told.above);
            if restored {
                meta.restore = None;
            }
        }))?;
        self.ledger.was_told(told);
        Ok(())
    }

    /// Before anything of an epoch is written, the index knows that there may be versions so high.
    fn reserve(&mut self, epoch: u64) -> Result<(), SinkError> {
        self.ledger.before(epoch).map_or(Ok(()), |told| self.tell(told))
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
            let mut view = self.requests.block_on(View::open(&self.sender.client, name, patience))?;
            let is_whole = loop {
                let page = self.requests.block_on(view.next(&self.sender.client, &search))?;
                let Page::Hits(hits) = page else { break false };
                for id in hits.iter().filter(is_older).filter_map(|hit| hit["_id"].as_str()) {
                    self.ledger.epochs.wrote(epoch, 1);
                    self.batch.delete_id(index, id, epoch, false);
                }
                if self.batch.bytes() >= self.sender.bulk_bytes() {
                    self.submit()?;
                }
                if hits.len() < PAGE {
                    break true;
                }
            };
            self.requests.block_on(view.close(&self.sender.client));
            self.drain()?;
            if is_whole {
                return Ok(());
            }
            tracing::warn!("{} has lost the view that a sweep goes through; it is begun again", self.object);
        }
    }

    fn ask(&self, name: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Value, SinkError> {
        self.requests.block_on(self.index().ask(&self.sender.client, name, method, path, body))
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
            self.requests.block_on(self.sender.index.add(&self.sender.client, index, is_first_fill))?;
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
        self.ledger.epochs.acknowledged(epoch, 1);
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
        self.ledger.epochs.wrote(epoch, changes.len());
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
        self.ledger.epochs.close(epoch);
        let first = self.restore.is_some();
        if sweep == Sweep::Older || first {
            self.drain()?;
            self.advance();
            self.restore()?;
            fail_point!("sink-before-commit");
            self.tell(self.ledger.after_fill())?;
            fail_point!("sink-after-commit");
        }
        self.is_populated = true;
        self.look()?;
        self.advance();
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.ledger.durable_upper()
    }

    /// What the index says itself when it is opened: it is told later.
    fn mark(&self) -> Option<String> {
        Some(self.ledger.told().upper.to_string())
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        self.look()?;
        self.submit()?;
        if self.requests.on_their_way() > 0 {
            return Ok(Some(LOOK_EVERY));
        }
        match self.ledger.turn(Instant::now()) {
            Turn::Nothing => Ok(None),
            Turn::In(left) => Ok(Some(left)),
            Turn::Tell(told) => self.tell(told).map(|()| None),
        }
    }

    /// What was not closed is left: it is written again, with the same versions.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.drain()?;
        self.advance();
        self.ledger.at_the_end().map_or(Ok(()), |told| self.tell(told))
    }
}
