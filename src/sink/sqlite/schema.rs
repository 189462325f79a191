//! The tables: how they are made, and whether those that exist are the right ones.

use std::fmt::Write;

use rusqlite::{Connection, OptionalExtension};

use crate::pipeline::SqliteSink;

/// Remembers, for each table that a sink writes, which one it is, up to where it was written, and which run writes it.
pub(super) const META: &str = "flowstone_meta";

const CREATE_META: &str = "CREATE TABLE IF NOT EXISTS flowstone_meta \
    (table_name TEXT PRIMARY KEY NOT NULL, store_id TEXT NOT NULL, upper INTEGER NOT NULL, owner TEXT)";

/// For files of versions that did not know of owners.
const ADD_OWNER: &str = "ALTER TABLE flowstone_meta ADD COLUMN owner TEXT";

/// The columns that every table has: name, type, and whether it is the primary key.
const FIXED: [(&str, &str, bool); 3] =
    [("key", "TEXT", true), ("document", "TEXT", false), ("epoch", "INTEGER", false)];

/// The statements for one table.
pub(super) struct Statements {
    pub(super) upsert: String,
    pub(super) delete: String,
    pub(super) sweep: String,
}

/// Why a table can not be written.
pub(super) enum Unfit {
    Sqlite(rusqlite::Error),
    Mismatch(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Unfit::Sqlite(error)
    }
}

/// A name as SQL text, whatever it contains.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Statements {
    pub(super) fn new(spec: &SqliteSink) -> Self {
        let table = quoted(&spec.table);
        let columns: Vec<String> = names(spec).map(quoted).collect();
        let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        // Not REPLACE, which would give the row a new place in the table and in every index.
        let updates: Vec<String> = columns[1..].iter().map(|c| format!("{c} = excluded.{c}")).collect();
        Statements {
            upsert: format!(
                "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT (\"key\") DO UPDATE SET {}",
                columns.join(", "),
                places.join(", "),
                updates.join(", ")
            ),
            delete: format!("DELETE FROM {table} WHERE \"key\" = ?1"),
            sweep: format!("DELETE FROM {table} WHERE \"epoch\" < ?1"),
        }
    }
}

fn names(spec: &SqliteSink) -> impl Iterator<Item = &str> {
    FIXED.iter().map(|(name, ..)| *name).chain(spec.columns.keys().map(String::as_str))
}

/// What an open table holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registered: Registered,
    /// The newest epoch of a row; `None` if it has no rows.
    pub(super) newest: Option<u64>,
    /// Whether the file has no other tables.
    pub(super) alone: bool,
}

/// Makes the table unless it exists, and checks it if it does. Within a transaction.
pub(super) fn prepare(connection: &Connection, spec: &SqliteSink) -> Result<State, Unfit> {
    check_names(spec)?;
    connection.execute_batch(CREATE_META)?;
    if !columns(connection, META)?.iter().any(|column| column.name == "owner") {
        connection.execute_batch(ADD_OWNER)?;
    }
    let found = columns(connection, &spec.table)?;
    let exists = !found.is_empty();
    if !exists {
        connection.execute_batch(&create(spec))?;
    } else if let Some(difference) = difference(spec, &found) {
        return Err(Unfit::Mismatch(difference));
    }
    // Tables and indexes share their names.
    let index = quoted(&format!("flowstone_epoch_of_{}", spec.table));
    connection.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {index} ON {} (\"epoch\")", quoted(&spec.table)))?;
    let registered = register(connection, &spec.table, exists)?;
    let newest = format!("SELECT max(\"epoch\") FROM {}", quoted(&spec.table));
    let newest: Option<i64> = connection.query_row(&newest, (), |row| row.get(0))?;
    let newest = newest.map(|epoch| u64::try_from(epoch).unwrap_or(0));
    let others = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN (?1, ?2)";
    let alone = connection.query_row(others, (META, &spec.table), |row| row.get::<_, i64>(0))? == 0;
    Ok(State { registered, newest, alone })
}

fn check_names(spec: &SqliteSink) -> Result<(), Unfit> {
    let reserved = spec.table.eq_ignore_ascii_case(META) || spec.table.to_ascii_lowercase().starts_with("sqlite_");
    if reserved {
        return Err(Unfit::Mismatch(format!("the table name {:?} is reserved; choose another", spec.table)));
    }
    let all: Vec<&str> = names(spec).collect();
    for (n, name) in all.iter().enumerate() {
        // SQLite does not tell upper and lower case of names apart.
        if all[..n].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Unfit::Mismatch(format!("the column {name:?} would exist twice; choose another name")));
        }
    }
    Ok(())
}

fn create(spec: &SqliteSink) -> String {
    let mut sql = format!(
        "CREATE TABLE {} (\"key\" TEXT PRIMARY KEY NOT NULL, \"document\" TEXT NOT NULL, \"epoch\" INTEGER NOT NULL",
        quoted(&spec.table)
    );
    for column in spec.columns.keys() {
        // Without a type SQLite stores each value as what it is.
        write!(sql, ", {}", quoted(column)).expect("a string can be written to");
    }
    sql.push(')');
    sql
}

struct Column {
    name: String,
    declared: String,
    in_key: bool,
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let rows = statement.query_map([table], |row| {
        Ok(Column { name: row.get(0)?, declared: row.get(1)?, in_key: row.get::<_, i64>(2)? != 0 })
    })?;
    rows.collect()
}

/// Expected and found, unless they are the same.
fn difference(spec: &SqliteSink, found: &[Column]) -> Option<String> {
    let further = spec.columns.keys().map(|name| (name.as_str(), "", false));
    let expected: Vec<(&str, &str, bool)> = FIXED.into_iter().chain(further).collect();
    let equal = |column: &Column, (name, declared, in_key): &(&str, &str, bool)| {
        column.name.eq_ignore_ascii_case(name)
            && column.declared.eq_ignore_ascii_case(declared)
            && column.in_key == *in_key
    };
    if found.len() == expected.len() && found.iter().zip(&expected).all(|(column, expected)| equal(column, expected)) {
        return None;
    }
    let expected = expected.iter().map(|(name, declared, in_key)| describe(name, declared, *in_key));
    let found = found.iter().map(|column| describe(&column.name, &column.declared, column.in_key));
    Some(format!(
        "expected the columns ({}), found ({}); drop the table, or name another one",
        expected.collect::<Vec<_>>().join(", "),
        found.collect::<Vec<_>>().join(", ")
    ))
}

fn describe(name: &str, declared: &str, in_key: bool) -> String {
    let mut text = name.to_owned();
    if !declared.is_empty() {
        text = format!("{text} {declared}");
    }
    if in_key {
        text.push_str(" PRIMARY KEY");
    }
    text
}

/// Makes this run the owner of the table. One that was made anew has a new identity; its epochs go on above the old upper.
fn register(connection: &Connection, table: &str, exists: bool) -> rusqlite::Result<Registered> {
    if !exists {
        let renew = "UPDATE flowstone_meta SET store_id = lower(hex(randomblob(16))) WHERE table_name = ?1";
        connection.execute(renew, [table])?;
    }
    let add = "INSERT INTO flowstone_meta (table_name, store_id, upper) VALUES (?1, lower(hex(randomblob(16))), 0) \
        ON CONFLICT DO NOTHING";
    connection.execute(add, [table])?;
    let own = "UPDATE flowstone_meta SET owner = lower(hex(randomblob(16))) WHERE table_name = ?1";
    connection.execute(own, [table])?;
    registered(connection, table).map(|found| found.expect("it was added"))
}

/// What the meta table has of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    /// The table's identity: another one means that it was made anew.
    pub(super) store_id: String,
    /// All epochs below are in it.
    pub(super) upper: u64,
    /// The run that opened it last; a random name.
    pub(super) owner: String,
}

pub(super) fn registered(connection: &Connection, table: &str) -> rusqlite::Result<Option<Registered>> {
    let mut statement = connection
        .prepare_cached("SELECT store_id, upper, ifnull(owner, '') FROM flowstone_meta WHERE table_name = ?1")?;
    let row = |row: &rusqlite::Row<'_>| {
        let upper = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(Registered { store_id: row.get(0)?, upper, owner: row.get(2)? })
    };
    statement.query_row([table], row).optional()
}
