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
//! | `gather` | what came in one epoch, by key |
//! | `changes` | one side of one epoch of one key: sorted, net |
//! | `update` | one epoch of one key: from changes of rows to changes of results |
//! | `state` | what is there of one key: both sides, by start (`crate::timeline`) |
//! | `worker` | one worker's keys and their states |
//! | `results` | from pairs to rows of the output |
//! | `operator` | the dataflow shell: exchange, epochs, yielding |

mod changes;
mod gather;
mod operator;
mod options;
mod results;
mod state;
mod update;
mod worker;

pub use operator::{overlap_join, overlap_join_anti, overlap_join_left};
pub use options::OverlapOptions;
