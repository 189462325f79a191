//! What a table of moments holds.

use std::io::{BufWriter, Write};

use scylla::client::session_builder::SessionBuilder;
use serde_json::json;

use crate::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// A node: `HOST:PORT`.
    node: String,
    /// The keyspace, with a table `moments`.
    keyspace: String,
}

/// Prints a line a row: its key, and its document as a string.
pub fn main(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let select = format!("SELECT asset, start_ns, document FROM {}.moments", args.keyspace);
    let answer = runtime.block_on(async {
        let session = SessionBuilder::new().known_node(&args.node).build().await?;
        Ok::<_, Failure>(session.query_unpaged(select, ()).await?.into_rows_result()?)
    })?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in answer.rows::<(String, i64, String)>()? {
        let (asset, start_ns, document) = row?;
        writeln!(out, "{}", json!({ "key": [asset, start_ns], "document": document }))?;
    }
    Ok(out.flush()?)
}
