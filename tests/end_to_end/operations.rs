//! Annotations that belong to operations: lines, pipelines to read them with, random histories, and what of them is shown.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::oracle::{Rules, documents};
use super::support::{Documents, SECOND};

/// One annotation of an operation.
pub fn annotation(id: &str, asset: &str, kind: &str, operation: u64, start_ns: i64, end_ns: i64) -> String {
    let range = json!({ "start_time_ns": start_ns, "end_time_ns": end_ns });
    let ids = json!({ "ASSET_ID": asset });
    json!({ "annotation_id": id, "type": kind, "associated_ids": ids, "operation": operation, "time_range": range })
        .to_string()
}

/// The deletion of one.
pub fn deletion(id: &str, asset: &str, kind: &str, operation: u64) -> String {
    let ids = json!({ "ASSET_ID": asset });
    json!({ "annotation_id": id, "type": kind, "associated_ids": ids, "operation": operation, "deleted": true })
        .to_string()
}

/// How an operation stands.
pub fn operation(asset: &str, kind: &str, number: u64, status: &str, annotations: Option<u64>) -> String {
    let mut line =
        json!({ "type": kind, "associated_ids": { "ASSET_ID": asset }, "operation": number, "status": status });
    if let Some(annotations) = annotations {
        line["annotations"] = annotations.into();
    }
    line.to_string()
}

/// A pipeline over annotations in `in/` and operations in `runs/`.
pub fn pipeline(follow: bool, fuse: &str, sinks: &str) -> String {
    let file = |folder: &str| format!("file: {{ paths: [\"{folder}/*.ndjson\"], follow: {follow} }}");
    let (annotations, runs) = (file("in"), file("runs"));
    let operation = "{ type: /type, pivot: /associated_ids/ASSET_ID, number: /operation }";
    let range = "{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }";
    let by = "by: /associated_ids/ASSET_ID, type: /type";
    format!(
        "name: test\nepoch: 20ms\nsources:\n  annotations: {{ {annotations}, key: /annotation_id, delete: /deleted, \
         operation: {operation}, operations: runs }}\n  runs: {{ {runs} }}\noperators:\n  \
         moments: {{ fuse: {{ from: annotations, {by}, range: {range}, {fuse} }} }}\nsinks:\n{sinks}"
    )
}

/// What one operation is known by.
type Operation = (String, String, u64);

fn operation_of(line: &Value) -> Option<Operation> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some((text(&line["type"])?, text(&line["associated_ids"]["ASSET_ID"])?, line["operation"].as_u64()?))
}

/// The annotations that are shown in the end, by the plainest reading: how operations ended, how many ids each had, and the
/// last line of each id in the newest that is complete. Ids must not be shared by annotations that are shown together.
pub fn shown(annotations: &[String], operations: &[String]) -> Vec<String> {
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a good line");
    let mut ends: BTreeMap<Operation, Option<u64>> = BTreeMap::new();
    for line in operations.iter().map(parse) {
        let operation = operation_of(&line).expect("an operation");
        match line["status"].as_str() {
            Some("FINISHED") => {
                let awaits = line["annotations"].as_u64().unwrap_or(0);
                let end = ends.entry(operation).or_insert(Some(awaits));
                *end = end.map(|known| known.min(awaits));
            }
            Some("CANCELED") => _ = ends.entry(operation).or_insert(None),
            _ => (),
        }
    }
    let (mut ids, mut last) = (BTreeMap::<Operation, BTreeSet<String>>::new(), BTreeMap::new());
    for line in annotations {
        let value = parse(line);
        let (operation, id) = (operation_of(&value), value["annotation_id"].as_str().expect("an id").to_owned());
        operation.iter().for_each(|operation| _ = ids.entry(operation.clone()).or_default().insert(id.clone()));
        last.insert((operation, id), (line, value["deleted"] == true));
    }
    let complete = ends.iter().filter(|(operation, end)| {
        end.is_some_and(|awaits| ids.get(operation).map_or(0, BTreeSet::len) as u64 >= awaits)
    });
    let newest: BTreeMap<_, _> = complete.map(|((kind, asset, number), _)| ((kind, asset), *number)).collect();
    let is_shown = |operation: &Option<Operation>| {
        operation.as_ref().is_none_or(|(kind, asset, number)| newest.get(&(kind, asset)) == Some(number))
    };
    let lines = last.into_iter().filter(|((operation, _), (_, deleted))| !deleted && is_shown(operation));
    lines.map(|(_, (line, _))| line.clone()).collect()
}

/// The documents of what is shown.
pub fn moments(annotations: &[String], operations: &[String], rules: &Rules) -> Documents {
    documents(shown(annotations, operations).iter().map(String::as_str), rules)
}

/// A seeded history of runs of models over assets, in the order in which lines are written.
pub struct History {
    pub rng: ChaCha8Rng,
    pub lines: Vec<Line>,
}

/// A line of one of the two inputs.
#[derive(Clone, Debug)]
pub enum Line {
    Annotation(String),
    Operation(String),
}

impl History {
    /// So many operations, of which some run at the same time; ids are used again, annotations corrected and deleted, ends
    /// come early or late, with a number or without.
    pub fn new(seed: u64, operations: usize) -> Self {
        let mut history = History { rng: ChaCha8Rng::seed_from_u64(seed), lines: Vec::new() };
        let mut numbers: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for _ in 0..operations {
            let series = (history.rng.random_range(0..2), history.rng.random_range(0..3));
            let number = numbers.entry(series).or_insert(0);
            *number += history.rng.random_range(1..3);
            let number = *number;
            let lines = history.operation(series, number);
            history.weave(lines);
        }
        history
    }

    /// The lines of one operation, in their order.
    fn operation(&mut self, (kind, asset): (usize, usize), number: u64) -> Vec<Line> {
        let rng = &mut self.rng;
        let (kind, asset) = (["CHARACTER_SEARCH", "SCENE_SEARCH"][kind], format!("a{asset}"));
        let count = rng.random_range(0..12);
        let mut annotations = Vec::new();
        for n in 0..count {
            let id = format!("{kind}-{asset}-{n}");
            for _ in 0..rng.random_range(1..3) {
                let start = rng.random_range(0..8) * SECOND;
                let line = annotation(&id, &asset, kind, number, start, start + rng.random_range(1..4) * SECOND);
                annotations.push(Line::Annotation(line));
            }
            if rng.random_bool(0.15) {
                annotations.push(Line::Annotation(deletion(&id, &asset, kind, number)));
            }
        }
        if rng.random_bool(0.2) {
            let (id, start) = (format!("free-{asset}-{}", rng.random_range(0..3)), rng.random_range(0..8) * SECOND);
            let free = annotation(&id, &asset, kind, number, start, start + SECOND);
            annotations.push(Line::Annotation(free.replace(&format!("\"operation\":{number}"), "\"operation\":null")));
        }
        let said = |status: &str, annotations| Line::Operation(operation(&asset, kind, number, status, annotations));
        let mut lines = vec![said("STARTED", None)];
        lines.extend(annotations);
        let ends = match rng.random_range(0..10) {
            0 => vec![],
            1 => vec![said("CANCELED", None)],
            2 => vec![said("FINISHED", None), said("CANCELED", None)],
            3 => vec![said("FINISHED", Some(count + 3)), said("FINISHED", Some(count))],
            4..7 => vec![said("FINISHED", None)],
            _ => vec![said("FINISHED", Some(count))],
        };
        for end in ends {
            // Another partition: it may be seen long before what it ends.
            let at = if rng.random_bool(0.4) { rng.random_range(0..=lines.len()) } else { lines.len() };
            lines.insert(at, end);
        }
        lines
    }

    /// Puts lines between those that there are, behind some of them.
    fn weave(&mut self, lines: Vec<Line>) {
        let mut at = self.lines.len().saturating_sub(self.rng.random_range(0..40));
        for line in lines {
            self.lines.insert(at, line);
            at = (at + *[1, 1, 1, 2, 5].choose(&mut self.rng).expect("it is not empty")).min(self.lines.len());
        }
    }

    /// The annotations and the operations of the first lines.
    pub fn inputs(&self, lines: usize) -> (Vec<String>, Vec<String>) {
        let (mut annotations, mut operations) = (Vec::new(), Vec::new());
        for line in &self.lines[..lines] {
            match line {
                Line::Annotation(text) => annotations.push(text.clone()),
                Line::Operation(text) => operations.push(text.clone()),
            }
        }
        (annotations, operations)
    }
}
