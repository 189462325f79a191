//! The rows that are coded: annotations of a made-up archive, as a table keeps them.

use std::io::BufRead;

use columnar::Columnar;
use flowstone::generate::{Settings, Style, generate};
use flowstone::record::{DecodeSpec, Decoder, FacetSpec, FieldPath, Position, Record, ScalarRef};
use flowstone_operators::interval::Boundary;
use serde::{Deserialize, Serialize};

/// The epoch of all rows.
pub const EPOCH: u64 = 1_700_000_000_000;

/// What one would write for a row of a table without a form of its own: fields that own what they have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Columnar)]
pub struct Row {
    pub key: String,
    pub route: u64,
    pub epoch: u64,
    pub partition: u32,
    pub offset: u64,
    pub version: Option<i64>,
    pub asset: String,
    pub kind: String,
    pub start_ns: i64,
    pub end_ns: i64,
    pub payload: String,
}

/// The same for `abomonation`, which knows tuples.
pub type Nested = ((String, u64, u64, u32, u64), (Option<i64>, String, String, i64, i64), String);

impl Row {
    pub fn nested(&self) -> Nested {
        let row = self.clone();
        let place = (row.key, row.route, row.epoch, row.partition, row.offset);
        (place, (row.version, row.asset, row.kind, row.start_ns, row.end_ns), row.payload)
    }
}

/// What the pipeline of the benchmarks names.
pub fn spec() -> DecodeSpec {
    let path = FieldPath::literal;
    let facet = FacetSpec {
        by: path("/associated_ids/ASSET_ID"),
        kind: path("/type"),
        start: path("/time_range/start_time_ns"),
        end: path("/time_range/end_time_ns"),
        boundary: Boundary::Exclusive,
        max_range_ns: 86_400_000_000_000,
        context: "associated_ids".to_owned(),
        keep: None,
    };
    DecodeSpec { key: vec![path("/annotation_id")], facets: vec![facet], ..DecodeSpec::default() }
}

/// So many records, in the order of a part: by route, then key.
pub fn records(annotations: u64) -> Result<Vec<Record>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let settings = Settings { annotations, ..Settings::new(Style::Uniform) };
    generate(&settings, folder.path(), true, &mut |_| ())?;
    let mut decoder = Decoder::new(&spec());
    let mut records = Vec::new();
    for file in std::fs::read_dir(folder.path())? {
        for line in std::io::BufReader::new(std::fs::File::open(file?.path())?).lines() {
            let position = Position { source: 0, partition: 0, offset: records.len() as u64 };
            records.push(decoder.decode(line?.as_bytes(), position, || unreachable!("rows have keys"))?);
        }
    }
    records.sort_by(|a, b| (a.route(), a.key_bytes()).cmp(&(b.route(), b.key_bytes())));
    Ok(records)
}

/// The same row in the plain form.
pub fn row(record: &Record) -> Row {
    let (interval, position) = (record.interval(0), record.position());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("decode has checked the encoding");
    let only = |part: Option<ScalarRef<'_>>| match part {
        Some(ScalarRef::Str(text)) => text.to_owned(),
        other => unreachable!("keys and assets are strings, and not {other:?}"),
    };
    Row {
        key: only(record.key().parts().next()),
        route: record.route(),
        epoch: EPOCH,
        partition: position.partition,
        offset: position.offset,
        version: record.version(),
        asset: only(record.asset(0).ok()),
        kind: text(record.kind(0)),
        start_ns: interval.start_ns(),
        end_ns: interval.end_ns(),
        payload: text(record.payload().expect("there are no deletions")),
    }
}
