//! Tables: records folded into at most one row a key.
//!
//! | file | what it owns |
//! |---|---|
//! | `fold` | which record of a key is newest, what changes in an epoch, which deletions are remembered |
//! | `operator` | the dataflow shell: exchange by key, epochs |

mod fold;
mod operator;

pub use fold::Versioned;
pub use operator::{TableCounters, TableOptions, upsert};
