//! A view of an index as of one moment (a point in time), read page by page.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Client;
use crate::sink::SinkError;

/// How long the server keeps a view between two pages.
const KEEP: &str = "10m";

/// Which server it is: they call the same thing by other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Elasticsearch,
    OpenSearch,
}

/// A view.
pub(crate) struct View {
    kind: Kind,
    id: String,
    after: Value,
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
        let ways = [(Kind::Elasticsearch, "_pit", "id"), (Kind::OpenSearch, "_search/point_in_time", "pit_id")];
        let mut refused = None;
        for (kind, call, name) in ways {
            let path = format!("/{index}/{call}?keep_alive={KEEP}");
            let answer = client.ask(Method::POST, &path, None, patience).await?;
            if answer.status.is_success() {
                let opened = parse(client, &answer.body)?;
                let id = opened[name].as_str().unwrap_or_default().to_owned();
                return Ok(View { kind, id, after: Value::Null, patience });
            }
            refused.get_or_insert_with(|| client.refused("search", &answer));
        }
        Err(refused.expect("there are two ways"))
    }

    /// The next page. `search` says what is asked; its `size` how many.
    pub async fn next(&mut self, client: &Client, search: &Value) -> Result<Page, SinkError> {
        let mut search = search.clone();
        search["track_total_hits"] = json!(false);
        search["sort"] = json!([{ "_shard_doc": "asc" }]);
        search["pit"] = json!({ "id": self.id, "keep_alive": KEEP });
        if !self.after.is_null() {
            search["search_after"] = self.after.clone();
        }
        let answer = client.ask(Method::POST, "/_search", Some(&search), self.patience).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Page::Lost);
        }
        if !answer.status.is_success() {
            return Err(SinkError::store("search", client.object(), answer.reason()));
        }
        let mut found = parse(client, &answer.body)?;
        if found["timed_out"] == true || found["_shards"]["failed"].as_u64() != Some(0) {
            return Ok(Page::Lost);
        }
        if let Some(id) = found["pit_id"].as_str() {
            id.clone_into(&mut self.id);
        }
        let hits = match found["hits"]["hits"].take() {
            Value::Array(hits) => hits,
            _ => Vec::new(),
        };
        if let Some(last) = hits.last() {
            self.after = last["sort"].clone();
        }
        Ok(Page::Hits(hits))
    }

    /// Lets the server forget it, which it would do by itself.
    pub async fn close(self, client: &Client) {
        let (path, body) = match self.kind {
            Kind::Elasticsearch => ("/_pit", json!({ "id": self.id })),
            Kind::OpenSearch => ("/_search/point_in_time", json!({ "pit_id": [self.id] })),
        };
        // Nobody is helped by an error about it.
        drop(client.call(Method::DELETE, path, "application/json", body.to_string().into()).await);
    }
}

fn parse(client: &Client, body: &[u8]) -> Result<Value, SinkError> {
    serde_json::from_slice(body).map_err(|error| SinkError::store("search", client.object(), error))
}
