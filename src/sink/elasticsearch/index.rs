//! The index as the server has it: owned by one run, which keeps in it what is to be remembered.
//!
//! Beside its documents an index has room for a few words of its own, `_meta` of its mapping. There the sink keeps which run
//! owns it (law L6), up to where it was written (L13), below which epoch all versions in it are, and which settings a fill
//! has to restore. They are the server's state and not documents: nobody finds them, and copies of the index have them too.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::client::{Answer, Client};
use super::members::Members;
use super::opener::{Meta, OPEN_PATIENCE, Opener, Restore};
use super::schema;
use crate::pipeline::index_name::IndexName;
use crate::pipeline::layout::Layout;
use crate::pipeline::remote::ElasticsearchSink;
use crate::sink::SinkError;
use crate::sink::identity::random_id;

/// A proof of ownership is good for so long (law L6).
const PROOF: Duration = Duration::from_secs(5);

/// More indexes than this would keep a cluster busy with themselves.
const MOST: usize = 1_000;

/// An index that this run owns, and with it those that are remembered in it.
pub(super) struct OwnedIndex {
    pub name: String,
    pub uuid: String,
    /// If the rows are in several others.
    pub members: Option<Members>,
    /// What others keep in `_meta`.
    others: Value,
    held: Mutex<Held>,
    patience: Option<Duration>,
}

struct Held {
    meta: Meta,
    proved: Instant,
}

/// What is known of an index when it is opened.
pub(super) struct Found {
    pub index: OwnedIndex,
    pub meta: Meta,
    /// Whether it may have documents.
    pub is_populated: bool,
}

/// Opens or makes the index. `patience` is how long a server may not answer later on.
pub(super) async fn open(
    client: &Client,
    spec: &ElasticsearchSink,
    layout: &Layout,
    patience: Option<Duration>,
) -> Result<Found, SinkError> {
    let name: IndexName = spec
        .index
        .parse()
        .map_err(|difference| SinkError::Mismatch { object: client.object().to_owned(), difference })?;
    let is_head = name.bucket().is_some();
    let opener = Opener { client, spec, layout, name: name.head() };
    let found = match opener.get().await? {
        Some(found) => found,
        None => opener.make(is_head).await?,
    };
    opener.check(&found, is_head).await?;
    // What an unfinished fill has written is not shown by itself.
    opener.ask(Method::POST, "/_refresh", None).await?;
    let count = opener.ask(Method::GET, "/_count", None).await?["count"].as_u64().unwrap_or(0);
    let mut meta = match found["mappings"]["_meta"].get("flowstone") {
        Some(meta) => serde_json::from_value(meta.clone())
            .map_err(|error| opener.mismatch(format!("what it says of itself is not ours: {error}")))?,
        None if count > 0 => {
            return Err(opener.mismatch(format!(
                "it holds {count} documents that flowstone has not written, and would delete; name another index, or empty it"
            )));
        }
        None => Meta::default(),
    };
    meta.owner = random_id();
    meta.fields = schema::described(spec, layout);
    let uuid = found["settings"]["index"]["uuid"].as_str().unwrap_or_default().to_owned();
    let members = Members::of(&opener, &name, &uuid, &meta.fields);
    if let Some(members) = &members {
        members.reconcile(&opener, &mut meta).await?;
    }
    if meta.upper == 0 && count == 0 && meta.members.is_empty() && meta.restore.is_none() {
        meta.restore = Some(if is_head { Restore::of(spec) } else { Restore::found(&found) });
    }
    let mut others = found["mappings"]["_meta"].clone();
    if let Some(others) = others.as_object_mut() {
        others.remove("flowstone");
    }
    let held = Mutex::new(Held { meta: meta.clone(), proved: Instant::now() });
    let index = OwnedIndex { name: name.head(), uuid, members, others, held, patience: Some(OPEN_PATIENCE) };
    index.put(client, &meta).await?;
    if meta.restore.is_some() && meta.upper == 0 && !is_head {
        let fill = json!({ "index": { "refresh_interval": "-1", "number_of_replicas": 0 } });
        opener.ask(Method::PUT, "/_settings", Some(&fill)).await?;
    }
    let is_populated = count > 0 || meta.above > 0;
    Ok(Found { index: OwnedIndex { patience, ..index }, meta, is_populated })
}

impl OwnedIndex {
    /// Returns once it is proved, not longer than 5 s ago, that this run owns the index.
    pub async fn ensure_owned(&self, client: &Client) -> Result<(), SinkError> {
        let mut held = self.held.lock().await;
        if held.proved.elapsed() >= PROOF {
            self.prove(client, &mut held).await?;
        }
        Ok(())
    }

    async fn prove(&self, client: &Client, held: &mut MutexGuard<'_, Held>) -> Result<(), SinkError> {
        let asked = Instant::now();
        let filter = "*.mappings._meta.flowstone.owner,*.settings.index.uuid";
        let path = match &self.members {
            Some(members) => members.path(filter),
            None => format!("/{}?filter_path={filter}", self.name),
        };
        let answer: Answer = client.ask(Method::GET, &path, None, self.patience).await?;
        let object = client.object().to_owned();
        if !answer.status.is_success() {
            return Err(client.gone(&answer.reason()));
        }
        let found: Value =
            serde_json::from_slice(&answer.body).map_err(|error| SinkError::store("read", &object, error))?;
        if let Some(lost) = self.members.as_ref().and_then(|members| members.lost(&held.meta.members, &found)) {
            let difference = format!("its index {lost:?} was deleted while this run wrote it");
            return Err(SinkError::Mismatch { object, difference });
        }
        let found = &found[&self.name];
        if found["settings"]["index"]["uuid"] != self.uuid.as_str() {
            let difference = "it was deleted and made anew while this run wrote it".to_owned();
            return Err(SinkError::Mismatch { object, difference });
        }
        if found["mappings"]["_meta"]["flowstone"]["owner"] != held.meta.owner.as_str() {
            return Err(SinkError::Fenced { object });
        }
        held.proved = asked;
        Ok(())
    }

    /// Changes what is kept with the index.
    pub async fn update(&self, client: &Client, change: impl FnOnce(&mut Meta)) -> Result<(), SinkError> {
        let mut held = self.held.lock().await;
        self.prove(client, &mut held).await?;
        let mut meta = held.meta.clone();
        change(&mut meta);
        self.put(client, &meta).await?;
        held.meta = meta;
        Ok(())
    }

    async fn put(&self, client: &Client, meta: &Meta) -> Result<(), SinkError> {
        let mut all = if self.others.is_object() { self.others.clone() } else { json!({}) };
        all["flowstone"] = serde_json::to_value(meta).expect("plain data");
        let path = format!("/{}/_mapping", self.name);
        client.get_json("write to", Method::PUT, &path, Some(&json!({ "_meta": all })), self.patience).await.map(drop)
    }

    /// The indexes that are remembered.
    pub async fn members_known(&self) -> Vec<String> {
        self.held.lock().await.meta.members.keys().cloned().collect()
    }

    /// A call to one of the indexes.
    pub async fn ask(
        &self,
        client: &Client,
        name: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SinkError> {
        let path = format!("/{name}{path}");
        client.get_json("write to", method, &path, body, self.patience).await
    }

    /// How long the server may not answer.
    pub fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Makes one of several indexes, unless it is there, and remembers it. For a first fill one that is not searched yet.
    pub async fn add(&self, client: &Client, name: &str, is_first_fill: bool) -> Result<(), SinkError> {
        let members = self.members.as_ref().expect("a sink of one index adds none");
        // Whoever was fenced makes no indexes either.
        self.ensure_owned(client).await?;
        if self.members_known().await.len() >= MOST {
            let said =
                format!("it would have more than {MOST} indexes with {name:?}; divide by more time, such as {{month}}");
            return Err(SinkError::store("write to", client.object(), said));
        }
        let mut body = members.body.clone();
        if is_first_fill {
            let settings = &mut body["settings"]["index"];
            (settings["refresh_interval"], settings["number_of_replicas"]) = (json!("-1"), json!(0));
        }
        let answer = client.ask(Method::PUT, &format!("/{name}"), Some(&body), self.patience()).await?;
        // An earlier run may have made it and not come to remember it.
        if !answer.status.is_success() && !answer.reason().starts_with("resource_already_exists_exception") {
            return Err(SinkError::store("make an index of", client.object(), answer.reason()));
        }
        let found = self.ask(client, name, Method::GET, "", None).await?;
        let found = &found[name];
        if found["mappings"]["_meta"]["flowstone"]["store"] != self.uuid.as_str() {
            let difference = format!("the index {name:?} is there, and this sink has not made it; delete it");
            return Err(SinkError::Mismatch { object: client.object().to_owned(), difference });
        }
        let uuid = found["settings"]["index"]["uuid"].as_str().unwrap_or_default().to_owned();
        self.update(client, |meta| {
            meta.members.insert(name.to_owned(), uuid);
        })
        .await
    }
}
