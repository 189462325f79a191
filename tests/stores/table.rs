//! A table as the tests see it.

use std::collections::BTreeMap;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use tokio::runtime::Runtime;

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

    /// A session that reads the table; none while the server can not be reached.
    pub fn reader(&self) -> Option<Reader> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = runtime.block_on(SessionBuilder::new().known_node(&self.node).build()).ok()?;
        Some(Reader { runtime, session, table: format!("{}.moments", self.name) })
    }

    /// The rows that a statement gives; none if it fails.
    pub fn try_rows(&self, statement: &str) -> Option<Vec<Vec<Option<CqlValue>>>> {
        self.reader()?.rows(statement)
    }

    /// The rows that a statement gives.
    pub fn rows(&self, statement: &str) -> Vec<Vec<Option<CqlValue>>> {
        self.try_rows(statement).unwrap_or_else(|| panic!("{statement} failed"))
    }

    /// Every cell has its epoch as its timestamp. The epochs that there are, in order.
    pub fn assert_timestamps(&self) -> Vec<i64> {
        let statement = format!("SELECT epoch, WRITETIME(document), WRITETIME(epoch) FROM {}.moments", self.name);
        let number = |value: &Option<CqlValue>| value.as_ref().and_then(CqlValue::as_bigint).unwrap();
        let mut epochs = Vec::new();
        for row in self.rows(&statement) {
            let row: Vec<i64> = row.iter().map(number).collect();
            assert_eq!(row[1..], [row[0] * 1_000; 2]);
            epochs.push(row[0]);
        }
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }

    /// All documents, by row key; none while the table can not be read.
    pub fn documents(&self) -> Documents {
        let stored = self.reader().and_then(|reader| reader.stored()).unwrap_or_default();
        stored.into_iter().map(|(key, (_, document))| (key, document)).collect()
    }
}

/// Reads the table again and again.
pub struct Reader {
    runtime: Runtime,
    session: Session,
    table: String,
}

impl Reader {
    fn rows(&self, statement: &str) -> Option<Vec<Vec<Option<CqlValue>>>> {
        let answer = self.runtime.block_on(self.session.query_unpaged(statement, ())).ok()?;
        let Ok(rows) = answer.into_rows_result() else { return Some(Vec::new()) };
        Some(rows.rows::<Row>().unwrap().map(|row| row.unwrap().columns).collect())
    }

    /// The epoch and the document of each row, by row key; of what somebody else has written the epoch is 0.
    pub fn stored(&self) -> Option<BTreeMap<String, (u64, String)>> {
        let rows = self.rows(&format!("SELECT asset, start_ns, epoch, document FROM {}", self.table))?;
        let row = |row: Vec<Option<CqlValue>>| {
            let [Some(CqlValue::Text(asset)), Some(CqlValue::BigInt(start_ns)), epoch, Some(CqlValue::Text(document))] =
                <[_; 4]>::try_from(row).unwrap()
            else {
                panic!("a cell is missing")
            };
            let epoch = epoch.map_or(0, |epoch| u64::try_from(epoch.as_bigint().unwrap()).unwrap());
            (format!("[\"{asset}\",{start_ns}]"), (epoch, document))
        };
        Some(rows.into_iter().map(row).collect())
    }
}
