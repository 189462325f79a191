//! Incremental joins: the rows of two collections that have a key in common, kept up to date when either changes.
//!
//! ```text
//! left (key, row)@e  ──┐
//!                      ├─partial──exchange by key──▶ per epoch: keys that change ──▶ results ± @e
//! right (key, row)@e ──┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `sides` | the rows of both sides of a key, and what a change of them changes |
//! | `operator` | the joins of all keys, as an operator: the dataflow shell is that of aggregation |

mod operator;
mod sides;

pub use operator::{Unmatched, join};
