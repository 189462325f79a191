//! Joins of intervals: pairs of rows of two collections that have the same key and overlap in time; or the rows without a pair.
//!
//! ```text
//! changes of (key, left)@e  ──exchange by key──┐
//!                                              ├─▶ per key: rows by time, both sides ──▶ pairs of what changed ──▶ results ± @e
//! changes of (key, right)@e ──exchange by key──┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | [`options`](OverlapOptions) | what is asked for |
//! | `changes` | one side of one epoch of one key: sorted, net |
//! | `update` | one epoch of one key: from changes of rows to changes of results |
//! | `operator` | the dataflow shell: exchange, epochs, yielding |
//! | `crate::timeline` | the state: rows of one key and side, by start |

mod changes;
mod operator;
mod options;
mod update;

pub use operator::{overlap_join, overlap_join_anti, overlap_join_left};
pub use options::OverlapOptions;
