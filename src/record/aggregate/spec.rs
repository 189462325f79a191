//! What an `aggregate` is asked for.

use super::condition::Condition;
use super::window::WindowSpec;
use crate::record::FieldPath;

/// An `aggregate`, compiled.
#[derive(Clone, Debug)]
pub struct AggregateSpec {
    /// The fields that make a group: their names in its document, and where rows have them.
    pub by: Vec<(String, FieldPath)>,
    /// The windows of event time in which they are computed, if any.
    pub window: Option<WindowSpec>,
    /// The fields that are computed.
    pub compute: Vec<Computed>,
    /// How long the ids of events are remembered, if these have any.
    pub ids: Option<Ids>,
}

/// How long the ids of events are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// So many milliseconds after the epoch of the event that counted; without it, for as long as events of its time may come.
    pub keep_ms: Option<u64>,
}

/// A field that is computed.
#[derive(Clone, Debug)]
pub struct Computed {
    /// Its name in the document.
    pub name: String,
    /// How.
    pub function: Function,
    /// Only rows that meet all of these count.
    pub conditions: Vec<Condition>,
}

/// How a field of a group's document is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// How many rows there are.
    Rows,
    /// How many values there are.
    Count(FieldPath),
    /// What the numbers add up to.
    Sum(FieldPath),
    /// Their mean.
    Average(FieldPath),
    /// The least value.
    Min(FieldPath),
    /// The greatest value.
    Max(FieldPath),
    /// How many values there are that differ.
    Distinct(FieldPath),
    /// How often each value is there.
    Histogram(FieldPath),
    /// The rows with the greatest values.
    Top {
        /// So many of them.
        k: usize,
        /// The value.
        by: FieldPath,
        /// What is shown of them, besides.
        of: Option<FieldPath>,
    },
    /// Of the row with the least value, or with the greatest one.
    End {
        /// Which of both.
        is_last: bool,
        /// The value.
        by: FieldPath,
        /// What is shown of it.
        of: FieldPath,
    },
}

impl Function {
    /// The fields that it reads, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let (first, second) = match self {
            Function::Rows => (None, None),
            Function::Count(path)
            | Function::Sum(path)
            | Function::Average(path)
            | Function::Min(path)
            | Function::Max(path)
            | Function::Distinct(path)
            | Function::Histogram(path) => (Some(path), None),
            Function::Top { by, of, .. } => (Some(by), of.as_ref()),
            Function::End { by, of, .. } => (Some(by), Some(of)),
        };
        first.into_iter().chain(second)
    }
}

impl Computed {
    /// Whether more than the number of rows must be known.
    pub(super) fn reads_fields(&self) -> bool {
        self.function != Function::Rows || !self.conditions.is_empty()
    }
}
