//! `operators` in the pipeline file: which kinds there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{AggregateSpec, DistinctSpec, FilterSpec, FuseSpec, JoinSpec, MapSpec, UpsertSpec};

/// An operator. Exactly one of the fields says which.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["fuse"] }, { "required": ["aggregate"] }, { "required": ["filter"] }, { "required": ["map"] }, { "required": ["join"] }, { "required": ["distinct"] }, { "required": ["upsert"] }]))]
pub struct OperatorSpec {
    /// Fuses annotations that overlap in time.
    pub fuse: Option<FuseSpec>,
    /// Counts and adds up rows, by group.
    pub aggregate: Option<AggregateSpec>,
    /// Keeps the rows of which an expression is true.
    pub filter: Option<FilterSpec>,
    /// Gives rows other documents.
    pub map: Option<MapSpec>,
    /// Pairs rows with those of another collection.
    pub join: Option<JoinSpec>,
    /// Has one row for each combination of values.
    pub distinct: Option<DistinctSpec>,
    /// Folds several unkeyed sources into one table.
    pub upsert: Option<UpsertSpec>,
}
