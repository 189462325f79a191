//! A view of an index as of one moment, read page by page: a point in time where the server has that, else a scroll.
//!
//! OpenSearch has points in time, too, but no order in which pages of one follow each other that costs nothing.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, Client};
use crate::sink::SinkError;

/// How long the server keeps a view between two pages.
const KEEP: &str = "10m";

/// What the server calls a view.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// What the last page ended with, if there was one.
    PointInTime { id: String, after: Value },
    /// There is no id before the first page.
    Scroll { id: Option<String> },
}

/// A view.
pub(crate) struct View {
    kind: Kind,
    index: String,
    patience: Option<Duration>,
}

/// A page of a view.
pub(crate) enum Page {
    /// What was found; fewer than asked for at the end.
    Hits(Vec<Value>),
    /// The server has lost the view, or could not read all of it.
    Lost,
}

impl View {
    /// Opens one of an index: all that was acknowledged and refreshed is in it.
    pub async fn open(client: &Client, index: &str, patience: Option<Duration>) -> Result<Self, SinkError> {
        let path = format!("/{index}/_pit?keep_alive={KEEP}");
        let answer = client.ask(Method::POST, &path, None, patience).await?;
        let kind = match answer.status.is_success() {
            true => {
                let id = parse(client, &answer.body)?["id"].as_str().unwrap_or_default().to_owned();
                Kind::PointInTime { id, after: Value::Null }
            }
            // If it is refused for another reason, the first page is, too.
            false => Kind::Scroll { id: None },
        };
        Ok(View { kind, index: index.to_owned(), patience })
    }

    /// The next page. `search` says what is asked, the same each time; its `size` how many.
    pub async fn next(&mut self, client: &Client, search: &Value) -> Result<Page, SinkError> {
        let answer = self.ask(client, search).await?;
        let is_first = matches!(self.kind, Kind::Scroll { id: None });
        if answer.status == StatusCode::NOT_FOUND && !is_first {
            return Ok(Page::Lost);
        }
        if !answer.status.is_success() {
            return Err(client.refused("search", &answer));
        }
        let mut found = parse(client, &answer.body)?;
        if found["timed_out"] == true || found["_shards"]["failed"].as_u64() != Some(0) {
            return Ok(Page::Lost);
        }
        let hits = match found["hits"]["hits"].take() {
            Value::Array(hits) => hits,
            _ => Vec::new(),
        };
        match &mut self.kind {
            Kind::PointInTime { id, after } => {
                if let Some(now) = found["pit_id"].as_str() {
                    now.clone_into(id);
                }
                if let Some(last) = hits.last() {
                    *after = last["sort"].clone();
                }
            }
            Kind::Scroll { id } => *id = found["_scroll_id"].as_str().map(str::to_owned),
        }
        Ok(Page::Hits(hits))
    }

    async fn ask(&self, client: &Client, search: &Value) -> Result<Answer, SinkError> {
        let (path, body) = match &self.kind {
            Kind::Scroll { id: Some(id) } => ("/_search/scroll".to_owned(), json!({ "scroll": KEEP, "scroll_id": id })),
            Kind::Scroll { id: None } => {
                let mut search = search.clone();
                search["sort"] = json!(["_doc"]);
                (format!("/{}/_search?scroll={KEEP}", self.index), search)
            }
            Kind::PointInTime { id, after } => {
                let mut search = search.clone();
                search["track_total_hits"] = json!(false);
                search["sort"] = json!([{ "_shard_doc": "asc" }]);
                search["pit"] = json!({ "id": id, "keep_alive": KEEP });
                if !after.is_null() {
                    search["search_after"] = after.clone();
                }
                ("/_search".to_owned(), search)
            }
        };
        client.ask(Method::POST, &path, Some(&body), self.patience).await
    }

    /// Lets the server forget it, which it would do by itself.
    pub async fn close(self, client: &Client) {
        let (path, body) = match self.kind {
            Kind::PointInTime { id, .. } => ("/_pit", json!({ "id": id })),
            Kind::Scroll { id: Some(id) } => ("/_search/scroll", json!({ "scroll_id": id })),
            Kind::Scroll { id: None } => return,
        };
        // Nobody is helped by an error about it.
        drop(client.call(Method::DELETE, path, "application/json", body.to_string().into()).await);
    }
}

fn parse(client: &Client, body: &[u8]) -> Result<Value, SinkError> {
    serde_json::from_slice(body).map_err(|error| SinkError::store("search", client.object(), error))
}
