//! Loads documents into Elasticsearch with an HTTP client alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use serde_json::Value;

use crate::Failure;
use crate::clock::Clock;
use crate::documents;

#[derive(clap::Args)]
pub struct Args {
    /// `http://HOST:PORT`
    url: String,
    /// The index, which must exist.
    index: String,
    /// The directory of a `file` sink with the documents.
    documents: PathBuf,
    /// Bytes of documents in a request.
    #[arg(long, default_value_t = 4 << 20)]
    bulk_bytes: usize,
    /// Requests at once.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
}

pub fn main(args: Args) -> Result<(), Failure> {
    let documents = documents::read(&args.documents)?;
    let mut bodies = vec![Vec::new()];
    for document in &documents {
        let body = match bodies.last_mut() {
            Some(body) if body.len() < args.bulk_bytes => body,
            _ => {
                bodies.push(Vec::new());
                bodies.last_mut().expect("just pushed")
            }
        };
        let id = serde_json::to_string(&document.key)?;
        let action = format!("{{\"index\":{{\"_id\":{id},\"version\":1,\"version_type\":\"external_gte\"}}}}\n");
        body.extend_from_slice(action.as_bytes());
        body.extend_from_slice(document.json.as_bytes());
        body.push(b'\n');
    }
    let bodies: Vec<Bytes> = bodies.into_iter().map(Bytes::from).collect();
    let bytes = bodies.iter().map(Bytes::len).sum();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let clock = Clock::start();
    runtime.block_on(load(args, bodies))?;
    clock.print(documents.len(), bytes);
    Ok(())
}

async fn load(args: Args, bodies: Vec<Bytes>) -> Result<(), Failure> {
    let http = crate::http()?;
    let url = format!("{}/{}", args.url, args.index);
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..args.in_flight {
        let (http, bodies, next) = (http.clone(), bodies.clone(), next.clone());
        let url = format!("{url}/_bulk?filter_path=errors");
        tasks.push(tokio::spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Relaxed)) {
                let request = http.post(&url).header("content-type", "application/x-ndjson").body(body.clone());
                let answer: Value = serde_json::from_slice(&request.send().await?.bytes().await?)?;
                if answer["errors"] != false {
                    return Err(format!("not all documents were taken: {answer}").into());
                }
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    // As a fill does in the end.
    http.post(format!("{url}/_refresh")).send().await?.error_for_status()?;
    Ok(())
}
