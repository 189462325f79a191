//! `filter`, `map`, `distinct` and `join` in the pipeline file.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::OneOrMany;
use crate::record::{self, Expression, FieldPath, ReshapeSpec};

/// Keeps the rows of which an expression is true. They stay as they are, with their keys.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterSpec {
    /// A keyed source, or an operator.
    pub from: String,
    /// What must be true of a row.
    #[serde(rename = "where")]
    pub condition: Expression,
}

/// Gives rows other documents, with fields that are computed. They keep their keys.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MapSpec {
    /// A keyed source, or an operator.
    pub from: String,
    /// The names of fields of the document, and what they are.
    #[schemars(extend("minProperties" = 1))]
    pub fields: IndexMap<String, Expression>,
    /// What becomes of the other fields of the document.
    #[serde(default)]
    pub rest: Rest,
}

/// What becomes of the fields that a `map` does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// They stay.
    #[default]
    Keep,
    /// They go.
    Drop,
}

/// Has one row for each combination of values that rows have in some fields, for as long as a row has it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistinctSpec {
    /// A keyed source, or an operator.
    pub from: String,
    /// The fields: their names in the document, each with the path of its value, a string or an integer. With `*` in a path a row
    /// has each of its values.
    #[schemars(extend("minProperties" = 1))]
    pub by: IndexMap<String, FieldPath>,
}

/// Pairs the rows of a collection with those of another that have the same values, and keeps the pairs up to date when either
/// changes; or with `as_of: arrival` when a row of the first one does. A pair is the document of the row with that of its partner in
/// a field of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinSpec {
    /// The rows that are paired: of a keyed source, or an operator.
    pub from: String,
    /// The field or fields that hold the values: strings or integers. A row that lacks one has no partner.
    pub on: OneOrMany<FieldPath>,
    /// The rows that they are paired with.
    pub with: JoinWith,
    /// What becomes of rows without a partner.
    #[serde(default)]
    pub unmatched: Unmatched,
    /// Which document of its partner a row is paired with.
    #[serde(default, skip_serializing_if = "AsOf::is_now")]
    #[schemars(extend("default" = "now"))]
    pub as_of: AsOf,
}

/// Which document of its partner a row is paired with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AsOf {
    /// The present one: pairs change with it.
    #[default]
    Now,
    /// The one that it had when the row came, or last changed, at the end of that epoch; it stays, whatever becomes of the partner.
    /// A row that finds none then has none. The pairs are a table, and need `with` without `on`. Both sides are rows that tables
    /// keep: of keyed sources, an `upsert`, an `aggregate` of events or a `join` like this one, and what `filter` and `map` make of
    /// them.
    Arrival,
}

impl AsOf {
    fn is_now(&self) -> bool {
        *self == AsOf::Now
    }
}

/// The rows that others are paired with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinWith {
    /// A keyed source, or an operator.
    pub from: String,
    /// The field or fields that hold the values, in the order of the other ones. By default the row key: then a row has one
    /// partner at most, and the pair has the row's key. Otherwise the partner's key is added to it.
    pub on: Option<OneOrMany<FieldPath>>,
    /// The field of the pair that holds the partner's document; by default the name that stands in `from`.
    #[serde(rename = "as")]
    #[schemars(length(min = 1))]
    pub name: Option<String>,
}

/// What becomes of rows without a partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// They are not in the result: an inner join.
    #[default]
    Drop,
    /// They are, with `null` in the place of the partner: a left join.
    Keep,
}

impl FilterSpec {
    /// Compiled.
    pub fn compiled(&self) -> ReshapeSpec {
        ReshapeSpec::Filter(self.condition.clone())
    }
}

impl MapSpec {
    /// Compiled.
    pub fn compiled(&self) -> ReshapeSpec {
        let fields = self.fields.iter().map(|(name, expression)| (name.clone(), expression.clone()));
        ReshapeSpec::Map { fields: fields.collect(), keeps_rest: self.rest == Rest::Keep }
    }
}

impl DistinctSpec {
    /// As an aggregate that computes nothing.
    pub fn compiled(&self) -> record::AggregateSpec {
        let by = self.by.iter().map(|(name, path)| (name.clone(), path.clone()));
        record::AggregateSpec { by: by.collect(), window: None, compute: Vec::new(), ids: None }
    }
}

impl JoinSpec {
    /// Compiled.
    pub fn compiled(&self) -> record::JoinSpec {
        record::JoinSpec {
            on: self.on.as_slice().to_vec(),
            with_on: self.with.on.as_ref().map(|on| on.as_slice().to_vec()),
            name: self.with.name.clone().unwrap_or_else(|| self.with.from.clone()),
            keeps_unmatched: self.unmatched == Unmatched::Keep,
            stays: self.as_of == AsOf::Arrival,
        }
    }
}
