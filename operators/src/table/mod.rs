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
//! | `keyed` | what must be known of rows that are held back |
//! | `candidates` | which record of a key is newest in an epoch |
//! | `rows` | what an epoch changes; which deletions are remembered; load and replay of what is sealed |
//! | `deadlines` | when rows are due, if a table keeps them only for a time |
//! | `held` | the net change of epochs that are not shown one by one |
//! | `fold` | what a table makes of its records: `rows`, or [`generations`](crate::generations) of them |
//! | `state` | what happens when an epoch is complete, whatever the fold |
//! | `shell` | the dataflow around it: exchange by key, epochs |
//! | `options` | what a table reads, and how it is set up |
//! | `operator` | [`upsert`] |
//! | `tail` | [`tail()`]: streams, which are kept only until everybody has read them |

pub(crate) mod candidates;
mod deadlines;
pub(crate) mod fold;
mod held;
mod keyed;
mod operator;
mod options;
pub(crate) mod outcome;
pub(crate) mod rows;
pub(crate) mod shell;
mod state;
mod tail;
mod versioned;

pub use keyed::Keyed;
pub use operator::upsert;
pub use options::{TableCounters, TableInput, TableOptions, TableStart, Tick};
pub use outcome::TableChange;
pub use tail::tail;
pub use versioned::Versioned;
