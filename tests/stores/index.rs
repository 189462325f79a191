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
        self.try_call(method, path, body).unwrap()
    }

    /// The same with a server that may not be there.
    fn try_call(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.try_send(method, path, &body)
    }

    /// Writes what lines say; all of it must be taken.
    pub fn bulk(&self, lines: &str) {
        let (status, answer) = self.try_send("POST", &format!("/{}/_bulk", self.name), lines).unwrap();
        assert!(status == 200 && answer["errors"] == false, "{status}: {answer}");
    }

    fn try_send(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n");
        write!(stream, "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let head_end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(cut)?;
        let (head, body) = (String::from_utf8(answer[..head_end].to_vec()).unwrap(), &answer[head_end + 4..]);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body).ok_or_else(cut)? } else { body.to_vec() };
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// A call about the index that must succeed.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, &format!("/{}{path}", self.name), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// All documents and their versions, by `_id`; without those that only say that one was deleted.
    pub fn versions(&self) -> Versions {
        self.try_versions().expect("the index can be read")
    }

    /// The same; none while the index can not be read.
    pub fn try_versions(&self) -> Option<Versions> {
        let ask = |call: &str, body: &Value| {
            let (status, answer) = self.try_call("POST", &format!("/{}{call}", self.name), body).ok()?;
            (status == 200 && answer["_shards"]["failed"] == 0).then_some(answer)
        };
        ask("/_refresh", &Value::Null)?;
        let live = json!({ "bool": { "must_not": { "term": { "_deleted": true } } } });
        let search = json!({ "size": 10_000, "version": true, "query": live });
        let found = ask("/_search", &search)?;
        let hits = found["hits"]["hits"].as_array().unwrap();
        assert!(hits.len() < 10_000, "all are on one page");
        let document = |hit: &Value| {
            let id = hit["_id"].as_str().unwrap().to_owned();
            (id, (hit["_version"].as_u64().unwrap(), hit["_source"].clone()))
        };
        Some(hits.iter().map(document).collect())
    }

    /// All documents as text, by row key.
    pub fn documents(&self) -> Documents {
        texts(self.versions())
    }

    /// The same, but none while the index can not be asked.
    pub fn documents_if_any(&self) -> Documents {
        self.try_versions().map(texts).unwrap_or_default()
    }
}

/// Documents with their versions, by `_id`.
pub type Versions = BTreeMap<String, (u64, Value)>;

fn texts(versions: Versions) -> Documents {
    versions.into_iter().map(|(id, (_, document))| (id, document.to_string())).collect()
}

/// A body that came in chunks, if all of it came.
fn joined(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 2 + size + 2..)?;
    }
}
