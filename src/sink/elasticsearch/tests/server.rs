//! A server for tests, in memory: as much of Elasticsearch as the sink asks, and faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What goes wrong with one `_bulk` request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The whole request is answered with this status.
    Status(u16),
    /// Every second item gets this status, the others are written.
    EverySecond(u16),
    /// All is written, and half of the answer arrives.
    HalfAnAnswer,
    /// All is written, and the connection is cut before the answer.
    Cut,
}

#[derive(Default)]
pub(super) struct State {
    /// `_id` to version and document.
    pub documents: BTreeMap<String, (u64, Option<Value>)>,
    pub index: Option<Value>,
    /// For the next requests, one each.
    pub faults: VecDeque<Fault>,
    /// Larger bodies are answered with 413.
    pub most_bytes: Option<usize>,
    /// Documents that contain this are refused.
    pub refuses: Option<String>,
    /// The sizes of all `_bulk` requests in items.
    pub bulks: Vec<usize>,
    pub settings: Vec<Value>,
    pub authorization: Vec<String>,
    /// How many indexes were made.
    pub made: u64,
    /// The call, and which one of its kind, at which the index is deleted: somebody was quicker.
    pub deletes_at: Option<(&'static str, u32)>,
    /// The status for everybody.
    pub denies: Option<u16>,
}

#[derive(Clone)]
pub(super) struct Server {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    authorization: String,
    body: Vec<u8>,
}

enum Reply {
    Whole(u16, Value),
    Half(Value),
    None,
}

/// The certificate of a server with TLS, and that of who has signed it.
pub(super) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink/elasticsearch/tests/certificates").join(name)
}

fn tls(name: &str) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(certificate(name)).unwrap();
    let key = PrivateKeyDer::from_pem_file(self::certificate("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

impl Server {
    pub fn start() -> Self {
        Server::with_tls(None)
    }

    /// With the certificate in this file.
    pub fn with_tls(certificate: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let tls = certificate.map(tls);
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, tls) = (shared.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &state),
                    Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &state),
                });
            }
        });
        Server { url, state }
    }

    /// Documents that are there, by `_id`.
    pub fn content(&self) -> BTreeMap<String, Value> {
        let state = self.state.lock().unwrap();
        let live = state.documents.iter().filter_map(|(id, (_, document))| Some((id.clone(), document.clone()?)));
        live.collect()
    }

    pub fn meta(&self) -> Value {
        self.state.lock().unwrap().index.as_ref().unwrap()["mappings"]["_meta"]["flowstone"].clone()
    }
}

/// Closes the connection when it returns.
fn serve(stream: impl Read + Write, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let reply = state.lock().unwrap().answer(&request);
        let (whole, answer) = match reply {
            Reply::Whole(status, body) => (true, head(status, &body.to_string()) + &body.to_string()),
            Reply::Half(body) => {
                let body = body.to_string();
                (false, head(200, &body) + &body[..body.len() / 2])
            }
            Reply::None => return,
        };
        let stream = reader.get_mut();
        if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() || !whole {
            return;
        }
    }
}

fn head(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len())
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, authorization, body })
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        self.authorization.push(request.authorization.clone());
        if let Some(status) = self.denies {
            return Reply::Whole(status, json!({ "error": { "type": "security_exception", "reason": "by the test" } }));
        }
        let path = request.path.split('?').next().unwrap();
        let body = || serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
        let ok = || Reply::Whole(200, json!({ "acknowledged": true }));
        let gone = json!({ "error": { "type": "index_not_found_exception", "reason": "no such index" } });
        if self.is_deleted_before(&format!("{} {path}", request.method)) {
            return Reply::Whole(404, gone);
        }
        match (request.method.as_str(), path) {
            ("POST", "/moments/_bulk") => self.bulk(&request.body),
            ("GET", "/moments") => match &self.index {
                Some(index) => Reply::Whole(200, json!({ "moments": index })),
                None => Reply::Whole(404, gone),
            },
            ("PUT", "/moments") => {
                let mut index = body();
                self.made += 1;
                index["settings"]["index"]["uuid"] = format!("uuid-{}", self.made).into();
                index["aliases"] = json!({});
                self.index = Some(index);
                ok()
            }
            ("PUT", "/moments/_mapping") => {
                let mappings = &mut self.index.as_mut().unwrap()["mappings"];
                if let Some(meta) = body().get("_meta") {
                    mappings["_meta"] = meta.clone();
                }
                ok()
            }
            ("PUT", "/moments/_settings") => {
                self.settings.push(body()["index"].clone());
                ok()
            }
            ("GET", "/moments/_count") => Reply::Whole(
                200,
                json!({ "count": self.documents.values().filter(|(_, document)| document.is_some()).count() }),
            ),
            ("POST", "/moments/_pit") => Reply::Whole(200, json!({ "id": "view" })),
            ("POST", "/_search") => Reply::Whole(200, self.search(&body())),
            ("POST", "/moments/_refresh" | "/_aliases") | ("DELETE", "/_pit") => ok(),
            other => panic!("{other:?} is not expected"),
        }
    }

    fn is_deleted_before(&mut self, call: &str) -> bool {
        match &mut self.deletes_at {
            Some((at, 0)) if *at == call => self.index = None,
            Some((at, left)) if *at == call => *left -= 1,
            _ => {}
        }
        self.deletes_at.is_some() && self.index.is_none() && call != "GET /moments" && call != "PUT /moments"
    }

    fn search(&self, search: &Value) -> Value {
        assert!(search["version"] == true && search["pit"]["id"] == "view");
        let after = search["search_after"][0].as_u64().map_or(0, |after| after + 1);
        let live = self
            .documents
            .iter()
            .filter(|(_, (_, document))| document.as_ref().is_some_and(|document| document["_deleted"] != true));
        let hit = |(n, (id, (version, _))): (usize, (&String, &(u64, Option<Value>)))| json!({ "_id": id, "_version": version, "sort": [n] });
        let hits: Vec<Value> = live.enumerate().skip(after as usize).take(5_000).map(hit).collect();
        json!({ "pit_id": "view", "timed_out": false, "_shards": { "failed": 0 }, "hits": { "hits": hits } })
    }

    fn bulk(&mut self, body: &[u8]) -> Reply {
        if self.most_bytes.is_some_and(|most| body.len() > most) {
            return Reply::Whole(413, json!({}));
        }
        let fault = self.faults.pop_front();
        if let Some(Fault::Status(status)) = fault {
            return Reply::Whole(status, json!({ "error": { "type": "x", "reason": "by the test" } }));
        }
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut items = Vec::new();
        while let Some(action) = lines.next() {
            let action: Value = serde_json::from_slice(action).unwrap();
            let (kind, target) = action.as_object().unwrap().iter().next().unwrap();
            let document = (kind == "index").then(|| serde_json::from_slice::<Value>(lines.next().unwrap()).unwrap());
            let said = match fault {
                Some(Fault::EverySecond(status)) if items.len() % 2 == 1 => {
                    json!({ "status": status, "error": { "type": "x", "reason": "by the test" } })
                }
                _ => self.apply(target, document),
            };
            items.push(json!({ kind: said }));
        }
        self.bulks.push(items.len());
        let answer = json!({ "errors": true, "items": items });
        match fault {
            Some(Fault::HalfAnAnswer) => Reply::Half(answer),
            Some(Fault::Cut) => Reply::None,
            _ => Reply::Whole(200, answer),
        }
    }

    fn apply(&mut self, target: &Value, document: Option<Value>) -> Value {
        assert_eq!(target["version_type"], "external_gte");
        let (id, version) = (target["_id"].as_str().unwrap(), target["version"].as_u64().unwrap());
        let text = document.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.refuses.as_ref().is_some_and(|refused| text.contains(refused)) {
            return json!({ "status": 400, "error": { "type": "document_parsing_exception", "reason": "by the test" } });
        }
        let before = self.documents.get(id).cloned();
        if before.as_ref().is_some_and(|(before, _)| *before > version) {
            return json!({ "status": 409, "error": { "type": "version_conflict_engine_exception", "reason": "newer" } });
        }
        let was_there = before.is_some_and(|(_, document)| document.is_some());
        let status = if document.is_none() && !was_there { 404 } else { 200 };
        self.documents.insert(id.to_owned(), (version, document));
        json!({ "status": status })
    }
}
