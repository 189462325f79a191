//! From Kafka until a moment can be seen: sends pairs of annotations that make one moment each, and looks for these.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use scylla::client::session_builder::SessionBuilder;
use serde_json::{Value, json};

use crate::Failure;

/// The asset of what is sent.
const ASSET: &str = "freshness";
/// So many fit one partition of the table: an hour of footage.
const MOST: u64 = 3_600;
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(20);
/// Between two looks at the table.
const LOOK_AT_TABLE: Duration = Duration::from_millis(5);
/// Between two looks at the index: each costs more, and what is new in it shows at intervals only.
const LOOK_AT_INDEX: Duration = Duration::from_millis(25);

#[derive(clap::Args)]
pub struct Args {
    /// Brokers: `HOST:PORT`.
    brokers: String,
    topic: String,
    /// A node of Cassandra: `HOST:PORT`.
    node: String,
    keyspace: String,
    /// Elasticsearch: `http://HOST:PORT`.
    url: String,
    index: String,
    /// How long moments are sent.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// How many a second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// So many seconds at the beginning do not count.
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
}

/// When the annotations of a moment were sent, by its second.
type Sent = Arc<Mutex<BTreeMap<u64, Instant>>>;

pub fn main(args: &Args) -> Result<(), Failure> {
    let count = (args.seconds * args.rate) as u64;
    if count > MOST {
        return Err(format!("{count} moments are more than the {MOST} that can be watched").into());
    }
    let skipped = (args.warm_up * args.rate) as u64;
    let table = Sent::default();
    let index = Sent::default();
    let (node, keyspace) = (args.node.clone(), args.keyspace.clone());
    let (url, name) = (args.url.clone(), args.index.clone());
    let deadline = Instant::now() + Duration::from_secs_f64(args.seconds) + LAST;
    let watch_table = {
        let sent = table.clone();
        thread::spawn(move || rows(&node, &keyspace, &sent, count, deadline))
    };
    let watch_index = {
        let sent = index.clone();
        thread::spawn(move || documents(&url, &name, &sent, count, deadline))
    };
    send(args, count, [&table, &index])?;
    let of_table = watch_table.join().map_err(|_| "the watch of the table has panicked")??;
    let of_index = watch_index.join().map_err(|_| "the watch of the index has panicked")??;
    println!("{}", json!({ "cassandra": summary(&of_table, skipped), "elasticsearch": summary(&of_index, skipped) }));
    Ok(())
}

fn send(args: &Args, count: u64, watched: [&Sent; 2]) -> Result<(), Failure> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &args.brokers).set("linger.ms", "0").create()?;
    let begun = Instant::now();
    for n in 0..count {
        let due = Duration::from_secs_f64(n as f64 / args.rate);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let now = Instant::now();
        for sent in watched {
            sent.lock().unwrap_or_else(PoisonError::into_inner).insert(n, now);
        }
        for kind in ["CHARACTER_SEARCH", "SCENE_SEARCH"] {
            let key = format!("{ASSET}-{kind}-{n}");
            let payload = json!({
                "annotation_id": key, "type": kind, "label": "seen", "associated_ids": { "ASSET_ID": ASSET },
                "time_range": { "start_time_ns": n * 1_000_000_000, "end_time_ns": (n + 1) * 1_000_000_000 },
            });
            let payload = payload.to_string();
            let record = BaseRecord::to(&args.topic).key(&key).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        // They are on their way already; waiting for the answers would take longer than until the next ones are due.
        producer.poll(Duration::ZERO);
    }
    Ok(producer.flush(LAST)?)
}

/// What was seen, by second, and how many milliseconds after it was sent.
type Seen = BTreeMap<u64, f64>;

/// Asks for moments from the first one that was not seen, again and again.
fn watch(
    sent: &Sent,
    count: u64,
    deadline: Instant,
    pause: Duration,
    mut ask: impl FnMut(u64) -> Result<Vec<u64>, Failure>,
) -> Result<Seen, Failure> {
    let mut seen = Seen::new();
    while (seen.len() as u64) < count && Instant::now() < deadline {
        let from = (0..count).find(|n| !seen.contains_key(n)).unwrap_or(0);
        // Moments of a table or an index that is not there yet.
        let found = ask(from).unwrap_or_default();
        let now = Instant::now();
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        for n in found {
            if let Some(at) = sent.remove(&n) {
                seen.insert(n, now.duration_since(at).as_secs_f64() * 1e3);
            }
        }
        drop(sent);
        thread::sleep(pause);
    }
    Ok(seen)
}

fn rows(node: &str, keyspace: &str, sent: &Sent, count: u64, deadline: Instant) -> Result<Seen, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let session = runtime.block_on(SessionBuilder::new().known_node(node).build())?;
    let text =
        format!("SELECT start_ns FROM {keyspace}.moments WHERE asset = '{ASSET}' AND hour = 0 AND start_ns >= ?");
    let mut statement = None;
    watch(sent, count, deadline, LOOK_AT_TABLE, |from| {
        runtime.block_on(async {
            let select = match &statement {
                Some(select) => select,
                None => statement.insert(session.prepare(text.as_str()).await?),
            };
            let start_ns = i64::try_from(from)? * 1_000_000_000;
            let answer = session.execute_unpaged(select, (start_ns,)).await?.into_rows_result()?;
            let mut found = Vec::new();
            for row in answer.rows::<(i64,)>()? {
                found.push(u64::try_from(row?.0)? / 1_000_000_000);
            }
            Ok(found)
        })
    })
}

fn documents(url: &str, index: &str, sent: &Sent, count: u64, deadline: Instant) -> Result<Seen, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let http = crate::http()?;
    let url = format!("{url}/{index}/_search?filter_path=hits.hits.fields");
    watch(sent, count, deadline, LOOK_AT_INDEX, |from| {
        let query = json!({
            "size": 1_000, "_source": false, "fields": ["time_bucket_start_ns"],
            "query": { "bool": { "filter": [
                { "term": { "associated_ids.ASSET_ID": ASSET } },
                { "range": { "time_bucket_start_ns": { "gte": from * 1_000_000_000 } } },
            ] } },
        });
        let body = query.to_string();
        let answer = runtime.block_on(async {
            let request = http.post(&url).header("content-type", "application/json").body(body);
            request.send().await?.error_for_status()?.bytes().await
        })?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let start = |hit: &Value| hit["fields"]["time_bucket_start_ns"][0].as_u64().map(|ns| ns / 1_000_000_000);
        Ok(hits.iter().filter_map(start).collect())
    })
}

fn summary(seen: &Seen, skipped: u64) -> Value {
    let mut all: Vec<f64> = seen.range(skipped..).map(|(_, ms)| *ms).collect();
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1)));
    json!({ "count": all.len(), "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": all.last() })
}
