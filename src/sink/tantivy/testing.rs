//! Moments made by hand, for the tests of the index and of its queries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flowstone_operators::fuse::Moment;
use flowstone_operators::interval::{Grid, Interval};
use tantivy::collector::DocSetCollector;
use tantivy::query::AllQuery;
use tantivy::schema::Value;
use tantivy::{Index, TantivyDocument};

use super::open;
use crate::pipeline::model::TantivySink;
use crate::record::packed::{FacetParts, RecordWriter, State};
use crate::record::{ChildPiece, Fuser, Key, Lead, Position, Record, Row, Scalar, Slice};
use crate::sink::{Change, Sweep, Writer};

pub(crate) const SECOND: i64 = 1_000_000_000;

/// An annotation of a test.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub asset: Scalar,
    pub kind: &'static str,
    /// Half-open, in ns.
    pub range: (i64, i64),
    /// The members besides key and type.
    pub members: String,
}

/// An annotation of asset `a7`, with a label, from and to in seconds.
pub(crate) fn labelled(kind: &'static str, label: &str, from_s: i64, to_s: i64) -> Made {
    let members = format!(r#""label":"{label}""#);
    Made { asset: "a7".into(), kind, range: (from_s * SECOND, to_s * SECOND), members }
}

/// The same with a text and no label.
pub(crate) fn spoken(text: &str, from_s: i64, to_s: i64) -> Made {
    let members = format!(r#""text":"{text}""#);
    Made { asset: "a7".into(), kind: "DIALOGUE", range: (from_s * SECOND, to_s * SECOND), members }
}

impl Made {
    pub fn on(mut self, asset: impl Into<Scalar>) -> Self {
        self.asset = asset.into();
        self
    }

    pub fn sure(mut self, confidence: f64) -> Self {
        self.members.push_str(&format!(r#","confidence_score":{confidence}"#));
        self
    }

    /// In milliseconds.
    pub fn at_ms(mut self, from_ms: i64, to_ms: i64) -> Self {
        self.range = (from_ms * 1_000_000, to_ms * 1_000_000);
        self
    }

    fn record(&self, id: usize) -> Record {
        let payload = format!(r#"{{"id":"n{id}","annotation_type":"{}",{}}}"#, self.kind, self.members).into_bytes();
        // The members without the braces: one piece is the whole child.
        let slice = Slice { start: 1, end: payload.len() as u32 - 1 };
        let position = Position { source: 0, partition: 0, offset: id as u64 };
        let mut writer = RecordWriter::default();
        writer.key(None, &Key::One(Scalar::from(format!("n{id}").as_str())));
        writer.state(&State::at(position), true);
        writer.body(0, payload.len(), 1);
        writer.facets(FacetParts {
            asset: self.asset.as_ref(),
            kind: self.kind,
            interval: Interval::new(self.range.0, self.range.1),
            context: None,
            pieces: std::iter::once(ChildPiece::new(slice, Lead::None)).collect(),
        });
        writer.payload(&payload);
        writer.finish()
    }
}

type Covering<'a> = (&'a Made, Record);

/// The one-second moments of annotations: each bucket that at least `min_kinds` types cover, as fusion would make them.
pub(crate) fn moments(annotations: &[Made], min_kinds: usize) -> Vec<Row> {
    let grid = Grid::new(SECOND);
    let mut buckets: BTreeMap<(Scalar, i64), Vec<Covering<'_>>> = BTreeMap::new();
    for (id, made) in annotations.iter().enumerate() {
        let record = made.record(id);
        let (first, end) = grid.cover(&Interval::new(made.range.0, made.range.1));
        for bucket in first..end {
            buckets.entry((made.asset.clone(), bucket)).or_default().push((made, record.clone()));
        }
    }
    let mut rows = Vec::new();
    for ((asset, bucket), mut children) in buckets {
        children.sort_by(|a, b| (a.0.kind, a.0.range, a.1.key()).cmp(&(b.0.kind, b.0.range, b.1.key())));
        let kinds: BTreeSet<_> = children.iter().map(|child| child.0.kind).collect();
        if kinds.len() >= min_kinds {
            let interval = Interval::new(grid.start_ns(bucket), grid.start_ns(bucket + 1));
            let children = children.into_iter().map(|child| child.1).collect();
            rows.push(Row::Moment(Fuser::new(0).fused(Moment { key: asset, interval, children })));
        }
    }
    rows
}

/// The sink's settings, with a commit after each epoch if `commit` is short.
pub(crate) fn spec(commit: &str) -> TantivySink {
    let json = format!(r#"{{"path":"unused","commit":"{commit}"}}"#);
    serde_json::from_str(&json).expect("the settings of a test")
}

pub(crate) fn upserts(rows: Vec<Row>) -> Vec<Change> {
    rows.into_iter().map(Change::Upsert).collect()
}

/// Writes and closes one epoch.
pub(crate) fn epoch(writer: &mut dyn Writer, epoch: u64, mut changes: Vec<Change>, sweep: Sweep) {
    writer.write(epoch, &mut changes).unwrap();
    assert!(changes.is_empty(), "a write drains its changes");
    writer.close(epoch, sweep).unwrap();
}

/// An index of moments, written at once.
pub(crate) fn indexed(rows: Vec<Row>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open("search", dir.path(), &spec("1s")).unwrap().writer;
    epoch(&mut *writer, 1, upserts(rows), Sweep::Older);
    writer.finish().unwrap();
    dir
}

/// What a reader sees: (key, document, epoch), in order.
pub(crate) fn stored(dir: &Path) -> Vec<(String, String, u64)> {
    let index = Index::open_in_dir(dir).unwrap();
    let searcher = index.reader().unwrap().searcher();
    let schema = index.schema();
    let field = |name| schema.get_field(name).unwrap();
    let read = |address: tantivy::DocAddress| {
        let document: TantivyDocument = searcher.doc(address).unwrap();
        let key = document.get_first(field("key")).unwrap().as_str().unwrap().to_owned();
        let json = document.get_first(field("document")).unwrap().as_bytes().unwrap().to_vec();
        let column = searcher.segment_reader(address.segment_ord).fast_fields().u64("epoch").unwrap();
        (key, String::from_utf8(json).unwrap(), column.first(address.doc_id).unwrap())
    };
    let mut found: Vec<_> = searcher.search(&AllQuery, &DocSetCollector).unwrap().into_iter().map(read).collect();
    found.sort();
    found
}
