//! Input: single annotations, pipelines to read them with, and random histories of them.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::oracle::{Emit, Rules};
use super::support::SECOND;

/// One annotation, as a line without its end.
pub fn annotation(id: &str, asset: &str, kind: &str, start_ns: i64, end_ns: i64) -> String {
    let range = json!({ "start_time_ns": start_ns, "end_time_ns": end_ns });
    let ids = json!({ "MOVIE_ID": "81686010", "ASSET_ID": asset });
    json!({ "annotation_id": id, "type": kind, "label": id, "associated_ids": ids, "time_range": range }).to_string()
}

/// The deletion of an annotation.
pub fn deletion(id: &str) -> String {
    json!({ "annotation_id": id, "deleted": true }).to_string()
}

pub fn joey() -> String {
    annotation("Joey", "a7", "CHARACTER_SEARCH", 2 * SECOND, 8 * SECOND)
}

pub fn kitchen() -> String {
    annotation("kitchen", "a7", "SCENE_SEARCH", 4 * SECOND, 9 * SECOND)
}

/// Lines as the text of a file.
pub fn text<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> String {
    lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect()
}

/// The sinks of most tests.
pub const SQLITE: &str = "  store: { from: moments, sqlite: { path: moments.sqlite, table: moments } }\n";
pub const FILE: &str = "  changes: { from: moments, file: { path: changes } }\n";
pub const TANTIVY: &str = "  search: { from: moments, tantivy: { path: index, commit: 20ms } }\n";

/// A pipeline that fuses the annotations in `in/`; `fuse` adds to the settings of the operator.
pub fn pipeline(fuse: &str, sinks: &str) -> String {
    from_source("file: { paths: [\"in/*.ndjson*\"] }, key: /annotation_id, delete: /deleted", fuse, sinks)
}

/// The same, which goes on reading.
pub fn following(fuse: &str, sinks: &str) -> String {
    from_source("file: { paths: [\"in/*.ndjson\"], follow: true }, key: /annotation_id, delete: /deleted", fuse, sinks)
}

pub fn from_source(source: &str, fuse: &str, sinks: &str) -> String {
    let range = "{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }";
    let by = "by: /associated_ids/ASSET_ID, type: /type";
    let fuse = if fuse.is_empty() { String::new() } else { format!(", {fuse}") };
    format!(
        "name: test\nepoch: 20ms\nsources:\n  annotations: {{ {source} }}\noperators:\n  \
         moments: {{ fuse: {{ from: annotations, {by}, range: {range}{fuse} }} }}\nsinks:\n{sinks}"
    )
}

impl Rules {
    /// As settings of a `fuse`.
    pub fn yaml(&self) -> String {
        let emit = format!("{:?}", self.emit).to_lowercase();
        let end = if self.inclusive { "inclusive" } else { "exclusive" };
        let require = self.require.join(", ");
        let (bucket, least) = (self.bucket_ns, self.min_modalities);
        format!(
            "emit: {emit}, bucket: {bucket}ns, end: {end}, min_modalities: {least}, require: [{require}], max_range: 2h"
        )
    }
}

const KINDS: [&str; 4] = ["CHARACTER_SEARCH", "DIALOGUE_SEARCH", "OBJECT_SEARCH", "SCENE_SEARCH"];

/// A seeded history, and what may be done to it without a change of its outcome.
pub struct History {
    rng: ChaCha8Rng,
    pub rules: Rules,
    /// In the order in which they are meant.
    pub lines: Vec<String>,
    /// The key of each line.
    keys: Vec<u32>,
}

impl History {
    /// Inserts, corrections (also of the asset), deletions, redeliveries, zero and huge lengths, ties, and bad lines.
    pub fn new(seed: u64, versioned: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rules = Rules {
            emit: [Emit::Buckets, Emit::Runs, Emit::Segments][seed as usize % 3],
            bucket_ns: *[SECOND, SECOND, 700_000_000].choose(&mut rng).unwrap(),
            inclusive: rng.random_bool(0.5),
            min_modalities: rng.random_range(1..=3),
            require: if rng.random_bool(0.25) { vec![KINDS[0].to_owned()] } else { Vec::new() },
            versioned,
        };
        let mut history = History { rng, rules, lines: Vec::new(), keys: Vec::new() };
        for version in 0..history.rng.random_range(1..90) {
            let key = history.rng.random_range(0..25);
            let line = match history.rng.random_range(0..20) {
                0..4 => stamped(&deletion(&format!("n{key}")), version, versioned),
                4..6 if !history.lines.is_empty() => history.again(),
                6 => history.bad(key, version),
                _ => history.annotation(key, version),
            };
            // What is delivered again has the key that it had.
            let delivered = history.lines.iter().position(|known| *known == line).map(|at| history.keys[at]);
            history.keys.push(delivered.unwrap_or(key));
            history.lines.push(line);
        }
        history
    }

    fn again(&mut self) -> String {
        self.lines.choose(&mut self.rng).unwrap().clone()
    }

    fn annotation(&mut self, key: u32, version: i64) -> String {
        let rng = &mut self.rng;
        let start_ns = match rng.random_range(0..3) {
            0 => rng.random_range(0..40) * SECOND,
            1 => rng.random_range(0..80) * SECOND / 2,
            _ => rng.random_range(0..40 * SECOND),
        };
        let length_ns = match rng.random_range(0..10) {
            0 => 0,
            1 => rng.random_range(200..900) * SECOND,
            2..6 => rng.random_range(1..6) * SECOND,
            _ => rng.random_range(1..6 * SECOND),
        };
        let (asset, kind) = (format!("a{}", rng.random_range(0..3)), KINDS[rng.random_range(0..KINDS.len())]);
        let line = annotation(&format!("n{key}"), &asset, kind, start_ns, start_ns + length_ns);
        stamped(&line, version, self.rules.versioned)
    }

    /// A line that is no good: it must change nothing, not even what is there under its key.
    fn bad(&mut self, key: u32, version: i64) -> String {
        let good = self.annotation(key, version);
        match self.rng.random_range(0..4) {
            0 => good[..good.len() / 2].to_owned(),
            1 => good.replace("\"start_time_ns\":", "\"start_time_ns\":-"),
            2 => good.replace("\"end_time_ns\":", "\"end_time_ns\":0.5,\"other\":"),
            _ => good.replace("\"ASSET_ID\"", "\"asset\""),
        }
    }

    /// The lines in another order, in which each key's own lines keep theirs; cut into files.
    pub fn shuffled(&mut self) -> Vec<Vec<String>> {
        let mut places: Vec<u32> = self.keys.clone();
        places.shuffle(&mut self.rng);
        let mut queues: std::collections::BTreeMap<u32, std::collections::VecDeque<&String>> = Default::default();
        for (key, line) in self.keys.iter().zip(&self.lines) {
            queues.entry(*key).or_default().push_back(line);
        }
        let lines = places.iter().map(|key| queues.get_mut(key).unwrap().pop_front().unwrap().clone()).collect();
        self.cut(lines)
    }

    /// The lines in any order at all; cut into files.
    pub fn scrambled(&mut self) -> Vec<Vec<String>> {
        let mut lines = self.lines.clone();
        lines.shuffle(&mut self.rng);
        self.cut(lines)
    }

    /// Up to four files, some of them empty.
    fn cut(&mut self, mut lines: Vec<String>) -> Vec<Vec<String>> {
        let mut files = Vec::new();
        for _ in 0..self.rng.random_range(0..4) {
            let rest = lines.split_off(self.rng.random_range(0..=lines.len()));
            files.push(std::mem::replace(&mut lines, rest));
        }
        files.push(lines);
        files
    }

    /// A number for the test's own choices.
    pub fn choose(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }
}

/// With the version, and a number that is not to be touched.
pub fn stamped(line: &str, version: i64, versioned: bool) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { unreachable!("a good line") };
    if versioned {
        fields.insert("version".to_owned(), version.into());
    }
    fields.insert("confidence_score".to_owned(), serde_json::from_str("0.50").unwrap());
    Value::Object(fields).to_string()
}
