//! The table: which columns it has, and where their values come from.

use std::collections::BTreeMap;

use super::cell::Source;
use crate::pipeline::layout::Layout;
use crate::pipeline::remote::{CassandraSink, CassandraType, ColumnSpec};
use crate::record::FieldPath;

/// Moments of one asset within so many nanoseconds are in one partition: those of an hour of footage.
const HOUR_NS: u64 = 3_600_000_000_000;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Partition,
    Clustering,
    Regular,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub kind: CassandraType,
    pub part: Part,
    pub source: Source,
}

/// The columns of a table: those of the partition key, clustering columns, then others; the last is `epoch`.
#[derive(Clone, Debug)]
pub(super) struct Table {
    keyspace: String,
    name: String,
    pub columns: Vec<Column>,
    ttl_s: Option<u64>,
}

fn column(name: &str, kind: CassandraType, part: Part, source: Source) -> Column {
    Column { name: name.to_owned(), kind, part, source }
}

impl Table {
    /// The table that a sink describes, of rows like these.
    ///
    /// # Errors
    /// If rows with different keys would be one row of it.
    pub fn of(spec: &CassandraSink, layout: &Layout) -> Result<Self, String> {
        let is_custom = !(spec.partition.is_empty() && spec.clustering.is_empty() && spec.columns.is_empty());
        let mut columns = match is_custom {
            true => custom(spec, layout)?,
            false => default_columns(layout),
        };
        columns.push(column("epoch", CassandraType::Bigint, Part::Regular, Source::Epoch));
        let ttl_s = spec.ttl.map(|ttl| (ttl.nanos() as u64 / 1_000_000_000).max(1));
        Ok(Table { keyspace: spec.keyspace.clone(), name: spec.table.clone(), columns, ttl_s })
    }

    fn full_name(&self) -> String {
        format!("{}.{}", quoted(&self.keyspace), quoted(&self.name))
    }

    fn names(&self, part: Part) -> Vec<String> {
        self.columns.iter().filter(|column| column.part == part).map(|column| quoted(&column.name)).collect()
    }

    /// The columns of the primary key, which come first.
    pub fn key_columns(&self) -> usize {
        self.columns.iter().filter(|column| column.part != Part::Regular).count()
    }

    /// The columns of the partition key, which come before the others.
    pub fn partition_columns(&self) -> usize {
        self.columns.iter().filter(|column| column.part == Part::Partition).count()
    }

    pub fn create(&self) -> String {
        let columns = self.columns.iter().map(|column| format!("{} {}", quoted(&column.name), cql(column.kind)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let (partition, clustering) = (self.names(Part::Partition).join(", "), self.names(Part::Clustering));
        let clustering = if clustering.is_empty() { String::new() } else { format!(", {}", clustering.join(", ")) };
        format!("CREATE TABLE IF NOT EXISTS {} ({columns}, PRIMARY KEY (({partition}){clustering}))", self.full_name())
    }

    /// Values: those of all columns, then the timestamp.
    pub fn insert(&self) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; self.columns.len()].join(", ");
        let ttl = self.ttl_s.map_or_else(String::new, |ttl| format!(" AND TTL {ttl}"));
        format!("INSERT INTO {} ({names}) VALUES ({marks}) USING TIMESTAMP ?{ttl}", self.full_name())
    }

    /// Values: the timestamp, then those of the primary key.
    pub fn delete(&self) -> String {
        let keys = self.columns[..self.key_columns()].iter().map(|column| format!("{} = ?", quoted(&column.name)));
        format!("DELETE FROM {} USING TIMESTAMP ? WHERE {}", self.full_name(), keys.collect::<Vec<_>>().join(" AND "))
    }

    /// All rows of a range of tokens: the primary key and the epoch. Values: above which token, and up to which.
    pub fn scan(&self) -> String {
        let keys: Vec<String> = self.columns[..self.key_columns()].iter().map(|column| quoted(&column.name)).collect();
        let partition = keys[..self.partition_columns()].join(", ");
        format!(
            "SELECT {}, \"epoch\" FROM {} WHERE token({partition}) > ? AND token({partition}) <= ?",
            keys.join(", "),
            self.full_name()
        )
    }

    /// Whether there is a row at all.
    pub fn any(&self) -> String {
        format!("SELECT \"epoch\" FROM {} LIMIT 1", self.full_name())
    }

    /// What differs from the columns that are there: by name their type, kind and place. Regular ones that are more are fine.
    pub fn differences(&self, found: &BTreeMap<String, FoundColumn>) -> Vec<String> {
        let mut differences = Vec::new();
        let (mut partition, mut clustering) = (0, 0);
        for Column { name, kind, part, .. } in &self.columns {
            let (part, position) = match part {
                Part::Partition => ("partition_key", next(&mut partition)),
                Part::Clustering => ("clustering", next(&mut clustering)),
                Part::Regular => ("regular", -1),
            };
            let expected = FoundColumn { kind: cql(*kind).to_owned(), part: part.to_owned(), position };
            match found.get(name) {
                None => differences.push(format!("it has no column {name:?} ({expected})")),
                Some(found) if *found != expected => {
                    differences.push(format!("its column {name:?} is {found}, and {expected} is needed"));
                }
                Some(_) => {}
            }
        }
        let is_ours = |name: &str| self.columns.iter().any(|column| column.name == name);
        let more = found.iter().filter(|(name, column)| column.part != "regular" && !is_ours(name));
        differences.extend(more.map(|(name, column)| format!("its column {name:?} is {column}, and none is needed")));
        differences
    }
}

fn next(position: &mut i32) -> i32 {
    *position += 1;
    *position - 1
}

/// A column as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundColumn {
    pub kind: String,
    pub part: String,
    pub position: i32,
}

impl std::fmt::Display for FoundColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            -1 => write!(f, "{} {}", self.part, self.kind),
            position => write!(f, "{} {} number {}", self.part, self.kind, position + 1),
        }
    }
}

fn default_columns(layout: &Layout) -> Vec<Column> {
    use CassandraType::{Bigint, Text};
    let document = column("document", Text, Part::Regular, Source::Document);
    match layout {
        Layout::Moments(_) => vec![
            column("asset", Text, Part::Partition, Source::Asset),
            column("hour", Bigint, Part::Partition, Source::StartDividedBy(HOUR_NS)),
            column("start_ns", Bigint, Part::Clustering, Source::StartDividedBy(1)),
            document,
        ],
        Layout::Rows { .. } => vec![column("key", Text, Part::Partition, Source::Key), document],
    }
}

fn custom(spec: &CassandraSink, layout: &Layout) -> Result<Vec<Column>, String> {
    let moments_key;
    let key: &[FieldPath] = match layout {
        Layout::Moments(moments) => {
            moments_key = [moments.asset.clone(), FieldPath::literal("/time_bucket_start_ns")];
            &moments_key
        }
        Layout::Rows { key } => key,
    };
    let shown = || key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if key.is_empty() {
        return Err("its rows have no key, only an origin; leave out partition, clustering and columns".to_owned());
    }
    if spec.partition.is_empty() {
        return Err(format!("name the columns of its partition key: partition, from fields of the key ({})", shown()));
    }
    let in_key = || spec.partition.iter().chain(&spec.clustering);
    if let Some((name, column)) = in_key().find(|(_, column)| !key.contains(&column.path)) {
        return Err(format!(
            "its column {name:?} is part of the primary key, and {} is no field of the rows' key ({}): a row whose value changes \
             would be there twice",
            column.path,
            shown()
        ));
    }
    let is_whole = |field: &&FieldPath| in_key().any(|(_, column)| column.path == **field && column.divide.is_none());
    if let Some(field) = key.iter().find(|field| !is_whole(field)) {
        return Err(format!(
            "{field} is a field of the rows' key, and no column of the primary key holds it as it is: rows would overwrite each other"
        ));
    }
    let parts =
        [(&spec.partition, Part::Partition), (&spec.clustering, Part::Clustering), (&spec.columns, Part::Regular)];
    let columns =
        parts.into_iter().flat_map(|(columns, part)| columns.iter().map(move |(name, spec)| (name, spec, part)));
    let mut columns: Vec<Column> = columns
        .map(|(name, ColumnSpec { kind, path, divide }, part)| {
            column(
                name,
                *kind,
                part,
                Source::Path { path: path.clone(), divide: divide.map_or(1, |span| span.nanos().unsigned_abs()) },
            )
        })
        .collect();
    if spec.columns.is_empty() {
        columns.push(column("document", CassandraType::Text, Part::Regular, Source::Document));
    }
    for (n, column) in columns.iter().enumerate() {
        if column.name == "epoch" || columns[..n].iter().any(|earlier| earlier.name == column.name) {
            return Err(format!("it would have the column {:?} twice", column.name));
        }
    }
    Ok(columns)
}

/// A name as CQL text, whatever it contains.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn cql(kind: CassandraType) -> &'static str {
    match kind {
        CassandraType::Text => "text",
        CassandraType::Bigint => "bigint",
        CassandraType::Double => "double",
        CassandraType::Boolean => "boolean",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::layout::MomentLayout;

    fn spec(more: &str) -> CassandraSink {
        serde_json::from_str(&format!(r#"{{"nodes":"x:9042","keyspace":"ks","table":"moments"{more}}}"#)).unwrap()
    }

    fn moments() -> Layout {
        let path = FieldPath::literal;
        let (asset, key) = (path("/ids/ASSET"), vec![path("/id")]);
        Layout::Moments(MomentLayout { asset, key, start: path("/start"), end: path("/end"), includes_end: false })
    }

    const CUSTOM: &str = r#","ttl":"2h","partition":{"video":{"type":"text","path":"/ids/ASSET"},
        "day":{"type":"bigint","path":"/time_bucket_start_ns","divide":"1d"}},
        "clustering":{"at":{"type":"bigint","path":"/time_bucket_start_ns"}},
        "columns":{"until":{"type":"bigint","path":"/time_bucket_end_ns"}}"#;

    #[test]
    fn moments_of_an_asset_are_in_one_partition_an_hour() {
        let table = Table::of(&spec(""), &moments()).unwrap();
        assert_eq!(
            table.create(),
            "CREATE TABLE IF NOT EXISTS \"ks\".\"moments\" (\"asset\" text, \"hour\" bigint, \"start_ns\" bigint, \"document\" text, \
             \"epoch\" bigint, PRIMARY KEY ((\"asset\", \"hour\"), \"start_ns\"))"
        );
        assert_eq!(
            table.delete(),
            "DELETE FROM \"ks\".\"moments\" USING TIMESTAMP ? WHERE \"asset\" = ? AND \"hour\" = ? AND \"start_ns\" = ?"
        );
        let rows = Table::of(&spec(""), &Layout::Rows { key: Vec::new() }).unwrap();
        assert!(
            rows.create().ends_with("(\"key\" text, \"document\" text, \"epoch\" bigint, PRIMARY KEY ((\"key\")))")
        );
    }

    #[test]
    fn columns_may_be_named_with_types_and_paths() {
        let table = Table::of(&spec(CUSTOM), &moments()).unwrap();
        assert_eq!(
            table.insert(),
            "INSERT INTO \"ks\".\"moments\" (\"video\", \"day\", \"at\", \"until\", \"epoch\") VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? \
             AND TTL 7200"
        );
        assert_eq!(
            table.scan(),
            "SELECT \"video\", \"day\", \"at\", \"epoch\" FROM \"ks\".\"moments\" WHERE token(\"video\", \"day\") > ? AND \
             token(\"video\", \"day\") <= ?"
        );
    }

    #[test]
    fn a_primary_key_that_does_not_identify_rows_is_refused() {
        for (more, reason) in [
            (r#","columns":{"a":{"type":"text","path":"/a"}}"#, "name the columns of its partition key"),
            (r#","partition":{"l":{"type":"text","path":"/label"}}"#, "/label is no field of the rows' key"),
            (
                r#","partition":{"a":{"type":"text","path":"/ids/ASSET"}}"#,
                "/time_bucket_start_ns is a field of the rows' key",
            ),
        ] {
            let error = Table::of(&spec(more), &moments()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = Table::of(&spec(CUSTOM), &Layout::Rows { key: Vec::new() }).unwrap_err();
        assert!(error.contains("no key"), "{error}");
    }

    #[test]
    fn what_differs_is_named_and_what_is_more_is_fine() {
        let table = Table::of(&spec(""), &moments()).unwrap();
        let found = |kind: &str, part: &str, position| FoundColumn { kind: kind.into(), part: part.into(), position };
        let mut columns = BTreeMap::from([
            ("asset".to_owned(), found("text", "partition_key", 0)),
            ("hour".to_owned(), found("bigint", "partition_key", 1)),
            ("start_ns".to_owned(), found("bigint", "clustering", 0)),
            ("document".to_owned(), found("text", "regular", -1)),
            ("epoch".to_owned(), found("bigint", "regular", -1)),
            ("more".to_owned(), found("blob", "regular", -1)),
        ]);
        assert!(table.differences(&columns).is_empty());
        columns.insert("hour".to_owned(), found("int", "partition_key", 1));
        columns.remove("epoch");
        assert_eq!(
            table.differences(&columns),
            [
                "its column \"hour\" is partition_key int number 2, and partition_key bigint number 2 is needed",
                "it has no column \"epoch\" (regular bigint)"
            ]
        );
    }
}
