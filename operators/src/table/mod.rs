//! Tables: records folded into at most one row a key, durable by a journal of their changes.
//!
//! ```text
//!              live ──▶ candidates ──▶ rows ──▶ row changes   (held back while hidden, then their net)
//!   (of an epoch, newest a key)    ▲    └─────▶ changes of state ──▶ journal
//!                                  │                                    │
//!              sealed ─────────────┴── load, replay ◀── the next run ◀──┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `versioned` | what a table must know of its records |
//! | `candidates` | which record of a key is newest in an epoch |
//! | `rows` | what an epoch changes; which deletions are remembered; load and replay of what is sealed |
//! | `deadlines` | when rows are due, if a table keeps them only for a time |
//! | `held` | the net change of epochs that are not shown one by one |
//! | `operator` | the dataflow shell of [`upsert`]: exchange by key, epochs |
//! | `tail` | [`tail()`]: streams, which are kept only until everybody has read them |

mod candidates;
mod deadlines;
mod held;
mod operator;
mod rows;
mod tail;
mod versioned;

pub use operator::{TableCounters, TableInput, TableOptions, TableStart, Tick, upsert};
pub use rows::TableChange;
pub use tail::tail;
pub use versioned::Versioned;
