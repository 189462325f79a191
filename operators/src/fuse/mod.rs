//! Temporal-intersection fusion: annotations that overlap in time become one document a moment.
//!
//! ```text
//! changes of (key, annotation)@e ──exchange by key──▶ per key: timeline ──▶ sweep of the dirty spans ──▶ moments ± @e
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | [`options`](FuseOptions) | what is asked for |
//! | `crate::timeline` | the state: annotations of one key, by duration class and start |
//! | [`children`](Children) | the children of a document: places in a shared pool |
//! | `sweep` | from intervals to stretches with a constant set of children |
//! | `update` | one epoch of one key: what changes, and what is there around it |
//! | `documents` | the documents before and after |
//! | `operator` | the dataflow shell: exchange, epochs, yielding |

mod children;
mod documents;
mod moment;
mod operator;
mod options;
mod sweep;
mod update;

pub use children::Children;
pub use moment::{Moment, Rejection};
pub use operator::fuse;
pub use options::{Emit, FuseOptions};
