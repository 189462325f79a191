//! The same questions to an index of Elasticsearch or OpenSearch that a sink has written.
//!
//! A question becomes one search: a nested query for each clause, so that its type, text, time and confidence are those of
//! one annotation, and all of them at once. Its pages come from one view of the index. What is found is checked and put
//! together by the same code as what the embedded index finds, so that ranges, confidences and ranks are the same. One
//! thing is the server's: what a word is. Where its `standard` analyzer keeps together what is two words here (`don't`,
//! `3.5`), a clause must name it as it stands in the text.

use std::path::PathBuf;
use std::time::Duration;

use flowstone_operators::interval::{Boundary, Interval};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use self::request::request;
use super::found::{FoundMoment, Scan, scalar};
use super::{Hit, Query, QueryError, near, ranges, rank};
use crate::pipeline::remote::{Secret, VectorField};
use crate::record::CHILDREN;
use crate::record::{FieldPath, Scalar, select, unescape};
use crate::sink::SinkError;
use crate::sink::elasticsearch::client::{Access, Client};
use crate::sink::elasticsearch::schema::{KIND, dotted};
use crate::sink::elasticsearch::view::{Page, View};
use crate::sink::tantivy::{Annotation, Paths};

mod request;
#[cfg(test)]
mod tests;

/// Moments of one page.
const PAGE: usize = 1_000;

/// A server that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// An index of a server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Where it is: `http://HOST:9200`.
    pub url: String,
    /// The index, or an alias of it.
    pub index: String,
    /// The key of an API user.
    pub api_key: Option<Secret>,
    /// A user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificate of who has signed the server's.
    pub ca: Option<PathBuf>,
}

/// Where documents hold what, as the sink has said in the index.
#[derive(Clone, Debug, Deserialize)]
struct Fields {
    asset: FieldPath,
    key: Vec<FieldPath>,
    start: FieldPath,
    end: FieldPath,
    includes_end: bool,
    label: FieldPath,
    text: Vec<FieldPath>,
    confidence: FieldPath,
    #[serde(default)]
    vector: Option<VectorField>,
}

/// Searches the index.
///
/// # Errors
/// If the server can not be reached, refuses, or the index was not written by a sink of moments.
pub fn search(server: &Server, query: &Query) -> Result<Vec<Hit>, QueryError> {
    with(server, async |session| {
        let fields = session.fields().await?;
        fields.have(query).map_err(|reason| session.failed(reason))?;
        let mut scan = Scan::new(query);
        let unused = fields.vector.as_ref().filter(|_| query.near.is_empty());
        let search = json!({
            "size": PAGE, "query": request(query, &fields),
            "_source": {
                "includes": [CHILDREN, dotted(&fields.asset), "time_bucket_start_ns", "time_bucket_end_ns"],
                "excludes": unused.map(|vector| format!("{CHILDREN}.{}", dotted(&vector.path))).as_slice(),
            },
        });
        let failed = |error: SinkError| session.failed(error);
        let mut view = View::open(&session.client, &server.index, Some(PATIENCE)).await.map_err(failed)?;
        loop {
            let Page::Hits(hits) = view.next(&session.client, &search).await.map_err(failed)? else {
                return Err(session.failed("the server could not read all of it; ask again"));
            };
            for hit in &hits {
                take(hit, &fields, &mut scan).map_err(|reason| session.failed(reason))?;
            }
            if hits.len() < PAGE {
                break;
            }
        }
        view.close(&session.client).await;
        near::keep_nearest(query, &mut scan.found);
        Ok(rank::rank(query, ranges::hits(query, scan.found)))
    })
}

/// The annotation types that the index knows, in order.
///
/// # Errors
/// As for [`search`].
pub fn types(server: &Server) -> Result<Vec<String>, QueryError> {
    with(server, async |session| {
        let kinds =
            json!({ "terms": { "field": format!("{CHILDREN}.{KIND}"), "size": 1_000, "order": { "_key": "asc" } } });
        let search = json!({
            "size": 0,
            "aggs": { "children": { "nested": { "path": CHILDREN }, "aggs": { "kinds": kinds } } },
        });
        let found = session.ask(Method::POST, &format!("/{}/_search", server.index), Some(&search)).await?;
        let buckets = found["aggregations"]["children"]["kinds"]["buckets"].as_array().cloned().unwrap_or_default();
        Ok(buckets.iter().filter_map(|bucket| bucket["key"].as_str().map(str::to_owned)).collect())
    })
}

fn with<T>(server: &Server, ask: impl AsyncFnOnce(&Session<'_>) -> Result<T, QueryError>) -> Result<T, QueryError> {
    let object = format!("the index {:?} at {}", server.index, server.url);
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| QueryError::Server { object: object.clone(), source };
    let ca = server.ca.as_ref().map(std::fs::read).transpose().map_err(|error| failed(error.into()))?;
    let Server { url, api_key, user, password, .. } = server.clone();
    let client = Client::new(&object, &Access { urls: vec![url], api_key, user, password, ca, gzip: false });
    let client = client.map_err(|error| failed(error.into()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.into()))?;
    runtime.block_on(ask(&Session { client, server, object: object.clone() }))
}

struct Session<'a> {
    client: Client,
    server: &'a Server,
    object: String,
}

impl Session<'_> {
    fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> QueryError {
        QueryError::Server { object: self.object.clone(), source: source.into() }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, QueryError> {
        let answer = self.client.ask(method, path, body, Some(PATIENCE)).await.map_err(|error| self.failed(error))?;
        if !answer.status.is_success() {
            return Err(self.failed(answer.reason()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.failed(error))
    }

    async fn fields(&self) -> Result<Fields, QueryError> {
        let path = format!("/{}?filter_path=*.mappings._meta.flowstone.fields", self.server.index);
        let found = self.ask(Method::GET, &path, None).await?;
        let first = found.as_object().and_then(|indexes| indexes.values().next());
        let fields = first.map(|index| index["mappings"]["_meta"]["flowstone"]["fields"].clone());
        serde_json::from_value(fields.unwrap_or_default()).map_err(|_| {
            self.failed("it was not written by a flowstone sink of moments: its mapping does not say what is where")
        })
    }
}

impl Fields {
    /// Whether the index has the vectors that a query asks for.
    fn have(&self, query: &Query) -> Result<(), String> {
        if query.near.is_empty() {
            return Ok(());
        }
        let Some(vector) = &self.vector else {
            return Err(
                "it has no vectors: say in the pipeline file where annotations have theirs, vector: { dims: 512 }"
                    .to_owned(),
            );
        };
        let other = query.near.iter().map(|near| near.vector.len()).find(|length| *length != vector.dims as usize);
        if let Some(length) = other {
            return Err(format!("its vectors have {} numbers, and one of {length} is asked for", vector.dims));
        }
        if query.approximate && !vector.approximate {
            let said = "its vectors are in no index of their own: approximate: true in the pipeline file makes it, without it all are \
                        compared";
            return Err(said.to_owned());
        }
        Ok(())
    }

    /// For each vector that is asked for, how similar that of a child is.
    fn similar(&self, query: &Query, child: &str) -> Vec<Option<f64>> {
        let Some(field) = self.vector.as_ref().filter(|_| !query.near.is_empty()) else { return Vec::new() };
        let mut vector: Option<Vec<f32>> = None;
        select(child, &field.path, |json| vector = serde_json::from_str(json).ok());
        query.near.iter().map(|near| near.similarity(vector.as_ref()?, field.metric)).collect()
    }
}

/// Checks a moment that the server has found.
fn take(hit: &Value, fields: &Fields, scan: &mut Scan<'_>) -> Result<(), String> {
    let (source, query) = (&hit["_source"], scan.query);
    let bound = |name: &str| source[name].as_i64().ok_or_else(|| format!("the document {} has no {name}", hit["_id"]));
    let (start_ns, end_ns) = (bound("time_bucket_start_ns")?, bound("time_bucket_end_ns")?);
    let document = source.to_string();
    let mut met = Vec::new();
    for child in source[CHILDREN].as_array().into_iter().flatten() {
        let bytes = child.to_string();
        let read = || Ok::<_, String>((annotation(&bytes, fields)?, fields.similar(query, &bytes)));
        met.extend(scan.check_similar(bytes.as_bytes(), read)?);
    }
    if scan.meets_all(&met) {
        let asset = asset(hit, &document, fields).ok_or_else(|| format!("the document {} has no asset", hit["_id"]))?;
        scan.found.assets.entry(asset).or_default().push(FoundMoment { start_ns, end_ns, met });
    }
    Ok(())
}

/// The asset: the first part of the key, or the field in the document if the key is too long for an `_id`.
fn asset(hit: &Value, document: &str, fields: &Fields) -> Option<Scalar> {
    let key = hit["_id"].as_str().and_then(|id| serde_json::from_str::<Value>(id).ok());
    let of_key = key.and_then(|key| scalar(&key[0]));
    of_key.or_else(|| {
        let mut found = None;
        select(document, &fields.asset, |json| found = serde_json::from_str(json).ok());
        scalar(&found?)
    })
}

fn annotation(child: &str, fields: &Fields) -> Result<Annotation, String> {
    let json = |path: &FieldPath| {
        let mut found = None;
        select(child, path, |json| found = Some(json));
        found
    };
    let key: Vec<&str> = fields.key.iter().map(|path| json(path).unwrap_or("null")).collect();
    let number = |path: &FieldPath| json(path).and_then(|text| text.parse::<i64>().ok());
    let kind = json(&FieldPath::literal("/annotation_type")).and_then(unescape).unwrap_or_default();
    let boundary = if fields.includes_end { Boundary::Inclusive } else { Boundary::Exclusive };
    let interval = number(&fields.start)
        .zip(number(&fields.end))
        .and_then(|(start, end)| Interval::from_range(start, end, boundary).ok());
    let interval = interval
        .ok_or_else(|| format!("the annotation {key:?} has no range at {} and {}", fields.start, fields.end))?;
    let paths = Paths { label: fields.label.clone(), text: fields.text.clone(), confidence: fields.confidence.clone() };
    Ok(paths.read(format!("[{}]", key.join(",")), &kind, interval, child))
}
