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

/// The series of an operation, by type and asset, and its number.
type Operation = (usize, u64);

/// Lines, as far as they matter for what is shown.
pub struct Parsed<'l> {
    annotations: Vec<Annotation<'l>>,
    operations: Vec<(Operation, Said, &'l str)>,
}

struct Annotation<'l> {
    operation: Option<Operation>,
    id: String,
    is_deleted: bool,
    line: &'l str,
}

#[derive(Clone, Copy)]
enum Said {
    Started,
    Finished(u64),
    Canceled,
}

impl<'l> Parsed<'l> {
    pub fn new(annotations: &'l [String], operations: &'l [String]) -> Self {
        let mut series: Vec<[String; 2]> = Vec::new();
        let mut operation_of = |line: &Value| {
            let number = line["operation"].as_u64()?;
            let of = [&line["type"], &line["associated_ids"]["ASSET_ID"]].map(Value::to_string);
            let at = series.iter().position(|known| *known == of).unwrap_or_else(|| {
                series.push(of);
                series.len() - 1
            });
            Some((at, number))
        };
        let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a good line");
        let annotations = annotations.iter().map(|line| {
            let value = parse(line);
            let id = value["annotation_id"].to_string();
            Annotation { operation: operation_of(&value), id, is_deleted: value["deleted"] == true, line }
        });
        let annotations = annotations.collect();
        let operations = operations.iter().map(|line| {
            let value = parse(line);
            let said = match value["status"].as_str() {
                Some("FINISHED") => Said::Finished(value["annotations"].as_u64().unwrap_or(0)),
                Some("CANCELED") => Said::Canceled,
                _ => Said::Started,
            };
            (operation_of(&value).expect("an operation"), said, line.as_str())
        });
        Parsed { annotations, operations: operations.collect() }
    }

    /// How operations have ended by the first lines that say something of them: with what they wait for, or canceled. And the
    /// lines that say something else later.
    fn ends(&self, operations: usize) -> (BTreeMap<Operation, Option<u64>>, Vec<&'l str>) {
        let (mut ends, mut refused) = (BTreeMap::new(), Vec::new());
        for (operation, said, line) in &self.operations[..operations] {
            match (ends.get(operation), said) {
                (_, Said::Started) | (Some(None), Said::Canceled) => (),
                (Some(Some(_)), Said::Canceled) | (Some(None), Said::Finished(_)) => refused.push(*line),
                (Some(Some(known)), Said::Finished(awaits)) => _ = ends.insert(*operation, Some(*awaits.min(known))),
                (None, Said::Finished(awaits)) => _ = ends.insert(*operation, Some(*awaits)),
                (None, Said::Canceled) => _ = ends.insert(*operation, None),
            }
        }
        (ends, refused)
    }

    /// The operations' lines that are dead letters.
    pub fn refused(&self) -> Vec<&'l str> {
        self.ends(self.operations.len()).1
    }

    /// What the first lines of both show, by the plainest reading: how operations ended, how many ids each had, and the last
    /// line of each id in the newest that is complete.
    pub fn shown(&self, annotations: usize, operations: usize) -> Vec<&'l str> {
        let (ends, _) = self.ends(operations);
        let (mut ids, mut last) = (BTreeMap::<Operation, BTreeSet<&str>>::new(), BTreeMap::new());
        for annotation in &self.annotations[..annotations] {
            let Annotation { operation, id, .. } = annotation;
            operation.iter().for_each(|operation| _ = ids.entry(*operation).or_default().insert(id));
            last.insert((*operation, id.as_str()), annotation);
        }
        let complete = ends.iter().filter(|(operation, end)| {
            end.is_some_and(|awaits| ids.get(operation).map_or(0, BTreeSet::len) as u64 >= awaits)
        });
        let newest: BTreeMap<usize, u64> = complete.map(|((series, number), _)| (*series, *number)).collect();
        let is_shown = |annotation: &&&Annotation<'l>| {
            !annotation.is_deleted && annotation.operation.is_none_or(|(of, number)| newest.get(&of) == Some(&number))
        };
        last.values().filter(is_shown).map(|annotation| annotation.line).collect()
    }
}

/// The annotations that are shown in the end.
pub fn shown(annotations: &[String], operations: &[String]) -> Vec<String> {
    let shown = Parsed::new(annotations, operations).shown(annotations.len(), operations.len());
    shown.into_iter().map(str::to_owned).collect()
}

/// The documents of what is shown. No two annotations that are shown may share an id.
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
