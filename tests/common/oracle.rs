//! What a pipeline must write, by the plainest reading of its input: fold all lines, then look at every cell of time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::support::Documents;

/// What a document stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    Buckets,
    Runs,
    Segments,
}

/// The settings of a `fuse`, and of the table in front of it.
#[derive(Clone, Debug)]
pub struct Rules {
    pub emit: Emit,
    pub bucket_ns: i64,
    pub inclusive: bool,
    pub min_modalities: usize,
    pub require: Vec<String>,
    /// Whether `/version` says which record of a key is newest; else the last one is.
    pub versioned: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            emit: Emit::Buckets,
            bucket_ns: 1_000_000_000,
            inclusive: false,
            min_modalities: 2,
            require: Vec::new(),
            versioned: false,
        }
    }
}

struct Annotation {
    asset: String,
    kind: String,
    start_ns: i64,
    end_ns: i64,
    id: String,
    context: String,
    /// The annotation as a document shows it.
    child: String,
}

/// The documents that `lines` give, in the order of their files. Lines that can not be processed count for nothing.
pub fn documents<'a>(lines: impl IntoIterator<Item = &'a str>, rules: &Rules) -> Documents {
    let mut table = Table::default();
    for line in lines {
        table.apply(line, rules);
    }
    let assets: BTreeSet<&str> = table.annotations().map(|annotation| annotation.asset.as_str()).collect();
    assets.into_iter().flat_map(|asset| table.documents_of(asset, rules)).collect()
}

/// How many moments each label is in: the rows of an `aggregate` of them.
pub fn labels(moments: &Documents) -> Documents {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for document in moments.values() {
        let document: Value = serde_json::from_str(document).unwrap();
        let children = document["source_annotations"].as_array().unwrap();
        let found: BTreeSet<String> =
            children.iter().filter_map(|child| Some(child["label"].as_str()?.to_owned())).collect();
        found.into_iter().for_each(|label| *counts.entry(label).or_default() += 1);
    }
    let row =
        |(label, moments)| (json!([label]).to_string(), format!(r#"{{"label":{},"moments":{moments}}}"#, json!(label)));
    counts.into_iter().map(row).collect()
}

/// What these lines give by the rules that a pipeline has unless it says otherwise.
pub fn expected<L: AsRef<str>>(lines: &[L]) -> Documents {
    documents(lines.iter().map(AsRef::as_ref), &Rules::default())
}

/// The newest row of each key; deleted ones without an annotation.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<String, (i64, Option<Annotation>)>,
}

impl Table {
    /// Folds a line in. Gives the assets whose documents it may change.
    pub fn apply(&mut self, line: &str, rules: &Rules) -> BTreeSet<String> {
        let Some((id, version, row)) = decode(line, rules) else { return BTreeSet::new() };
        let before = self.rows.get(&id);
        if before.is_some_and(|(newest, _)| rules.versioned && version < *newest) {
            return BTreeSet::new();
        }
        let before = before.and_then(|(_, row)| row.as_ref());
        let touched = before.into_iter().chain(&row).map(|annotation| annotation.asset.clone()).collect();
        self.rows.insert(id, (version, row));
        touched
    }

    fn annotations(&self) -> impl Iterator<Item = &Annotation> {
        self.rows.values().filter_map(|(_, row)| row.as_ref())
    }

    /// The documents of one asset.
    pub fn documents_of(&self, asset: &str, rules: &Rules) -> Documents {
        let mut annotations: Vec<&Annotation> = self.annotations().filter(|a| a.asset == asset).collect();
        annotations.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut documents = Documents::new();
        fuse(asset, &annotations, rules, &mut documents);
        documents
    }
}

/// Whether a line can be processed.
pub fn is_good(line: &str, rules: &Rules) -> bool {
    decode(line, rules).is_some()
}

fn order(a: &Annotation) -> (&str, i64, i64, &str) {
    (&a.kind, a.start_ns, a.end_ns, &a.id)
}

/// The id, the version, and the row unless the line deletes it; `None` for what is no good.
fn decode(line: &str, rules: &Rules) -> Option<(String, i64, Option<Annotation>)> {
    let Ok(Value::Object(payload)) = serde_json::from_str(line) else { return None };
    let id = payload.get("annotation_id")?.as_str()?.to_owned();
    let version = if rules.versioned { payload.get("version")?.as_i64()? } else { 0 };
    if payload.get("deleted") == Some(&Value::Bool(true)) {
        return Some((id, version, None));
    }
    let range = payload.get("time_range")?;
    let (start_ns, end_ns) = (range.get("start_time_ns")?.as_i64()?, range.get("end_time_ns")?.as_i64()?);
    if start_ns < 0 || end_ns < start_ns {
        return None;
    }
    let end_ns = if rules.inclusive { end_ns + 1 } else { end_ns.max(start_ns + 1) };
    let asset = payload.get("associated_ids")?.get("ASSET_ID")?.as_str()?.to_owned();
    let kind = payload.get("type")?.as_str()?.to_owned();
    let (context, child) = (payload["associated_ids"].to_string(), child(&payload));
    Some((id.clone(), version, Some(Annotation { asset, kind, start_ns, end_ns, id, context, child })))
}

/// Looks at each cell of time: a bucket, or what lies between two neighbouring end points.
fn fuse(asset: &str, annotations: &[&Annotation], rules: &Rules, documents: &mut Documents) {
    let width = rules.bucket_ns;
    let cells: BTreeSet<(i64, i64)> = if rules.emit == Emit::Segments {
        let points: BTreeSet<i64> = annotations.iter().flat_map(|a| [a.start_ns, a.end_ns]).collect();
        points.iter().zip(points.iter().skip(1)).map(|(start, end)| (*start, *end)).collect()
    } else {
        let buckets = |a: &&Annotation| a.start_ns / width..=(a.end_ns - 1) / width;
        annotations.iter().flat_map(buckets).map(|bucket| (bucket * width, (bucket + 1) * width)).collect()
    };
    // The document under way: its range and its children's places.
    let mut open: Option<(i64, i64, Vec<usize>)> = None;
    for (start, end) in cells {
        let covers = |a: &Annotation| a.start_ns < end && start < a.end_ns;
        let children: Vec<usize> = (0..annotations.len()).filter(|at| covers(annotations[*at])).collect();
        match &mut open {
            Some(run) if rules.emit == Emit::Runs && run.1 == start && run.2 == children => run.1 = end,
            _ => {
                emit(asset, annotations, rules, open.replace((start, end, children)), documents);
            }
        }
    }
    emit(asset, annotations, rules, open, documents);
}

fn emit(
    asset: &str,
    annotations: &[&Annotation],
    rules: &Rules,
    moment: Option<(i64, i64, Vec<usize>)>,
    documents: &mut Documents,
) {
    let Some((start, end, children)) = moment else { return };
    let kinds: BTreeSet<&str> = children.iter().map(|at| annotations[*at].kind.as_str()).collect();
    if kinds.len() < rules.min_modalities.max(1) || !rules.require.iter().all(|kind| kinds.contains(kind.as_str())) {
        return;
    }
    let context = &annotations[children[0]].context;
    let children: Vec<&str> = children.iter().map(|at| annotations[*at].child.as_str()).collect();
    let document = format!(
        r#"{{"associated_ids":{context},"time_bucket_start_ns":{start},"time_bucket_end_ns":{end},"source_annotations":[{}]}}"#,
        children.join(",")
    );
    documents.insert(format!("[{},{start}]", Value::from(asset)), document);
}

fn child(payload: &Map<String, Value>) -> String {
    let kept = payload.iter().filter(|(name, _)| !["associated_ids", "deleted"].contains(&name.as_str()));
    let renamed = kept.map(|(name, value)| match name.as_str() {
        "type" => ("annotation_type".to_owned(), value.clone()),
        _ => (name.clone(), value.clone()),
    });
    Value::Object(renamed.collect()).to_string()
}
