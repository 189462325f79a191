//! An index as the tests see it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Documents;

/// An index of a server at `http://HOST:PORT`.
#[derive(Clone)]
pub struct Index {
    pub url: String,
    pub name: String,
}

impl Index {
    /// With a name of its own.
    pub fn new(url: &str) -> Self {
        Index { url: url.to_owned(), name: crate::unique("moments") }
    }

    /// The sink that writes it.
    pub fn sink(&self, more: &str) -> String {
        format!(
            "  search: {{ from: moments, elasticsearch: {{ url: \"{}\", index: {}{more} }} }}\n",
            self.url, self.name
        )
    }

    /// A call; the status and what was answered.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n");
        write!(stream, "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head_end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let (head, body) = (String::from_utf8(answer[..head_end].to_vec()).unwrap(), &answer[head_end + 4..]);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body) } else { body.to_vec() };
        (status, serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {head}")))
    }

    /// A call about the index that must succeed.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, &format!("/{}{path}", self.name), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// All documents and their versions, by `_id`.
    pub fn versions(&self) -> BTreeMap<String, (u64, Value)> {
        self.try_versions().unwrap_or_else(|answer| panic!("{}: {answer}", self.name))
    }

    fn try_versions(&self) -> Result<BTreeMap<String, (u64, Value)>, Value> {
        self.call("POST", &format!("/{}/_refresh", self.name), &Value::Null);
        let search = json!({ "size": 10_000, "version": true, "query": { "match_all": {} } });
        let found = match self.call("POST", &format!("/{}/_search", self.name), &search) {
            (200, found) => found,
            (_, answer) => return Err(answer),
        };
        let hits = found["hits"]["hits"].as_array().unwrap();
        assert!(hits.len() < 10_000, "all are on one page");
        let document = |hit: &Value| {
            let id = hit["_id"].as_str().unwrap().to_owned();
            (id, (hit["_version"].as_u64().unwrap(), hit["_source"].clone()))
        };
        Ok(hits.iter().map(document).collect())
    }

    /// All documents as text, by row key.
    pub fn documents(&self) -> Documents {
        self.versions().into_iter().map(|(id, (_, document))| (id, document.to_string())).collect()
    }

    /// The same, but none while the index can not be asked.
    pub fn documents_if_any(&self) -> Documents {
        let versions = self.try_versions().unwrap_or_default();
        versions.into_iter().map(|(id, (_, document))| (id, document.to_string())).collect()
    }
}

/// A body that came in chunks.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}
