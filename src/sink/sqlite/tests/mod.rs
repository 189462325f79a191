//! The rules of the SQLite sink, on real files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use rusqlite::Connection;
use tempfile::TempDir;

use super::SqliteWriter;
use crate::pipeline::SqliteSink;
use crate::record::FieldPath;
use crate::sink::testing::{delete, epoch, row_of, upsert};
use crate::sink::{Change, Opened, SinkError, StoreState, Sweep, Writer};

mod contents;
mod failures;

/// A store in a directory of its own.
struct Store {
    dir: TempDir,
    spec: SqliteSink,
}

impl Store {
    fn new() -> Self {
        Store::with(&[])
    }

    fn with(columns: &[(&str, &str)]) -> Self {
        let columns: IndexMap<_, _> =
            columns.iter().map(|(name, path)| (name.to_string(), FieldPath::literal(path))).collect();
        let spec = SqliteSink { path: "moments.db".to_owned(), table: "moments".to_owned(), columns };
        Store { dir: TempDir::new().unwrap(), spec }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.spec.path)
    }

    fn try_open(&self) -> Result<(SqliteWriter, u64), SinkError> {
        SqliteWriter::open("store", &self.path(), &self.spec, Duration::from_millis(200))
    }

    fn open(&self) -> (SqliteWriter, u64) {
        self.try_open().unwrap()
    }

    /// Another program's connection.
    fn reader(&self) -> Connection {
        reader(&self.path())
    }

    /// Key, document and epoch of all rows, as another program sees them.
    fn rows(&self) -> Vec<(String, String, u64)> {
        let reader = self.reader();
        let mut statement = reader.prepare("SELECT key, document, epoch FROM moments ORDER BY key").unwrap();
        let rows = statement.query_map((), |r| Ok((r.get(0)?, r.get(1)?, number(r, 2)))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn upper(&self) -> u64 {
        self.reader()
            .query_row("SELECT upper FROM flowstone_meta WHERE table_name = 'moments'", (), |r| Ok(number(r, 0)))
            .unwrap()
    }
}

fn reader(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// As a run gets it.
fn opened(store: &Store) -> Opened {
    super::open("store", &store.path(), &store.spec, None).unwrap()
}

fn stored(key: &str, document: &str, epoch: u64) -> (String, String, u64) {
    (format!("[\"{key}\"]"), document.to_owned(), epoch)
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(column).unwrap()).unwrap()
}
