//! Rows of a group in an order.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::value::Value;

/// A row among those of its group. The least comes first; rows of one rank are ordered by their keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Ranked {
    pub(super) rank: Rank,
    /// The row key: JSON text.
    pub(super) key: Arc<str>,
    /// What is shown of it: JSON text.
    pub(super) of: Option<Arc<str>>,
}

/// By which value a row stands where it does. Those of one function are all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Rank {
    /// The row with the least value comes first.
    Least(Value),
    /// The row with the greatest value comes first.
    Greatest(Reverse<Value>),
}

impl Rank {
    pub(super) fn least(value: Value) -> Self {
        Rank::Least(value)
    }

    pub(super) fn greatest(value: Value) -> Self {
        Rank::Greatest(Reverse(value))
    }
}

impl Ranked {
    /// Appends it as an entry of a list.
    pub(super) fn write_entry(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":");
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(b",\"by\":");
        match &self.rank {
            Rank::Least(value) | Rank::Greatest(Reverse(value)) => value.write_json(out),
        }
        if let Some(of) = &self.of {
            out.extend_from_slice(b",\"of\":");
            out.extend_from_slice(of.as_bytes());
        }
        out.push(b'}');
    }
}
