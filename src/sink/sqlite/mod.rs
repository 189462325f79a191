//! A table of an SQLite file: a row a key, exactly what the collection holds as of the sink's upper.
//!
//! | column | holds |
//! |---|---|
//! | `key` | the row key, a compact JSON array: `["a7",4000000000]` |
//! | `document` | the document, JSON text |
//! | `epoch` | the newest epoch that touched the key |
//! | those of `columns:` | values of the document, see `columns.rs` |
//!
//! One transaction an epoch: the rows, the sweep of a fill, and the new upper in `flowstone_meta` become visible together, so
//! that readers see whole epochs only, and a crash leaves the store at an upper that it knows itself. `synchronous=EXTRA`,
//! because with anything less an epoch that was reported durable may be lost when the power fails; it costs a sync an epoch.
//!
//! The file is in WAL mode, where readers do not block the writer, nor it them. Only the first epoch of a new file is written
//! without a log, and readers wait for it: they would find nothing, and a fill that need not be written twice was measured to
//! be 1.7 times as fast.
//!
//! A run that opens the table becomes its owner; the transactions of a run that is not any more are refused (law L6).
//!
//! An index on `epoch` finds what a sweep deletes and the newest epoch. Keeping it costs as much as one scan of the whole table
//! a run, measured with a fill of 1 M rows; but the scans, one of them at each start, grow with the table and with its documents.

use std::path::Path;
use std::time::{Duration, Instant};

use fail::fail_point;
use rusqlite::{Connection, OpenFlags};

use self::error::{explain, is_busy};
use self::schema::{META, Registered, State, Statements, Unfit};
use super::{Change, Opened, SinkError, StoreState, Sweep, Writer};
use crate::pipeline::SqliteSink;
use crate::record::{FieldPath, Renderer, Row};

mod columns;
mod error;
mod schema;
#[cfg(test)]
mod tests;

/// How long another connection may hold the file's lock before that is an error: as long as a large fill of another table.
const PATIENCE: Duration = Duration::from_secs(600);

/// SQLite itself waits so long for a lock; after each such wait the log says what is going on.
const BUSY: Duration = Duration::from_secs(5);

/// The page cache. A fill touches the index of the keys all over; what does not fit is written more than once.
const CACHE_KIB: i64 = 64 << 10;

/// Opens the table that `spec` describes in the file at `path`; makes what is missing. `name` is the sink's; `detach` is how
/// long it may stand still before the run gives it up, if it does: another connection's lock is no error before that.
///
/// # Errors
/// [`SinkError::Mismatch`] if a table of that name exists and has other columns; [`SinkError::Store`] if the file can not be
/// opened or written.
pub fn open(name: &str, path: &Path, spec: &SqliteSink, detach: Option<Duration>) -> Result<Opened, SinkError> {
    let (mut writer, above) = SqliteWriter::open(name, path, spec, PATIENCE)?;
    writer.patience = detach.map_or(PATIENCE, |limit| limit.saturating_add(PATIENCE));
    let store = StoreState { id: writer.registered.store_id.clone(), upper: writer.registered.upper };
    Ok(Opened { writer: Box::new(writer), above, store: Some(store) })
}

struct SqliteWriter {
    /// The sink and the store, for errors.
    object: String,
    table: String,
    statements: Statements,
    columns: Vec<FieldPath>,
    connection: Connection,
    patience: Duration,
    /// What the store must have of this table: its identity, this run as the owner, and that all epochs below the upper
    /// are committed.
    registered: Registered,
    /// The epoch whose transaction is open.
    writing: Option<u64>,
    /// Whether the file has no write-ahead log yet.
    without_log: bool,
    key: Vec<u8>,
    document: Vec<u8>,
    renderer: Renderer,
    scratch: String,
}

impl SqliteWriter {
    fn open(name: &str, path: &Path, spec: &SqliteSink, patience: Duration) -> Result<(Self, u64), SinkError> {
        let object = format!("sqlite sink {name:?} (table {:?} of {path:?})", spec.table);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| SinkError::store("make the directory of", &object, e))?;
        }
        let failed = |error| explain("open", &object, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY.min(patience)).map_err(failed)?;
        let State { registered, newest, alone } = patiently(&object, patience, || configure(&connection))
            .and_then(|()| patiently(&object, patience, || connection.execute_batch("BEGIN IMMEDIATE")))
            .map_err(Unfit::Sqlite)
            .and_then(|()| schema::prepare(&connection, spec))
            .and_then(|state| Ok(connection.execute_batch("COMMIT").map(|()| state)?))
            .map_err(|unfit| match unfit {
                Unfit::Sqlite(error) => failed(error),
                Unfit::Mismatch(difference) => SinkError::Mismatch { object: object.clone(), difference },
            })?;
        let upper = registered.upper;
        let mut writer = SqliteWriter {
            object,
            table: spec.table.clone(),
            statements: Statements::new(spec),
            columns: spec.columns.values().cloned().collect(),
            connection,
            patience,
            registered,
            writing: None,
            without_log: true,
            key: Vec::new(),
            document: Vec::new(),
            renderer: Renderer::default(),
            scratch: String::new(),
        };
        if newest.is_some() || !alone {
            writer.use_log().map_err(writer.failed("open"))?;
        }
        Ok((writer, newest.map_or(0, |epoch| epoch.saturating_add(1)).max(upper)))
    }

    fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> SinkError {
        move |error| explain(action, &self.object, error)
    }

    /// Goes over to WAL mode, unless that was done.
    fn use_log(&mut self) -> rusqlite::Result<()> {
        if !self.without_log {
            return Ok(());
        }
        match self.connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get::<_, String>(0)) {
            // A reader is at it: the next epoch will try again.
            Err(error) if is_busy(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => {}
            // Some file systems can not share memory. Commits are as atomic without.
            Ok(_) => tracing::warn!("{} can not use a write-ahead log; its readers will have to wait", self.object),
        }
        self.without_log = false;
        Ok(())
    }

    /// Opens the epoch's transaction, unless it is open.
    fn begin(&mut self, epoch: u64) -> Result<(), SinkError> {
        if let Some(writing) = self.writing {
            assert_eq!(writing, epoch, "an epoch is closed before the next one is written");
            return Ok(());
        }
        let upper = self.registered.upper;
        assert!(epoch >= upper, "epochs grow: {epoch} is below the upper {upper}");
        patiently(&self.object, self.patience, || self.connection.execute_batch("BEGIN IMMEDIATE"))
            .map_err(self.failed("write to"))?;
        self.writing = Some(epoch);
        let found = schema::registered(&self.connection, &self.table).map_err(self.failed("read"))?;
        if found.as_ref() == Some(&self.registered) {
            return Ok(());
        }
        let object = self.object.clone();
        match found {
            Some(found) if found.store_id == self.registered.store_id && found.owner != self.registered.owner => {
                Err(SinkError::Fenced { object })
            }
            _ => {
                let difference = format!("its entry in {META} was changed while this run wrote it; start again");
                Err(SinkError::Mismatch { object, difference })
            }
        }
    }

    /// The number as SQLite has it.
    fn stored(&self, epoch: u64) -> Result<i64, SinkError> {
        i64::try_from(epoch).map_err(|_| SinkError::Mismatch {
            object: self.object.clone(),
            difference: format!("it holds an epoch next to {epoch}, which no run can have written; drop the table"),
        })
    }

    fn apply(&mut self, epoch: i64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        let SqliteWriter { statements, columns, connection, key, document, renderer, scratch, object, .. } = self;
        let failed = |error| explain("write to", object, error);
        let mut upsert = connection.prepare_cached(&statements.upsert).map_err(failed)?;
        let mut delete = connection.prepare_cached(&statements.delete).map_err(failed)?;
        for change in changes.drain(..) {
            key.clear();
            change.row().write_key(key);
            let key = text(key, "key", object)?;
            match change.after() {
                None => delete.execute([key]).map_err(failed)?,
                Some(row) => {
                    let document = rendered(row, renderer, document, object)?;
                    let mut bind = |n, value: &dyn rusqlite::ToSql| upsert.raw_bind_parameter(n, value).map_err(failed);
                    bind(1, &key)?;
                    bind(2, &document)?;
                    bind(3, &epoch)?;
                    for (n, path) in columns.iter().enumerate() {
                        bind(n + 4, &columns::cell(document, path, scratch))?;
                    }
                    upsert.raw_execute().map_err(failed)?
                }
            };
        }
        Ok(())
    }

    /// Ends the epoch's transaction.
    fn commit(&mut self, epoch: i64, sweep: Sweep) -> rusqlite::Result<()> {
        if sweep == Sweep::Older {
            fail_point!("sink-sweep");
            self.connection.prepare_cached(&self.statements.sweep)?.execute([epoch])?;
        }
        let advance = "UPDATE flowstone_meta SET upper = ?2 WHERE table_name = ?1";
        self.connection.prepare_cached(advance)?.execute((&self.table, epoch + 1))?;
        fail_point!("sink-before-commit");
        self.connection.execute_batch("COMMIT")?;
        fail_point!("sink-after-commit");
        Ok(())
    }
}

impl Writer for SqliteWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        let stored = self.stored(epoch)?;
        self.begin(epoch)?;
        self.apply(stored, changes)
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        // One more than the epoch is stored, as the upper.
        let stored = self.stored(epoch + 1)? - 1;
        self.begin(epoch)?;
        self.commit(stored, sweep).map_err(self.failed("commit to"))?;
        self.writing = None;
        self.registered.upper = epoch + 1;
        self.use_log().map_err(self.failed("write to"))
    }

    fn durable_upper(&self) -> u64 {
        self.registered.upper
    }

    /// Leaves one file without a log beside it, unless a reader still needs that.
    fn finish(&mut self) -> Result<(), SinkError> {
        if self.writing.take().is_some() {
            self.connection.execute_batch("ROLLBACK").map_err(self.failed("roll back"))?;
        }
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
        match checkpoint {
            Ok(0) => {}
            Ok(_) => tracing::debug!("a reader keeps the log of {} in use", self.object),
            Err(error) if is_busy(&error) => tracing::debug!("a reader keeps the log of {} in use", self.object),
            Err(error) => return Err(explain("checkpoint", &self.object, error)),
        }
        Ok(())
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    // After a fill the log would stay as large as the fill.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

/// Repeats what fails because of another connection's lock.
fn patiently<T>(
    object: &str,
    patience: Duration,
    mut attempt: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && start.elapsed() < patience => {
                tracing::warn!("another program holds the lock of {object}; waiting for it");
                // SQLite does not always wait itself.
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn rendered<'a>(
    row: &Row,
    renderer: &mut Renderer,
    document: &'a mut Vec<u8>,
    object: &str,
) -> Result<&'a str, SinkError> {
    document.clear();
    renderer.document(row, document);
    text(document, "document", object)
}

fn text<'a>(bytes: &'a [u8], what: &str, object: &str) -> Result<&'a str, SinkError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        SinkError::store("write to", object, format!("the {what} that starts with {shown:?} is not UTF-8: {e}"))
    })
}
