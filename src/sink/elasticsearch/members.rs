//! The indexes of a sink that writes several, and the one that they are remembered in.
//!
//! Who owns the sink, up to where it is written, and which indexes there are is said in one place, `_meta` of an index without
//! documents (the head). One proof of ownership is good for all of them, and an index that is gone is noticed, though the others
//! are there. An index is made and remembered in the head before anything is written to it, and says itself whose it is:
//! so one that is not remembered is empty, or somebody else's.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::opener::{Meta, OPEN_PATIENCE, Opener};
use super::schema;
use crate::pipeline::index_name::IndexName;
use crate::sink::SinkError;

/// How the indexes of a sink are found, and made.
pub(super) struct Members {
    name: IndexName,
    /// What a made one is like.
    pub body: Value,
}

impl Members {
    /// Those of the head `uuid`; none if the sink has one index.
    pub fn of(opener: &Opener<'_>, name: &IndexName, uuid: &str, fields: &Value) -> Option<Self> {
        name.bucket()?;
        let mut body = schema::index_body(opener.spec, opener.layout);
        body["mappings"]["_meta"] = json!({ "flowstone": { "store": uuid, "fields": fields } });
        if let Some(alias) = &opener.spec.alias {
            let filter =
                schema::alias_filter(opener.spec).map_or_else(|| json!({}), |filter| json!({ "filter": filter }));
            body["aliases"] = json!({ alias: filter });
        }
        Some(Members { name: name.clone(), body })
    }

    /// All that could be members, with these parts of what is known of them.
    pub fn path(&self, filter: &str) -> String {
        format!("/{}?filter_path={filter}", self.name.pattern())
    }

    /// Compares what is remembered with what is there. What is gone is forgotten, and takes the upper with it.
    pub async fn reconcile(&self, opener: &Opener<'_>, meta: &mut Meta) -> Result<(), SinkError> {
        let path = self.path("*.settings.index,*.mappings,*.aliases");
        let found = opener.client.get_json("open", Method::GET, &path, None, Some(OPEN_PATIENCE)).await?;
        let store = &self.body["mappings"]["_meta"]["flowstone"];
        let mut there = BTreeMap::new();
        for (name, index) in found.as_object().into_iter().flatten() {
            let member = Opener { name: name.clone(), client: opener.client, spec: opener.spec, layout: opener.layout };
            let uuid = index["settings"]["index"]["uuid"].as_str().unwrap_or_default();
            if meta.members.get(name).is_some_and(|known| known == uuid) {
                member.check(index, false).await?;
                if index["mappings"]["_meta"]["flowstone"] != *store {
                    let said = json!({ "_meta": { "flowstone": store } });
                    member.ask(Method::PUT, "/_mapping", Some(&said)).await?;
                }
                there.insert(name.clone(), uuid.to_owned());
            } else if self.name.may_be(name) && index["mappings"]["_meta"]["flowstone"]["store"] != store["store"] {
                return Err(opener.mismatch(format!(
                    "the index {name:?} is called like its own, and it has not made it, or not in the {:?} that is there now; delete \
                     it, or name others",
                    opener.name
                )));
            }
        }
        let is_gone = |name: &&String| !there.contains_key(*name);
        let gone: Vec<&str> = meta.members.keys().filter(is_gone).map(String::as_str).collect();
        if !gone.is_empty() {
            tracing::warn!("{} has lost indexes: {}", opener.client.object(), gone.join(", "));
            meta.upper = 0;
        }
        if meta.bucket != self.name.bucket_text() {
            if !meta.members.is_empty() {
                tracing::warn!(
                    "{} was divided by {}, and is to be by {}",
                    opener.client.object(),
                    meta.bucket,
                    self.name.bucket_text()
                );
                meta.upper = 0;
            }
            self.name.bucket_text().clone_into(&mut meta.bucket);
        }
        meta.members = there;
        Ok(())
    }

    /// Says which of these is not there, or another one.
    pub fn lost<'a>(&self, members: &'a BTreeMap<String, String>, found: &Value) -> Option<&'a str> {
        let is_lost = |(name, uuid): &(&String, &String)| found[*name]["settings"]["index"]["uuid"] != uuid.as_str();
        members.iter().find(is_lost).map(|(name, _)| name.as_str())
    }
}
