//! The table as the cluster has it: made or checked at the start, and what is remembered of it.
//!
//! A table of the sink's own, `flowstone_sinks` in the same keyspace, keeps for each table up to where it was written (law
//! L13) and below which epoch all timestamps in it are. Its rows are named by the id of the table, so that one that was
//! dropped and made again has none.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::session::{Cluster, OPEN_PATIENCE};
use super::table::{FoundColumn, Table, quoted};
use crate::pipeline::remote::CassandraSink;
use crate::sink::SinkError;
use crate::sink::ledger::Told;

/// A table that is open.
pub(super) struct Store {
    keyspace: String,
    table: String,
    /// The table's id: its identity.
    pub id: String,
}

/// What is known of a table when it is opened.
pub(super) struct Found {
    pub store: Store,
    pub told: Told,
    /// Whether it may have rows.
    pub is_populated: bool,
}

/// Opens or makes the table.
pub(super) async fn open(cluster: &Cluster, spec: &CassandraSink, table: &Table) -> Result<Found, SinkError> {
    let mismatch = |difference: String| SinkError::Mismatch { object: cluster.object.clone(), difference };
    let ask = |statement: String| async move { cluster.ask("make", &statement, (), Some(OPEN_PATIENCE)).await };
    if spec.create {
        ask(create_keyspace(spec)).await?;
        ask(table.create()).await?;
        ask(create_memory(&spec.keyspace)).await?;
    }
    let id = table_id(cluster, &spec.keyspace, &spec.table).await?.ok_or_else(|| {
        mismatch("there is no such table; make it, or let flowstone make it: create: true".to_owned())
    })?;
    let differences = table.differences(&columns(cluster, spec).await?);
    if !differences.is_empty() {
        return Err(mismatch(differences.join("; ")));
    }
    if table_id(cluster, &spec.keyspace, MEMORY).await?.is_none() {
        let statement = create_memory(&spec.keyspace);
        return Err(mismatch(format!(
            "it lacks the table that remembers up to where it was written; make it: {statement}"
        )));
    }
    let is_populated = {
        let found = cluster.ask("read", &table.any(), (), Some(OPEN_PATIENCE)).await?;
        found.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0)
    };
    let store = Store { keyspace: spec.keyspace.clone(), table: spec.table.clone(), id };
    let told = match store.recall(cluster).await? {
        Some(told) => told,
        None if is_populated => {
            let difference =
                "it holds rows that flowstone has not written, and would delete; name another table, or truncate it";
            return Err(mismatch(difference.to_owned()));
        }
        None => Told::default(),
    };
    Ok(Found { store, told, is_populated: is_populated || told.above > 0 })
}

const MEMORY: &str = "flowstone_sinks";

fn create_keyspace(spec: &CassandraSink) -> String {
    let copies = spec.replication;
    let replication = match &spec.datacenter {
        Some(datacenter) => {
            format!("{{'class': 'NetworkTopologyStrategy', '{}': {copies}}}", datacenter.replace('\'', "''"))
        }
        None => format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"),
    };
    format!("CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {replication}", quoted(&spec.keyspace))
}

fn create_memory(keyspace: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{MEMORY} (table_name text, table_id text, upper bigint, above bigint, \
         PRIMARY KEY (table_name, table_id))",
        quoted(keyspace)
    )
}

async fn table_id(cluster: &Cluster, keyspace: &str, table: &str) -> Result<Option<String>, SinkError> {
    let statement = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let found = cluster.ask("read the schema of", statement, (keyspace, table), Some(OPEN_PATIENCE)).await?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        SinkError::store("read the schema of", &cluster.object, error)
    };
    let rows = found.into_rows_result().map_err(|error| failed(error.into()))?;
    let id = rows.maybe_first_row::<(Uuid,)>().map_err(|error| failed(error.into()))?;
    Ok(id.map(|(id,)| id.to_string()))
}

async fn columns(cluster: &Cluster, spec: &CassandraSink) -> Result<BTreeMap<String, FoundColumn>, SinkError> {
    let statement = "SELECT column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
    let names = (spec.keyspace.as_str(), spec.table.as_str());
    let found = cluster.ask("read the schema of", statement, names, Some(OPEN_PATIENCE)).await?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        SinkError::store("read the schema of", &cluster.object, error)
    };
    let rows = found.into_rows_result().map_err(|error| failed(error.into()))?;
    let rows = rows.rows::<(String, String, String, i32)>().map_err(|error| failed(error.into()))?;
    let column = |(name, kind, part, position)| (name, FoundColumn { kind, part, position });
    rows.map(|row| row.map(column).map_err(|error| failed(error.into()))).collect()
}

impl Store {
    fn memory(&self) -> String {
        format!("{}.{MEMORY}", quoted(&self.keyspace))
    }

    async fn recall(&self, cluster: &Cluster) -> Result<Option<Told>, SinkError> {
        let statement = format!("SELECT upper, above FROM {} WHERE table_name = ? AND table_id = ?", self.memory());
        let names = (self.table.as_str(), self.id.as_str());
        let found = cluster.ask("read", &statement, names, Some(OPEN_PATIENCE)).await?;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| SinkError::store("read", &cluster.object, error);
        let rows = found.into_rows_result().map_err(|error| failed(error.into()))?;
        let row = rows.maybe_first_row::<(Option<i64>, Option<i64>)>().map_err(|error| failed(error.into()))?;
        let number = |stored: Option<i64>| stored.map_or(0, |stored| stored as u64);
        Ok(row.map(|(upper, above)| Told { upper: number(upper), above: number(above) }))
    }

    /// Remembers what is true now, if the table is still the one that was opened: what was written to it is not in one that was made
    /// anew meanwhile, and the driver would not say so. An upper has itself as its timestamp: a run that wakes up late can
    /// not lower it.
    pub async fn remember(
        &self,
        cluster: &Cluster,
        told: Told,
        patience: Option<std::time::Duration>,
    ) -> Result<(), SinkError> {
        if table_id(cluster, &self.keyspace, &self.table).await?.as_ref() != Some(&self.id) {
            let difference = "its table is gone; it was dropped, or made anew, while it was in use".to_owned();
            return Err(SinkError::Mismatch { object: cluster.object.clone(), difference });
        }
        let Told { upper, above } = told;
        for (column, value, timestamp) in [("upper", upper, micros(upper)), ("above", above, super::unix_micros())] {
            let statement = format!(
                "INSERT INTO {} (table_name, table_id, {column}) VALUES (?, ?, ?) USING TIMESTAMP ?",
                self.memory()
            );
            let values = (self.table.as_str(), self.id.as_str(), value as i64, timestamp);
            cluster.ask("write to", &statement, values, patience).await?;
        }
        Ok(())
    }
}

/// An epoch as a timestamp.
pub(super) fn micros(epoch: u64) -> i64 {
    i64::try_from(epoch.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
