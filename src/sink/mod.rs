//! Sinks: where row changes become rows of a store.
//!
//! ```text
//!  changes@e ──▶ gate ──────────────▶ shell ──channel──▶ writer thread ──▶ store
//!                 ▲ releases whole     │ on worker 0
//!                 │ epochs, in order,  └─ acks: an empty stream; its frontier is the sink's upper
//!                 │ one change a key
//!         what is sealed, or the upper of another sink (`after:`)
//! ```
//!
//! | what | when |
//! |---|---|
//! | resume | the store goes on where it was: epochs that it has are dropped, the others come as they are |
//! | fill and sweep | the store gets the whole content at one epoch; then everything older in it is deleted |
//! | stream | rows are only ever added; a store that has no versions gets its position back, see [`Writer::mark`] |
//!
//! What waits at gates and in shells is counted by one [`gauge::Gauge`], at which sources pause. A sink that stands still for
//! too long, and was asked not to hold the others, is detached: see [`lag`].
//!
//! A store implements [`Writer`] and nothing else: order, consolidation and threads are dealt with here.

use std::fmt;
use std::time::Duration;

use crate::record::Row;

mod advice;
#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(test)]
#[cfg(all(feature = "failpoints", feature = "sqlite", feature = "tantivy"))]
mod crashes;
pub mod discard;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod epochs;
pub mod file;
pub mod finals;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod flow;
pub mod gate;
pub mod gauge;
mod identity;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod lag;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod ledger;
pub mod metrics;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod refused;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod requests;
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
mod retry;
pub mod shell;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "tantivy")]
pub mod tantivy;
#[cfg(test)]
mod testing;

/// Streams of this type carry no data; only their frontiers count.
pub type Never = std::convert::Infallible;

/// Where a sink begins in a run. The same on all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Start {
    /// The store has all epochs before `from`; it gets those from there on, each by itself. Not below the store's own upper.
    Resume {
        /// The first epoch to write.
        from: u64,
    },
    /// The store gets the whole content as of `at`, at `at`, and a sweep; then later epochs. Not below the store's own upper.
    Fill {
        /// The epoch of the fill.
        at: u64,
    },
    /// The same, with the time of the [`Reveal`] as the epoch of the fill. Nothing is written before.
    FillAtReveal,
    /// The collection is append-only, and the store has all of it before `from`. Never filled, never swept.
    Stream {
        /// The first epoch to write.
        from: u64,
    },
}

/// Says that catching up has ended: sinks that wait for it are filled as of the time of this message. At most once a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reveal;

/// What became of one key in one epoch. Each key appears at most once in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Change {
    /// The key's row is now this one.
    Upsert(Row),
    /// The same of a key that had another row, in the place of `Upsert` for sinks that ask for it: see [`gate::Passage`].
    Replace(Box<Replaced>),
    /// The key has no row any more; this is the last one that it had.
    Delete(Row),
}

/// The rows of a key before and after an epoch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Replaced {
    /// What the key had.
    pub before: Row,
    /// What it has now.
    pub after: Row,
}

impl Change {
    /// The row that carries the key.
    pub fn row(&self) -> &Row {
        match self {
            Change::Upsert(row) | Change::Delete(row) => row,
            Change::Replace(rows) => &rows.after,
        }
    }

    /// The row that the key has now, if it has one.
    pub fn after(&self) -> Option<&Row> {
        match self {
            Change::Upsert(row) => Some(row),
            Change::Replace(rows) => Some(&rows.after),
            Change::Delete(_) => None,
        }
    }

    /// The row that the key had, as far as that is told.
    pub fn before(&self) -> Option<&Row> {
        match self {
            Change::Upsert(_) => None,
            Change::Replace(rows) => Some(&rows.before),
            Change::Delete(row) => Some(row),
        }
    }
}

/// Whether closing an epoch also deletes everything that the store holds of earlier epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// An ordinary epoch: what it does not touch stays.
    Keep,
    /// The epoch was a fill, the whole content: everything with an older epoch goes.
    Older,
}

/// Writes epochs to one store. Called from a thread of its own, so that it may block.
///
/// The protocol, for each epoch that touches the sink, in increasing order:
/// any number of [`Writer::write`], then one [`Writer::close`]. Idle epochs are not announced.
pub trait Writer: Send {
    /// Writes a share of `epoch`'s changes; drains `changes`. Nothing of it may be visible to the store's readers
    /// before [`Writer::close`], if the store can do that.
    ///
    /// # Errors
    /// Those that a retry does not help: what can be retried is retried inside.
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError>;

    /// All of `epoch` was written. Makes it visible, together with the sink's new upper `epoch + 1`; a store may do that
    /// later for several epochs at once, see [`Writer::durable_upper`].
    ///
    /// # Errors
    /// As for [`Writer::write`].
    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError>;

    /// All epochs below this one are durable in the store.
    fn durable_upper(&self) -> u64;

    /// Where the store is at [`Writer::durable_upper`], if it can not tell by itself: to be remembered with that upper, and
    /// given back when the store is opened again. `None` for stores that know their upper.
    fn mark(&self) -> Option<String> {
        None
    }

    /// Called when there is nothing else to do: commits what waits, if it is time, and says when to call again.
    ///
    /// # Errors
    /// As for [`Writer::write`].
    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        Ok(None)
    }

    /// The last call: makes everything closed durable.
    ///
    /// # Errors
    /// As for [`Writer::write`].
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A store that could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The store refused, or could not do, what was asked of it.
    #[error("could not {action} {object}")]
    Store {
        /// What was attempted: "open", "write to", "commit".
        action: &'static str,
        /// The store: its kind and its name.
        object: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store exists, and is not what the pipeline describes.
    #[error("{object} does not fit the pipeline: {difference}")]
    Mismatch {
        /// The store: its kind and its name.
        object: String,
        /// Expected and found.
        difference: String,
    },
    /// A later run has taken the store over; this one must not write to it any more, and stops. A retry does not help.
    #[error(
        "another run has taken over {object}: stop one of the two; what this run has not written, the other one writes"
    )]
    Fenced {
        /// The store: its kind and its name.
        object: String,
    },
}

impl SinkError {
    /// A [`SinkError::Store`].
    pub fn store(
        action: &'static str,
        object: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        SinkError::Store { action, object: object.to_string(), source: source.into() }
    }
}

/// What else than its settings a sink of a server must know.
#[cfg(any(feature = "elasticsearch", feature = "cassandra"))]
pub(crate) struct Place<'a> {
    /// The sink's name.
    pub name: &'a str,
    /// What its rows are.
    pub layout: &'a crate::pipeline::layout::Layout,
    /// What paths in the pipeline file are relative to.
    pub base: &'a std::path::Path,
    /// The file of the dead letters; that of refused rows stands beside it.
    pub dead_letters: &'a std::path::Path,
    /// How long the sink may stand still before the run gives it up, if it does.
    pub detach: Option<Duration>,
}

/// A sink whose store is open.
pub struct Opened {
    /// Writes to it.
    pub writer: Box<dyn Writer>,
    /// An epoch above every one that the store holds; 0 for an empty store.
    pub above: u64,
    /// What the store says of itself; `None` if it remembers nothing.
    pub store: Option<StoreState>,
}

/// What a store says of itself (law L13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// Its identity, given at random when it was made: another one means another store, or one that was made anew.
    pub id: String,
    /// All epochs below are in it; 0 if no fill was ever completed. It may be above what is remembered of it.
    pub upper: u64,
}
