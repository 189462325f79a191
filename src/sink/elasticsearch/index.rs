//! The index as the server has it: made or checked at the start, owned by one run, and what is remembered in it.
//!
//! Beside its documents an index has room for a few words of its own, `_meta` of its mapping. There the sink keeps which run
//! owns it (law L6), up to where it was written (L13), below which epoch all versions in it are, and which settings a fill
//! has to restore. They are the server's state and not documents: nobody finds them, and copies of the index have them too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::client::{Answer, Client};
use super::members::Members;
use super::schema;
use crate::pipeline::index_name::IndexName;
use crate::pipeline::layout::Layout;
use crate::pipeline::remote::{Deletes, ElasticsearchSink};
use crate::sink::SinkError;
use crate::sink::identity::random_id;

/// A proof of ownership is good for so long (law L6).
const PROOF: Duration = Duration::from_secs(5);

/// How long a run waits for a server that does not answer before it has begun.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(30);

/// What the sink keeps with the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The run that may write, a random name.
    pub owner: String,
    /// All epochs below are in the index; there may be more.
    pub upper: u64,
    /// All versions in the index are below.
    pub above: u64,
    /// The settings to go back to after the first fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// What a search must know, see [`schema::described`].
    #[serde(default)]
    pub fields: Value,
    /// What decides of a row's index, if there are several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// The UUIDs of these, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, String>,
}

/// Settings that a fill changes; `None` is the server's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restore {
    pub refresh_interval: Option<String>,
    pub number_of_replicas: Option<String>,
}

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

impl Restore {
    /// Those of an index that is there.
    fn found(index: &Value) -> Self {
        let settings = &index["settings"]["index"];
        let text = |name: &str| settings[name].as_str().map(str::to_owned);
        Restore { refresh_interval: text("refresh_interval"), number_of_replicas: text("number_of_replicas") }
    }

    /// Those that indexes would have been made with.
    fn of(spec: &ElasticsearchSink) -> Self {
        let refresh_interval = spec.refresh.map(|refresh| format!("{}ms", refresh.duration().as_millis()));
        Restore { refresh_interval, number_of_replicas: spec.replicas.map(|replicas| replicas.to_string()) }
    }
}

/// Opens one index.
pub(super) struct Opener<'a> {
    pub client: &'a Client,
    pub spec: &'a ElasticsearchSink,
    pub layout: &'a Layout,
    pub name: String,
}

impl Opener<'_> {
    pub fn mismatch(&self, difference: impl Into<String>) -> SinkError {
        SinkError::Mismatch { object: self.client.object().to_owned(), difference: difference.into() }
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, SinkError> {
        let path = format!("/{}{path}", self.name);
        self.client.get_json("open", method, &path, body, Some(OPEN_PATIENCE)).await
    }

    /// The index, if there is one.
    async fn get(&self) -> Result<Option<Value>, SinkError> {
        let path = format!("/{}", self.name);
        let answer = self.client.ask(Method::GET, &path, None, Some(OPEN_PATIENCE)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(SinkError::store("open", self.client.object(), answer.reason()));
        }
        let mut found: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| self.mismatch("what answers at its url is no Elasticsearch and no OpenSearch"))?;
        let found = found.as_object_mut().and_then(|found| found.iter_mut().next().map(|(n, v)| (n.clone(), v.take())));
        match found {
            Some((name, index)) if name == self.name => Ok(Some(index)),
            Some((name, _)) => Err(self.mismatch(format!(
                "its index is an alias of {name:?}; name the index itself, and the alias as `alias`"
            ))),
            None => Ok(None),
        }
    }

    async fn make(&self, is_head: bool) -> Result<Value, SinkError> {
        if !self.spec.create {
            let difference = "there is no such index; make it, or let flowstone make it: create: true";
            return Err(self.mismatch(difference));
        }
        let mut body = schema::index_body(self.spec, self.layout);
        if is_head {
            body["settings"]["index"]["number_of_shards"] = json!(1);
        }
        let path = format!("/{}", self.name);
        let answer = self.client.ask(Method::PUT, &path, Some(&body), Some(OPEN_PATIENCE)).await?;
        // A first attempt whose answer was lost may have made it.
        let made = answer.status.is_success() || answer.reason().starts_with("resource_already_exists_exception");
        if !made {
            return Err(SinkError::store("make", self.client.object(), answer.reason()));
        }
        self.get().await?.ok_or_else(|| self.mismatch("it was made, and is not there"))
    }

    /// Compares mapping and settings; mends what may be mended. A head without documents is in no alias.
    pub async fn check(&self, found: &Value, is_head: bool) -> Result<(), SinkError> {
        let expected = schema::mapping(self.spec, self.layout);
        let differences = schema::differences(&expected, &found["mappings"]);
        let all_missing = differences.iter().all(|difference| matches!(difference, schema::Difference::Missing(_)));
        if !differences.is_empty() && self.spec.create && all_missing {
            self.ask(Method::PUT, "/_mapping", Some(&json!({ "properties": expected["properties"] }))).await?;
        } else if !differences.is_empty() {
            let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
            return Err(self.mismatch(all.join("; ")));
        }
        let settings = &found["settings"]["index"];
        if settings["translog"]["durability"] == "async" {
            tracing::warn!(
                "{} may lose what it has acknowledged when it fails: its translog is written later (index.translog.durability)",
                self.client.object()
            );
        }
        if self.spec.deletes == Deletes::Remove {
            self.check_memory(&settings["gc_deletes"]).await?;
        }
        if is_head { Ok(()) } else { self.check_alias(found).await }
    }

    /// How long the index remembers deletions.
    async fn check_memory(&self, found: &Value) -> Result<(), SinkError> {
        let wanted = self.spec.gc_deletes;
        let found = found.as_str().and_then(|text| text.parse::<crate::pipeline::units::Span>().ok());
        if found.is_some_and(|found| found >= wanted) {
            return Ok(());
        }
        if self.spec.create {
            let settings = json!({ "index": { "gc_deletes": format!("{}ms", wanted.duration().as_millis()) } });
            self.ask(Method::PUT, "/_settings", Some(&settings)).await?;
        } else {
            let found = found.map_or_else(|| "60s".to_owned(), |found| found.to_string());
            tracing::warn!(
                "{} forgets deletions after {found} (index.gc_deletes), and not after {wanted}: an older write that comes later \
                 than that would bring a document back",
                self.client.object()
            );
        }
        Ok(())
    }

    async fn check_alias(&self, found: &Value) -> Result<(), SinkError> {
        let Some(alias) = &self.spec.alias else { return Ok(()) };
        let filter = schema::alias_filter(self.spec);
        let there = &found["aliases"][alias];
        if there.is_object() && there.get("filter") == filter.as_ref() {
            return Ok(());
        }
        if !self.spec.create {
            let difference = if there.is_object() { "has another filter" } else { "is missing" };
            let wanted = filter.map_or_else(|| "no filter".to_owned(), |filter| format!("the filter {filter}"));
            return Err(self.mismatch(format!("its alias {alias:?} {difference}; it needs {wanted}")));
        }
        let mut add = json!({ "index": self.name, "alias": alias });
        if let Some(filter) = filter {
            add["filter"] = filter;
        }
        let actions = json!({ "actions": [{ "add": add }] });
        self.client.get_json("open", Method::POST, "/_aliases", Some(&actions), Some(OPEN_PATIENCE)).await.map(drop)
    }
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
}
