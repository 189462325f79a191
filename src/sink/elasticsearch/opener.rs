//! One index when it is opened: made, or compared with what it should be; and what is remembered in it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::schema;
use crate::pipeline::layout::Layout;
use crate::pipeline::remote::{Deletes, ElasticsearchSink};
use crate::sink::SinkError;

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

impl Restore {
    /// Those of an index that is there.
    pub fn found(index: &Value) -> Self {
        let settings = &index["settings"]["index"];
        let text = |name: &str| settings[name].as_str().map(str::to_owned);
        Restore { refresh_interval: text("refresh_interval"), number_of_replicas: text("number_of_replicas") }
    }

    /// Those that indexes would have been made with.
    pub fn of(spec: &ElasticsearchSink) -> Self {
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
    pub async fn get(&self) -> Result<Option<Value>, SinkError> {
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

    /// Makes it; a head has one shard.
    pub async fn make(&self, is_head: bool) -> Result<Value, SinkError> {
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
