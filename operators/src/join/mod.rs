//! Incremental joins: the rows of two collections that have a key in common, kept up to date when either changes; or as they were
//! when those of the left side came.
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
//! | `operator` | [`join()`]: the joins of all keys; the dataflow shell is that of aggregation |
//! | `looking` | what left rows find on the right side, once |
//! | `as_of` | [`as_of()`]: the same as an operator, in front of a table that keeps it |

mod as_of;
mod looking;
mod operator;
mod sides;

pub use as_of::{AsOfInput, AsOfOptions, as_of};
pub use looking::Looked;
pub use operator::{Unmatched, join};
