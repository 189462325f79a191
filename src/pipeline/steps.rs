//! Operators that may read each other, in the plan: `aggregate`, `distinct`, `filter`, `map` and `join`.

use super::compile::{AggregatePlan, Collection, Plan, events};
use super::model::{OperatorSpec, Pipeline};
use crate::record::{JoinSpec, ReshapeSpec};

/// A `filter`, a `map` or a `join`.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub from: Collection,
    /// What it makes of it.
    pub kind: NodeKind,
}

/// What a node makes of what it reads.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Other rows, one by one.
    Reshape(ReshapeSpec),
    /// Pairs with the rows of another collection: a table, if they stay as they are found.
    Join {
        /// The other collection.
        with: Collection,
        /// How.
        spec: JoinSpec,
    },
}

impl NodePlan {
    /// The collections that it reads.
    pub fn reads(&self) -> impl Iterator<Item = Collection> {
        let with = match &self.kind {
            NodeKind::Reshape(_) => None,
            NodeKind::Join { with, .. } => Some(*with),
        };
        [self.from].into_iter().chain(with)
    }

    /// What a changed node is known by: `filter NAME`.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            NodeKind::Reshape(ReshapeSpec::Filter(_)) => "filter",
            NodeKind::Reshape(ReshapeSpec::Map { .. }) => "map",
            NodeKind::Join { spec, .. } if spec.stays => "table",
            NodeKind::Join { .. } => "join",
        }
    }

    /// Whether its rows are a table: pairs that stay as they are found.
    pub fn is_table(&self) -> bool {
        matches!(&self.kind, NodeKind::Join { spec, .. } if spec.stays)
    }
}

/// The operators that are nodes, in the order of the file.
pub(super) fn node_operators(pipeline: &Pipeline) -> impl Iterator<Item = (&String, &OperatorSpec)> {
    let is_node =
        |operator: &OperatorSpec| operator.filter.is_some() || operator.map.is_some() || operator.join.is_some();
    pipeline.operators.iter().filter(move |(_, operator)| is_node(operator))
}

/// An operator, by its place among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One of the aggregates.
    Aggregate(usize),
    /// One of the nodes.
    Node(usize),
}

impl Plan {
    /// Adds what `distinct`, `filter`, `map` and `join` are; the collections that they read are not known yet.
    pub(super) fn add_nodes(&mut self, pipeline: &Pipeline) {
        let unknown = Collection::DeadLetters;
        for (name, operator) in &pipeline.operators {
            let name = name.clone();
            if let Some(distinct) = &operator.distinct {
                self.aggregates.push(AggregatePlan { name, from: unknown, spec: distinct.compiled() });
                continue;
            }
            let kind = match operator {
                OperatorSpec { filter: Some(filter), .. } => NodeKind::Reshape(filter.compiled()),
                OperatorSpec { map: Some(map), .. } => NodeKind::Reshape(map.compiled()),
                OperatorSpec { join: Some(join), .. } => NodeKind::Join { with: unknown, spec: join.compiled() },
                _ => continue,
            };
            self.nodes.push(NodePlan { name, from: unknown, kind });
        }
    }

    /// Says of all that are known by name what they read, and in which order they can be built.
    pub(super) fn connect(&mut self, pipeline: &Pipeline) {
        let known = self.clone();
        let read = |name: &str| known.collection(name).expect("validated: operators read what there is");
        let of = |name: &str| &pipeline.operators[name];
        for aggregate in &mut self.aggregates {
            aggregate.from = match of(&aggregate.name) {
                OperatorSpec { aggregate: Some(aggregate), .. } => match events(pipeline, &aggregate.from) {
                    Some(source) => Collection::Events(source),
                    None => read(&aggregate.from),
                },
                OperatorSpec { distinct: Some(distinct), .. } => read(&distinct.from),
                other => unreachable!("an aggregate is one of these, and not {other:?}"),
            };
        }
        for node in &mut self.nodes {
            match (of(&node.name), &mut node.kind) {
                (OperatorSpec { filter: Some(filter), .. }, _) => node.from = read(&filter.from),
                (OperatorSpec { map: Some(map), .. }, _) => node.from = read(&map.from),
                (OperatorSpec { join: Some(join), .. }, NodeKind::Join { with, .. }) => {
                    (node.from, *with) = (read(&join.from), read(&join.with.from));
                }
                (other, _) => unreachable!("a node is one of these, and not {other:?}"),
            }
        }
        self.steps = self.in_order();
    }

    /// All aggregates and nodes, each after those that it reads.
    fn in_order(&self) -> Vec<Step> {
        let aggregates = (0..self.aggregates.len()).map(Step::Aggregate);
        let mut left: Vec<Step> = aggregates.chain((0..self.nodes.len()).map(Step::Node)).collect();
        let mut steps = Vec::new();
        while !left.is_empty() {
            let is_built = |from: Collection| match from {
                Collection::Groups(at) => steps.contains(&Step::Aggregate(at)),
                Collection::Reshaped(at) => steps.contains(&Step::Node(at)),
                _ => true,
            };
            let is_ready = |step: &Step| match *step {
                Step::Aggregate(at) => is_built(self.aggregates[at].from),
                Step::Node(at) => self.nodes[at].reads().all(is_built),
            };
            let (ready, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_ready);
            assert!(!ready.is_empty(), "validated: operators do not read each other in circles");
            steps.extend(ready);
            left = others;
        }
        steps
    }

    /// The table whose rows a collection has, as they are or as `filter` and `map` make them; none if other operators are between.
    pub fn table_of(&self, collection: Collection) -> Option<usize> {
        match collection {
            Collection::Table(at) => Some(at),
            Collection::Groups(at) => self.tables.iter().position(|table| table.groups_of == Some(at)),
            Collection::Reshaped(at) if self.nodes[at].is_table() => {
                self.tables.iter().position(|table| table.pairs_of == Some(at))
            }
            Collection::Reshaped(at) => match self.nodes[at].kind {
                NodeKind::Reshape(_) => self.table_of(self.nodes[at].from),
                NodeKind::Join { .. } => None,
            },
            _ => None,
        }
    }

    /// Whether an operator reads the collection that keeps something of it: what it reads must be whole when it starts.
    pub fn is_read_by_operator(&self, collection: Collection) -> bool {
        let nodes = self.nodes.iter().flat_map(NodePlan::reads);
        self.aggregates.iter().map(|aggregate| aggregate.from).chain(nodes).any(|from| from == collection)
    }
}
