//! Calls to the server: which node, as whom, and what a failure means.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;

use super::outcome::ErrorReply;
use crate::pipeline::remote::Secret;
use crate::sink::SinkError;
use crate::sink::retry::{Backoff, Trouble};

/// An answer that takes longer is none: the request is sent again. Shorter than deletions are remembered.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// As whom, and how, the server is spoken to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub urls: Vec<String>,
    pub api_key: Option<Secret>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// PEM.
    pub ca: Option<Vec<u8>>,
    pub gzip: bool,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Client {
    /// The sink or the command, and the server; for errors.
    object: String,
    http: reqwest::Client,
    urls: Vec<String>,
    /// The node that answered last.
    node: AtomicUsize,
    gzip: bool,
    trouble: Mutex<Trouble>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// The error in it, or the beginning of whatever there is.
    pub fn reason(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            error: ErrorReply<'a>,
        }
        match sonic_rs::from_slice::<Body<'_>>(&self.body) {
            Ok(body) => format!("{} ({})", body.error, self.status),
            Err(_) => {
                let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
                format!("{} {shown}", self.status).trim_end().to_owned()
            }
        }
    }

    /// Whether the same call may be answered otherwise later.
    pub fn is_passing(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 429 | 500..) || self.is_block()
    }

    fn is_block(&self) -> bool {
        self.status == StatusCode::FORBIDDEN && self.names("cluster_block_exception")
    }

    /// Whether the index that was asked for is not there.
    fn lacks_index(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.names("index_not_found_exception")
    }

    fn names(&self, kind: &str) -> bool {
        memchr::memmem::find(&self.body, kind.as_bytes()).is_some()
    }
}

impl Client {
    /// `object` is named in errors.
    pub fn new(object: &str, access: &Access) -> Result<Self, SinkError> {
        let failed = |error: reqwest::Error| SinkError::store("open", object, error);
        // One for the process; somebody else may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .default_headers(headers(object, access)?)
            .timeout(REQUEST_LIMIT)
            .connect_timeout(CONNECT_LIMIT)
            .no_proxy();
        if let Some(pem) = &access.ca {
            http = http.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        let urls = access.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        let http = http.build().map_err(failed)?;
        let trouble = Mutex::new(Trouble::new(object));
        Ok(Client { object: object.to_owned(), http, urls, node: AtomicUsize::new(0), gzip: access.gzip, trouble })
    }

    /// The sink or the command, for errors.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// One attempt. What went wrong on the way is a text: the next node is asked next time.
    pub async fn call(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Result<Answer, String> {
        let node = self.node.load(Ordering::Relaxed);
        let url = format!("{}{path}", self.urls[node % self.urls.len()]);
        let mut request = self.http.request(method, &url);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, kind);
            request = if self.gzip {
                request.header(CONTENT_ENCODING, "gzip").body(zipped(&body))
            } else {
                request.body(body)
            };
        }
        let answer = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>(Answer { status: answer.status(), body: answer.bytes().await? })
        };
        answer.await.map_err(|error| {
            let next = (node + 1) % self.urls.len();
            let _ = self.node.compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
            chain(&error)
        })
    }

    /// Calls until there is an answer that stays the same; gives up after `patience`.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<Answer, SinkError> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            let reason = match self.call(method.clone(), path, "application/json", body.clone()).await {
                Ok(answer) if !answer.is_passing() => {
                    self.well();
                    return self.permitted(answer);
                }
                Ok(answer) => answer.reason(),
                Err(reason) => reason,
            };
            if reason.contains("invalid peer certificate") {
                let advice = "its certificate is not trusted or not valid; name who has signed it as `ca`, or renew it";
                return Err(SinkError::store("reach", &self.object, format!("{advice}: {reason}")));
            }
            if patience.is_some_and(|patience| start.elapsed() >= patience) {
                return Err(SinkError::store("reach", &self.object, reason));
            }
            self.trouble(&reason);
            backoff.wait().await;
        }
    }

    /// The same, of which the answer must be good: JSON.
    pub async fn get_json(
        &self,
        action: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<Value, SinkError> {
        let answer = self.ask(method, path, body, patience).await?;
        if !answer.status.is_success() {
            return Err(self.refused(action, &answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| SinkError::store(action, &self.object, error))
    }

    /// The error in an answer to a call about an index that was there: it may be deleted between any two calls.
    pub fn refused(&self, action: &'static str, answer: &Answer) -> SinkError {
        match answer.lacks_index() {
            true => self.gone(&answer.reason()),
            false => SinkError::store(action, &self.object, answer.reason()),
        }
    }

    /// The index is not there any more.
    pub fn gone(&self, reason: &str) -> SinkError {
        SinkError::Mismatch { object: self.object.clone(), difference: format!("it is gone: {reason}") }
    }

    /// An answer to somebody whom the server knows.
    pub fn permitted(&self, answer: Answer) -> Result<Answer, SinkError> {
        let advice = match answer.status {
            StatusCode::UNAUTHORIZED => "it does not accept the user or the API key; check these",
            StatusCode::FORBIDDEN => {
                "the user may not do that; give the user the right to read, write and manage the index"
            }
            _ => return Ok(answer),
        };
        Err(SinkError::store("use", &self.object, format!("{advice}: {}", answer.reason())))
    }

    /// A failure that will be tried again; said now and then.
    pub fn trouble(&self, reason: &str) {
        self.trouble.lock().expect("a panic would have ended the process").say(reason);
    }

    /// It answers again.
    pub fn well(&self) {
        self.trouble.lock().expect("a panic would have ended the process").over();
    }
}

fn headers(object: &str, access: &Access) -> Result<HeaderMap, SinkError> {
    let mut headers = HeaderMap::new();
    let credentials = match (&access.api_key, &access.user) {
        (Some(key), _) => format!("ApiKey {}", key.reveal()),
        (None, Some(user)) => {
            let password = access.password.as_ref().map_or("", Secret::reveal);
            format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
        }
        (None, None) => return Ok(headers),
    };
    let mut value = HeaderValue::from_str(&credentials)
        .map_err(|_| SinkError::store("open", object, "the API key has characters that no key has; check it"))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    zip.write_all(body).and_then(|()| zip.finish()).expect("memory can be written")
}

/// An error and its causes: the outer one alone says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_coded_as_everywhere() {
        for (text, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("elastic:pw?>", "ZWxhc3RpYzpwdz8+")]
        {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    #[test]
    fn a_secret_is_in_no_debug_output() {
        let access =
            Access { api_key: Some(Secret::from("s3cret")), urls: vec!["http://x".to_owned()], ..Access::default() };
        let client = Client::new("sink", &access).unwrap();
        assert!(!format!("{access:?} {client:?}").contains("s3cret"));
    }
}
