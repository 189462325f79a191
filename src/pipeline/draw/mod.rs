//! A pipeline as a drawing, for people to look at.

use std::collections::HashMap;

use super::{Loaded, OneOrMany, OperatorSpec, Pipeline, SinkSpec};

mod dot;
mod mermaid;

/// How a drawing is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A mermaid flowchart, as many web pages show it.
    #[default]
    Mermaid,
    /// For graphviz.
    Dot,
}

/// Draws sources, tables, operators and sinks, and what flows between them. Ends with a line feed.
pub fn draw(loaded: &Loaded, format: Format) -> String {
    let graph = Graph::of(&loaded.pipeline);
    match format {
        Format::Mermaid => mermaid::write(&graph),
        Format::Dot => dot::write(&graph),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Source,
    Table,
    Operator,
    Sink,
    DeadLetters,
}

struct Vertex {
    shape: Shape,
    /// The name, then what it is.
    lines: Vec<String>,
}

struct Edge {
    from: usize,
    to: usize,
    label: String,
    /// Nothing flows; one waits for the other.
    dashed: bool,
}

#[derive(Default)]
struct Graph {
    name: String,
    vertices: Vec<Vertex>,
    edges: Vec<Edge>,
    /// The vertex that others read under a name.
    named: HashMap<String, usize>,
}

impl Graph {
    fn of(pipeline: &Pipeline) -> Self {
        let mut graph = Graph { name: pipeline.name.clone(), ..Graph::default() };
        let mut rejecting = graph.sources(pipeline);
        rejecting.extend(graph.operators(pipeline));
        let letters = graph.vertex(Shape::DeadLetters, vec!["dead_letters".to_owned(), letters_file(pipeline)]);
        graph.named.insert("dead_letters".to_owned(), letters);
        for (from, label) in rejecting {
            graph.edge(from, letters, label);
        }
        graph.sinks(pipeline);
        graph
    }

    fn vertex(&mut self, shape: Shape, lines: Vec<String>) -> usize {
        self.vertices.push(Vertex { shape, lines: lines.into_iter().filter(|line| !line.is_empty()).collect() });
        self.vertices.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, label: &str) {
        self.edges.push(Edge { from, to, label: label.to_owned(), dashed: false });
    }

    /// Draws the sources and their tables; answers what sends records to the dead letters.
    fn sources(&mut self, pipeline: &Pipeline) -> Vec<(usize, &'static str)> {
        let (mut rejecting, mut reading) = (Vec::new(), Vec::new());
        for (name, source) in &pipeline.sources {
            let kind = match (&source.file, &source.kafka) {
                (Some(file), _) => {
                    format!("file: {}{}", file.paths.join(", "), if file.follow { ", followed" } else { "" })
                }
                (_, Some(kafka)) => format!("kafka: {}", kafka.topic),
                _ => "memory".to_owned(),
            };
            let vertex = self.vertex(Shape::Source, vec![name.clone(), kind]);
            rejecting.push((vertex, "unreadable"));
            let named = match &source.key {
                Some(key) => {
                    let table = self.vertex(Shape::Table, vec![name.clone(), format!("table by {}", paths(key))]);
                    self.edge(vertex, table, "records");
                    if let Some(operations) = &source.operations {
                        reading.push((operations.from(), table));
                    }
                    table
                }
                None => vertex,
            };
            self.named.insert(name.clone(), named);
        }
        // A table may read a source that comes after it in the file.
        for (from, table) in reading {
            if let Some(from) = self.named.get(from) {
                self.edge(*from, table, "operations");
            }
        }
        rejecting
    }

    fn operators(&mut self, pipeline: &Pipeline) -> Vec<(usize, &'static str)> {
        let mut rejecting = Vec::new();
        for (name, operator) in &pipeline.operators {
            let vertex = match (&operator.fuse, &operator.upsert, &operator.aggregate) {
                (Some(fuse), ..) => {
                    let emit = match fuse.emit {
                        super::Emit::Buckets => format!("buckets of {}", fuse.bucket),
                        super::Emit::Runs => format!("runs of buckets of {}", fuse.bucket),
                        super::Emit::Segments => "segments".to_owned(),
                    };
                    self.vertex(Shape::Operator, vec![name.clone(), format!("fuse by {}", fuse.by), emit])
                }
                (_, Some(upsert), _) => {
                    let lines = vec![name.clone(), format!("upsert: table by {}", paths(&upsert.key))];
                    let vertex = self.vertex(Shape::Table, lines);
                    rejecting.push((vertex, "unreadable"));
                    vertex
                }
                (_, _, Some(aggregate)) => {
                    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
                    let by = match names(aggregate.by.keys().collect()) {
                        by if by.is_empty() => "aggregate".to_owned(),
                        by => format!("aggregate by {by}"),
                    };
                    let lines = vec![name.clone(), by, names(aggregate.compute.keys().collect())];
                    if pipeline.sources.get(&aggregate.from).is_some_and(|source| source.key.is_none()) {
                        let vertex = self.vertex(Shape::Table, lines);
                        rejecting.push((vertex, "unusable"));
                        vertex
                    } else {
                        self.vertex(Shape::Operator, lines)
                    }
                }
                (None, None, None) => self.vertex(Shape::Operator, lines(name, operator)),
            };
            self.named.insert(name.clone(), vertex);
        }
        // In a second pass: an operator may read one that comes after it in the file.
        for (name, operator) in &pipeline.operators {
            let documents = |from: &String| pipeline.operators.get(from).is_some_and(|op| op.fuse.is_some());
            let fuse = operator.fuse.iter().map(|fuse| (&fuse.from, "rows"));
            let aggregate = operator.aggregate.iter().map(|aggregate| &aggregate.from);
            let events = |from: &String| pipeline.sources.get(from).is_some_and(|source| source.key.is_none());
            let aggregate = aggregate.map(|from| match () {
                () if documents(from) => (from, "documents"),
                () if events(from) => (from, "records"),
                () => (from, "rows"),
            });
            let upsert = operator.upsert.iter().flat_map(|upsert| upsert.from.as_slice()).map(|from| (from, "records"));
            let operations = operator.upsert.iter().filter_map(|upsert| upsert.operations.as_ref());
            let operations = operations.map(|operations| (operations.from(), "operations"));
            let rows = read(operator).map(|from| (from, if documents(from) { "documents" } else { "rows" }));
            let records = fuse.chain(aggregate).chain(rows).chain(upsert).map(|(from, label)| (from.as_str(), label));
            for (from, label) in records.chain(operations) {
                if let (Some(from), Some(to)) = (self.named.get(from), self.named.get(name)) {
                    self.edge(*from, *to, label);
                }
            }
        }
        rejecting
    }

    fn sinks(&mut self, pipeline: &Pipeline) {
        let first = self.vertices.len();
        for (name, sink) in &pipeline.sinks {
            let vertex = self.vertex(Shape::Sink, vec![name.clone(), sink_kind(sink)]);
            let (node, label) = match sink.from.split_once('.') {
                Some((node, part)) => (node, part),
                None if sink.from == "dead_letters" => (sink.from.as_str(), "records"),
                None if pipeline.operators.get(&sink.from).is_some_and(|op| op.fuse.is_some()) => {
                    (sink.from.as_str(), "documents")
                }
                None => (sink.from.as_str(), "rows"),
            };
            if let Some(from) = self.named.get(node) {
                self.edge(*from, vertex, label);
            }
        }
        for (n, sink) in pipeline.sinks.values().enumerate() {
            let after = sink.after.as_ref().and_then(|after| pipeline.sinks.get_index_of(after));
            if let Some(after) = after {
                self.edges.push(Edge { from: first + after, to: first + n, label: "after".to_owned(), dashed: true });
            }
        }
    }
}

/// What is said of an operator that makes rows of rows.
fn lines(name: &str, operator: &OperatorSpec) -> Vec<String> {
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let mut lines = vec![name.to_owned()];
    match operator {
        OperatorSpec { filter: Some(filter), .. } => {
            lines.extend(["filter".to_owned(), filter.condition.to_string()]);
        }
        OperatorSpec { map: Some(map), .. } => lines.extend(["map".to_owned(), names(map.fields.keys().collect())]),
        OperatorSpec { distinct: Some(distinct), .. } => {
            lines.push(format!("distinct {}", names(distinct.by.keys().collect())));
        }
        OperatorSpec { join: Some(join), .. } => lines.push(format!("join on {}", paths(&join.on))),
        _ => {}
    }
    lines
}

/// What an operator that makes rows of rows reads.
fn read(operator: &OperatorSpec) -> impl Iterator<Item = &String> {
    let filter = operator.filter.iter().map(|filter| &filter.from);
    let map = operator.map.iter().map(|map| &map.from);
    let distinct = operator.distinct.iter().map(|distinct| &distinct.from);
    let join = operator.join.iter().flat_map(|join| [&join.from, &join.with.from]);
    filter.chain(map).chain(distinct).chain(join)
}

fn letters_file(pipeline: &Pipeline) -> String {
    match (&pipeline.dead_letters.path, pipeline.state.as_str()) {
        (Some(path), _) => path.clone(),
        (None, "none") => String::new(),
        (None, state) => format!("{}/dead-letters.ndjson", state.trim_end_matches('/')),
    }
}

fn sink_kind(sink: &SinkSpec) -> String {
    match sink {
        SinkSpec { sqlite: Some(sqlite), .. } => format!("sqlite: {}, table {}", sqlite.path, sqlite.table),
        SinkSpec { elasticsearch: Some(sink), .. } => format!("elasticsearch: {}", sink.index),
        SinkSpec { cassandra: Some(sink), .. } => format!("cassandra: {}.{}", sink.keyspace, sink.table),
        SinkSpec { tantivy: Some(tantivy), .. } => format!("tantivy: {}", tantivy.path),
        SinkSpec { kafka: Some(kafka), .. } => format!("kafka: {}", kafka.topic),
        SinkSpec { file: Some(file), .. } => format!("file: {}", file.path),
        _ => "discard".to_owned(),
    }
}

fn paths(paths: &OneOrMany<impl std::fmt::Display>) -> String {
    paths.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
