//! A table as the tests see it.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};

use crate::support::Documents;

/// A keyspace of a server at `HOST:PORT`, with the table `moments`.
pub struct Keyspace {
    pub node: String,
    pub name: String,
}

impl Keyspace {
    /// With a name of its own.
    pub fn new(node: &str) -> Self {
        Keyspace { node: node.to_owned(), name: crate::unique("video") }
    }

    /// The sink that writes the table.
    pub fn sink(&self, more: &str) -> String {
        let Keyspace { node, name } = self;
        format!(
            "  store: {{ from: moments, cassandra: {{ nodes: \"{node}\", keyspace: {name}, table: moments, in_flight: 32{more} }} }}\n"
        )
    }

    /// The rows that a statement gives; none if it fails.
    pub fn try_rows(&self, statement: &str) -> Option<Vec<Vec<Option<CqlValue>>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session: Session = SessionBuilder::new().known_node(&self.node).build().await.ok()?;
            let answer = session.query_unpaged(statement, ()).await.ok()?;
            let Ok(rows) = answer.into_rows_result() else { return Some(Vec::new()) };
            Some(rows.rows::<Row>().unwrap().map(|row| row.unwrap().columns).collect())
        })
    }

    /// The rows that a statement gives.
    pub fn rows(&self, statement: &str) -> Vec<Vec<Option<CqlValue>>> {
        self.try_rows(statement).unwrap_or_else(|| panic!("{statement} failed"))
    }

    /// All documents, by row key; none while the table can not be read.
    pub fn documents(&self) -> Documents {
        let statement = format!("SELECT asset, start_ns, document FROM {}.moments", self.name);
        let rows = self.try_rows(&statement).unwrap_or_default();
        let row = |row: Vec<Option<CqlValue>>| match <[_; 3]>::try_from(row).unwrap() {
            [Some(CqlValue::Text(asset)), Some(CqlValue::BigInt(start_ns)), Some(CqlValue::Text(document))] => {
                (format!("[\"{asset}\",{start_ns}]"), document)
            }
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(row).collect()
    }
}
