//! Writes rows to Cassandra with the driver alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;

use crate::Failure;
use crate::clock::Clock;
use crate::documents::{self, Document};

/// Moments of one asset within so many nanoseconds are in one partition.
const HOUR_NS: i64 = 3_600_000_000_000;

#[derive(clap::Args)]
pub struct Args {
    /// A node: `HOST:PORT`.
    node: String,
    /// The keyspace, with a table `moments` that Flowstone has made.
    keyspace: String,
    /// The directory of a `file` sink with the documents.
    documents: PathBuf,
    /// Requests at once.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Bytes of neighbouring rows of one partition that go in one request; 0: each row in one of its own.
    #[arg(long, default_value_t = 0)]
    batch_bytes: usize,
}

/// Asset, hour, start, document, epoch, timestamp.
type Row = (String, i64, i64, String, i64, i64);

pub fn main(args: &Args) -> Result<(), Failure> {
    let documents = documents::read(&args.documents)?;
    let count = documents.len();
    let bytes = documents.iter().map(|document| document.json.len()).sum();
    let requests = requests(documents, args.batch_bytes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (session, insert) = runtime.block_on(connect(args))?;
    let clock = Clock::start();
    runtime.block_on(write(args.in_flight, session, insert, requests))?;
    clock.print(count, bytes);
    Ok(())
}

/// Rows that go together.
fn requests(documents: Vec<Document>, batch_bytes: usize) -> Result<Vec<Vec<Row>>, Failure> {
    let (mut requests, mut bytes): (Vec<Vec<Row>>, _) = (Vec::new(), 0);
    for document in documents {
        let (asset, start_ns): (String, i64) = serde_json::from_str(&document.key)?;
        let row = (asset, start_ns.div_euclid(HOUR_NS), start_ns, document.json, 1, 1_000);
        bytes += row.3.len();
        match requests.last_mut() {
            Some(last) if bytes <= batch_bytes && (&last[0].0, last[0].1) == (&row.0, row.1) => last.push(row),
            _ => {
                bytes = row.3.len();
                requests.push(vec![row]);
            }
        }
    }
    Ok(requests)
}

async fn connect(args: &Args) -> Result<(Session, PreparedStatement), Failure> {
    let session = SessionBuilder::new().known_node(&args.node).build().await?;
    let columns = "(asset, hour, start_ns, document, epoch) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    let mut insert = session.prepare(format!("INSERT INTO {}.moments {columns}", args.keyspace)).await?;
    insert.set_consistency(Consistency::LocalQuorum);
    insert.set_is_idempotent(true);
    Ok((session, insert))
}

async fn write(
    in_flight: usize,
    session: Session,
    insert: PreparedStatement,
    requests: Vec<Vec<Row>>,
) -> Result<(), Failure> {
    let shared = Arc::new((session, insert, requests));
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..in_flight {
        let (shared, next) = (shared.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let (session, insert, requests) = &*shared;
            while let Some(rows) = requests.get(next.fetch_add(1, Relaxed)) {
                if let [row] = rows.as_slice() {
                    session.execute_unpaged(insert, row).await?;
                    continue;
                }
                let statements = vec![BatchStatement::PreparedStatement(insert.clone()); rows.len()];
                let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                batch.set_consistency(Consistency::LocalQuorum);
                session.batch(&batch, rows).await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}
