//! From a pipeline file to a plan: names become numbers, and each table knows what its records must hold.

use std::collections::HashMap;

use flowstone_operators::fuse::{Emit as Form, FuseOptions};
use flowstone_operators::interval::{Boundary, Grid};

use super::model::{
    self, Emit, End, FuseSpec, KafkaFormat, KeyField, OnLag, OperationFields, OperationsFields, Pipeline,
    RetentionSpec, SinkSpec,
};
use super::reshaping::AsOf;
use super::steps::{NodePlan, Step, node_operators};
use super::units::Span;
use crate::record::{AggregateSpec, DecodeSpec, FacetSpec, FieldPath, Ids, OperationSpec, OperationsSpec};

/// The name of the collection of records that could not be processed.
pub const DEAD_LETTERS: &str = "dead_letters";

/// A pipeline, compiled. Everything is referred to by its place in these lists.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The sources' names, in the order of the file.
    pub sources: Vec<String>,
    /// Every collection that records are folded into.
    pub tables: Vec<TablePlan>,
    /// Every `fuse`.
    pub fuses: Vec<FusePlan>,
    /// Every `aggregate`, then every `distinct`.
    pub aggregates: Vec<AggregatePlan>,
    /// Every `filter`, `map` and `join`.
    pub nodes: Vec<NodePlan>,
    /// Aggregates and nodes in an order in which each comes after those that it reads.
    pub steps: Vec<Step>,
    /// Every sink, each after the one that it names in `after:`; the last is that of the dead letters.
    pub sinks: Vec<SinkPlan>,
}

/// A table: a keyed source, an `upsert`, an `aggregate` of an unkeyed source, a `join` whose pairs stay as they are found, or an
/// unkeyed source that a sink reads, whose rows are keyed by their origin.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// The source's or operator's name.
    pub name: String,
    /// The sources that its records come from.
    pub sources: Vec<usize>,
    /// What is taken from its records.
    pub decode: DecodeSpec,
    /// How long versioned deletions are remembered, in milliseconds.
    pub remember_ms: u64,
    /// How long rows stay after their time, in nanoseconds; by default for ever.
    pub keep_ns: Option<u64>,
    /// Where it says which operations are finished, if its rows belong to operations.
    pub operations: Option<OperationsPlan>,
    /// The `aggregate` whose groups it holds, if its rows are such.
    pub groups_of: Option<usize>,
    /// The `join`, among the nodes, whose pairs it holds, if its rows are such. Then it has no sources.
    pub pairs_of: Option<usize>,
}

/// A source of operations.
#[derive(Clone, Debug)]
pub struct OperationsPlan {
    /// The source.
    pub source: usize,
    /// What is taken from its records.
    pub decode: OperationsSpec,
}

impl TablePlan {
    /// Whether its rows are only added: they have no keys of their own.
    pub fn is_stream(&self) -> bool {
        let is_made = self.groups_of.is_some() || self.pairs_of.is_some();
        !is_made && self.decode.key.is_empty() && !self.decode.is_by_message
    }

    /// All sources that its state is made of.
    pub fn all_sources(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().copied().chain(self.operations.as_ref().map(|operations| operations.source))
    }
}

/// A `fuse`.
#[derive(Clone, Debug)]
pub struct FusePlan {
    /// Its name.
    pub name: String,
    /// The table that it reads.
    pub table: usize,
    /// Which of the table's facets it reads.
    pub facet: u16,
    /// What it emits.
    pub options: FuseOptions<[u8]>,
    /// The largest document, in bytes.
    pub max_document_bytes: u64,
}

/// An `aggregate`, or a `distinct`, which computes nothing.
#[derive(Clone, Debug)]
pub struct AggregatePlan {
    /// Its name.
    pub name: String,
    /// What it reads; the events of an unkeyed source are read by none but an `aggregate`.
    pub from: Collection,
    /// What it computes.
    pub spec: AggregateSpec,
}

impl AggregatePlan {
    /// Whether its groups are a table: nobody keeps the events that it reads.
    pub fn is_table(&self) -> bool {
        matches!(self.from, Collection::Events(_))
    }
}

/// A sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// What it writes.
    pub from: Collection,
    /// The sink that must have written an epoch before.
    pub after: Option<usize>,
    /// Where it writes.
    pub spec: SinkSpec,
}

impl SinkPlan {
    /// Whether a row that replaces another is written with it.
    pub fn tells_before(&self) -> bool {
        self.spec.kafka.as_ref().is_some_and(|kafka| kafka.format == KafkaFormat::Change)
    }

    /// The sink that every pipeline has, for records that could not be processed.
    fn dead_letters() -> Self {
        let (from, after) = (DEAD_LETTERS.to_owned(), None);
        let on_lag = OnLag::Pause;
        let spec = SinkSpec {
            from,
            after,
            on_lag,
            sqlite: None,
            tantivy: None,
            elasticsearch: None,
            cassandra: None,
            kafka: None,
            file: None,
            discard: None,
        };
        SinkPlan { name: DEAD_LETTERS.to_owned(), from: Collection::DeadLetters, after: None, spec }
    }

    /// Whether it is the sink that every pipeline has.
    pub fn is_dead_letters(&self) -> bool {
        self.name == DEAD_LETTERS
    }
}

/// A collection that a sink can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// The rows of a table.
    Table(usize),
    /// The records of an unkeyed source, as they come; they are not kept.
    Events(usize),
    /// The documents of a `fuse`.
    Moments(usize),
    /// The documents that a `fuse` rejects.
    Rejected(usize),
    /// The groups of an `aggregate`.
    Groups(usize),
    /// The rows that an `aggregate` can not use.
    Unusable(usize),
    /// The rows of a node.
    Reshaped(usize),
    /// The rows that a node can not use.
    Unshaped(usize),
    /// The records that could not be processed.
    DeadLetters,
}

impl Plan {
    /// Compiles a pipeline.
    ///
    /// # Panics
    /// If it was not validated: validation sees to every name, kind and cycle.
    pub fn compile(pipeline: &Pipeline) -> Plan {
        let sources: Vec<String> = pipeline.sources.keys().cloned().collect();
        let tables = tables(pipeline);
        let (fuses, aggregates, nodes, steps, sinks) = Default::default();
        let mut plan = Plan { tables, sources, fuses, aggregates, nodes, steps, sinks };
        for (name, operator) in &pipeline.operators {
            let Some(spec) = &operator.fuse else { continue };
            let table = plan.table(&spec.from).expect("validated: fuse reads a table");
            let facets = &mut plan.tables[table].decode.facets;
            let facet = u16::try_from(facets.len()).expect("fewer than 2^16 operators");
            facets.push(facet_spec(spec));
            let options = fuse_options(spec);
            let max_document_bytes = spec.max_document_bytes.0;
            plan.fuses.push(FusePlan { name: name.clone(), table, facet, options, max_document_bytes });
        }
        for (name, operator) in &pipeline.operators {
            let Some(spec) = &operator.aggregate else { continue };
            let spec = aggregate_spec(spec);
            plan.aggregates.push(AggregatePlan { name: name.clone(), from: Collection::DeadLetters, spec });
        }
        plan.add_nodes(pipeline);
        plan.connect(pipeline);
        plan.add_sinks(pipeline);
        plan
    }

    /// The names of the operators that keep nothing in the journal: of every `fuse`, then of every `aggregate` of rows and
    /// `distinct`, then of every `filter`, `map` and `join`.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        let aggregates =
            self.aggregates.iter().filter(|aggregate| !aggregate.is_table()).map(|aggregate| aggregate.name.as_str());
        let nodes = self.nodes.iter().map(|node| node.name.as_str());
        self.fuses.iter().map(|fuse| fuse.name.as_str()).chain(aggregates).chain(nodes)
    }

    /// Whether a sink or an operator reads the collection; of tables that a `fuse` reads, whether others do, too.
    pub fn reads(&self, collection: Collection) -> bool {
        self.sinks.iter().any(|sink| sink.from == collection) || self.is_read_by_operator(collection)
    }

    /// Whether the collection only grows: a sink of it is never filled or swept.
    pub fn is_stream(&self, collection: Collection) -> bool {
        match collection {
            Collection::DeadLetters => true,
            Collection::Table(at) => self.tables[at].is_stream(),
            Collection::Events(_) => true,
            Collection::Moments(_) | Collection::Rejected(_) => false,
            Collection::Groups(_) | Collection::Unusable(_) => false,
            Collection::Reshaped(_) | Collection::Unshaped(_) => false,
        }
    }

    /// The sink, and those that may not be ahead of it, directly or not: they wait for it, or for one that does.
    pub fn waiting_for(&self, sink: usize) -> Vec<usize> {
        let mut waiting = vec![sink];
        // Each sink comes after the one that it waits for.
        for (number, plan) in self.sinks.iter().enumerate() {
            if plan.after.is_some_and(|after| waiting.contains(&after)) {
                waiting.push(number);
            }
        }
        waiting
    }

    fn table(&self, name: &str) -> Option<usize> {
        let is_it = |table: &TablePlan| table.name == name && table.groups_of.is_none() && table.pairs_of.is_none();
        self.tables.iter().position(is_it)
    }

    /// Adds the sinks in an order in which each comes after the one that it waits for.
    fn add_sinks(&mut self, pipeline: &Pipeline) {
        let mut placed: HashMap<&str, usize> = HashMap::new();
        while placed.len() < pipeline.sinks.len() {
            let before = placed.len();
            for (name, spec) in &pipeline.sinks {
                let after = spec.after.as_deref().map(|after| placed.get(after).copied());
                if placed.contains_key(name.as_str()) || after == Some(None) {
                    continue;
                }
                let from = self.collection(&spec.from).expect("validated: sinks read what there is");
                placed.insert(name, self.sinks.len());
                self.sinks.push(SinkPlan { name: name.clone(), from, after: after.flatten(), spec: spec.clone() });
            }
            assert!(placed.len() > before, "validated: no sink waits for itself");
        }
        self.sinks.push(SinkPlan::dead_letters());
    }

    pub(super) fn collection(&self, name: &str) -> Option<Collection> {
        let fuse = |name: &str| self.fuses.iter().position(|fuse| fuse.name == name);
        let node = |name: &str| self.nodes.iter().position(|node| node.name == name);
        let aggregate = |name: &str| self.aggregates.iter().position(|aggregate| aggregate.name == name);
        if name == DEAD_LETTERS {
            return Some(Collection::DeadLetters);
        }
        if let Some(of) = name.strip_suffix(".rejected") {
            let unusable = || aggregate(of).map(Collection::Unusable);
            return fuse(of).map(Collection::Rejected).or_else(unusable).or_else(|| node(of).map(Collection::Unshaped));
        }
        let groups = || aggregate(name).map(Collection::Groups);
        let operators =
            || fuse(name).map(Collection::Moments).or_else(groups).or_else(|| node(name).map(Collection::Reshaped));
        self.table(name).map(Collection::Table).or_else(operators)
    }
}

/// The number of an unkeyed source.
pub(super) fn events(pipeline: &Pipeline, name: &str) -> Option<usize> {
    pipeline.sources.get_full(name).filter(|(_, _, source)| source.key.is_none()).map(|(number, ..)| number)
}

/// The tables of a pipeline. An unkeyed source is one only if a sink reads it.
fn tables(pipeline: &Pipeline) -> Vec<TablePlan> {
    let mut tables = Vec::new();
    for (number, (name, source)) in pipeline.sources.iter().enumerate() {
        let is_read = pipeline.sinks.values().any(|sink| sink.from == *name);
        if source.key.is_some() || is_read {
            let key = source.key.as_ref().map_or(&[][..], |key| key.as_slice());
            let path = |field: &KeyField| match field {
                KeyField::Path(path) => Some(path.clone()),
                KeyField::Message => None,
            };
            let rules = Rules {
                key: &key.iter().filter_map(path).collect::<Vec<_>>(),
                is_by_message: key.contains(&KeyField::Message),
                version: source.version.as_ref(),
                delete: source.delete.as_ref(),
                tombstones: source.tombstones,
                retention: source.retention.as_ref(),
                operations: source.operation.as_ref().zip(source.operations.as_ref()),
            };
            tables.push(rules.table(name, vec![number], pipeline));
        }
    }
    for (name, operator) in &pipeline.operators {
        let Some(upsert) = &operator.upsert else { continue };
        let rules = Rules {
            key: upsert.key.as_slice(),
            is_by_message: false,
            version: upsert.version.as_ref(),
            delete: upsert.delete.as_ref(),
            tombstones: upsert.tombstones,
            retention: upsert.retention.as_ref(),
            operations: upsert.operation.as_ref().zip(upsert.operations.as_ref()),
        };
        let sources = upsert.from.as_slice().iter().map(|from| source_number(pipeline, from)).collect();
        tables.push(rules.table(name, sources, pipeline));
    }
    let aggregates =
        pipeline.operators.iter().filter_map(|(name, operator)| Some((name, operator.aggregate.as_ref()?)));
    for (number, (name, aggregate)) in aggregates.enumerate() {
        let Some(source) = events(pipeline, &aggregate.from) else { continue };
        tables.push(TablePlan {
            name: name.clone(),
            sources: vec![source],
            decode: DecodeSpec {
                key: aggregate.id.as_ref().map_or_else(Vec::new, |id| id.path.as_slice().to_vec()),
                ..DecodeSpec::default()
            },
            remember_ms: 0,
            keep_ns: None,
            operations: None,
            groups_of: Some(number),
            pairs_of: None,
        });
    }
    for (number, (name, operator)) in node_operators(pipeline).enumerate() {
        if operator.join.as_ref().is_some_and(|join| join.as_of == AsOf::Arrival) {
            tables.push(TablePlan {
                name: name.clone(),
                sources: Vec::new(),
                decode: DecodeSpec::default(),
                remember_ms: 0,
                keep_ns: None,
                operations: None,
                groups_of: None,
                pairs_of: Some(number),
            });
        }
    }
    tables
}

/// What a keyed source and an `upsert` say alike of the table that they are.
struct Rules<'p> {
    key: &'p [FieldPath],
    is_by_message: bool,
    version: Option<&'p FieldPath>,
    delete: Option<&'p FieldPath>,
    tombstones: Span,
    retention: Option<&'p RetentionSpec>,
    operations: Option<(&'p OperationFields, &'p model::OperationsSpec)>,
}

impl Rules<'_> {
    fn table(self, name: &str, sources: Vec<usize>, pipeline: &Pipeline) -> TablePlan {
        let operations = self.operations.map(|(fields, operations)| {
            let decode = operations_spec(operations.fields(fields), fields);
            OperationsPlan { source: source_number(pipeline, operations.from()), decode }
        });
        TablePlan {
            name: name.to_owned(),
            sources,
            decode: DecodeSpec {
                key: self.key.to_vec(),
                is_by_message: self.is_by_message,
                version: self.version.cloned(),
                delete: self.delete.cloned(),
                time: self.retention.map(|retention| retention.time.clone()),
                operation: self.operations.map(|(fields, _)| operation_spec(fields)),
                facets: Vec::new(),
            },
            remember_ms: self.tombstones.nanos() as u64 / 1_000_000,
            keep_ns: self.retention.map(|retention| retention.keep.nanos() as u64),
            operations,
            groups_of: None,
            pairs_of: None,
        }
    }
}

fn source_number(pipeline: &Pipeline, name: &str) -> usize {
    pipeline.sources.get_index_of(name).expect("validated: tables read sources")
}

fn operation_spec(fields: &OperationFields) -> OperationSpec {
    OperationSpec { kind: fields.kind.clone(), pivot: fields.pivot.clone(), number: fields.number.clone() }
}

/// `rows` has the fields of the rows, which stand for those that are not given.
fn operations_spec(fields: OperationsFields, rows: &OperationFields) -> OperationsSpec {
    let OperationsFields { from: _, kind, pivot, number, status, annotations } = fields;
    let or = |field: Option<FieldPath>, of_rows: &FieldPath| field.unwrap_or_else(|| of_rows.clone());
    let (kind, pivot, number) = (or(kind, &rows.kind), or(pivot, &rows.pivot), or(number, &rows.number));
    OperationsSpec { operation: OperationSpec { kind, pivot, number }, status, annotations }
}

fn facet_spec(spec: &FuseSpec) -> FacetSpec {
    let top = |path: &FieldPath| path.top_level().unwrap_or_default().to_owned();
    FacetSpec {
        by: spec.by.clone(),
        kind: spec.kind.clone(),
        start: spec.range.start.clone(),
        end: spec.range.end.clone(),
        boundary: match spec.end {
            End::Exclusive => Boundary::Exclusive,
            End::Inclusive => Boundary::Inclusive,
        },
        max_range_ns: spec.max_range.map_or(spec.bucket.nanos().saturating_mul(100_000), |range| range.nanos()),
        context: top(spec.context.as_ref().unwrap_or(&spec.by)),
        keep: spec.fields.as_ref().map(|fields| fields.iter().map(top).collect()),
    }
}

fn aggregate_spec(spec: &model::AggregateSpec) -> AggregateSpec {
    let by = spec.by.iter().map(|(name, path)| (name.clone(), path.clone()));
    let compute = spec.compute.iter().map(|(name, spec)| spec.computed(name));
    let window = spec.window.as_ref().map(|window| window.compiled());
    let ids = spec.id.as_ref().map(|id| Ids { keep_ms: id.keep.map(|keep| keep.nanos() as u64 / 1_000_000) });
    AggregateSpec { by: by.collect(), window, compute: compute.collect(), ids }
}

fn fuse_options(spec: &FuseSpec) -> FuseOptions<[u8]> {
    let grid = Grid::new(spec.bucket.nanos());
    let form = match spec.emit {
        Emit::Buckets => Form::Buckets(grid),
        Emit::Runs => Form::Runs(grid),
        Emit::Segments => Form::Segments,
    };
    FuseOptions::new(form)
        .with_min_kinds(spec.min_modalities as usize)
        .with_required(spec.require.iter().map(|kind| kind.as_bytes()))
        .with_max_children(spec.max_children as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_for_a_sink_are_found_through_others() {
        let sinks = "  c: { from: t, after: b, discard: {} }\n  a: { from: t, discard: {} }\n  \
                     b: { from: t, after: a, discard: {} }\n  d: { from: t, after: a, discard: {} }\n  \
                     e: { from: t, discard: {} }\n";
        let text = format!("name: n\nsources:\n  t: {{ memory: {{}}, key: /id }}\nsinks:\n{sinks}");
        let plan =
            Plan::compile(&crate::pipeline::parse(&text, std::path::Path::new("/"), &|_| None).unwrap().pipeline);
        let waiting = |name: &str| {
            let sink = plan.sinks.iter().position(|sink| sink.name == name).unwrap();
            let mut names: Vec<&str> = plan.waiting_for(sink).iter().map(|at| plan.sinks[*at].name.as_str()).collect();
            assert_eq!(names[0], name, "itself first");
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(["a", "b", "c", "d", "e"].map(waiting), ["a b c d", "b c", "c", "d", "e"]);
        assert_eq!(waiting(DEAD_LETTERS), DEAD_LETTERS);
    }
}
