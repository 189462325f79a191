//! The spine: what makes an epoch durable, and what brings it back.
//!
//! ```text
//!  table changes@e ─┐
//!                   ├─▶ part writer ─── parts, bindings@e ──▶ committer ─── empty; its frontier
//!       bindings@e ─┘    (each worker)                         (worker 0)    is the sealed frontier
//!                         │ thread: parts                       │ thread: the manifest
//!                         ▼                                     ▼
//!                        journal: parts/…, manifest/…  ◀────────┘
//!                         │
//!                         └─▶ sealed changes ──▶ tables, at the start of the next run
//! ```
//!
//! Writer and committer hold a capability while a thread of theirs writes. So the frontier of the committer's output *is* the
//! sealed frontier, on every worker of every process, and no message has to say so.
//!
//! | file | what it owns |
//! |---|---|
//! | [`row`] | what tables journal, and how it is encoded |
//! | [`part_writer`] | each worker's share of an epoch becomes a part |
//! | [`seals`] | which epochs are sealed by the next entry, and what is recorded of the sinks |
//! | [`committer`] | the entries of the manifest; the sealed frontier |
//! | [`sealed`] | sealed changes of earlier runs, read back |
//! | [`helper`] | threads that do an operator's I/O |

pub mod committer;
pub mod helper;
pub mod part_writer;
pub mod row;
pub mod sealed;
pub mod seals;
#[cfg(test)]
mod tests;
