//! What tables read, and how they are set up.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use timely::dataflow::StreamVec;

use crate::reaper::Reaper;

/// Options of [`upsert`](super::upsert) and of [`generations`](crate::generations::generations).
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// How long versioned deletions, and the ends of operations, are remembered, in the unit of epochs.
    pub remember: u64,
    /// How long rows are kept after their time ([`Versioned::expires`](super::Versioned::expires)), in nanoseconds; by default for ever.
    pub keep_ns: Option<u64>,
    /// What is counted on the way; shared by all workers.
    pub counters: Arc<TableCounters>,
    /// Where the table starts.
    pub start: TableStart,
    /// Whether everybody who reads its rows knows those that it starts with: they are not put out then.
    pub are_rows_known: bool,
    /// Whether somebody reads the changes of its state.
    pub journalled: bool,
    /// Takes the rows when the input has ended.
    pub reaper: Reaper,
}

/// Where a table starts: what of its epochs was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStart {
    /// Sealed rows of this epoch are loaded, those of later ones replayed.
    pub hydrate_at: u64,
    /// From this epoch on nothing is shown until a reveal.
    pub hidden_from: Option<u64>,
}

/// What tables count.
#[derive(Debug, Default)]
pub struct TableCounters {
    /// Records that did not become their key's row, because there was a newer one.
    pub superseded: AtomicU64,
    /// Times that records of one key met which come from different partitions and have no version.
    pub ambiguous: AtomicU64,
    /// Rows whose time was over, and records that came too late to be rows.
    pub expired: AtomicU64,
    /// Records of operations that were over when they came: canceled, or older than the one that is shown.
    pub stale: AtomicU64,
    /// Times that the rows of an operation came to be shown.
    pub swaps: AtomicU64,
    /// Records that were refused.
    pub refused: AtomicU64,
    /// Events that were there already.
    pub repeated: AtomicU64,
    /// Ids of events that are remembered at present.
    pub ids: AtomicU64,
    /// Rows at present.
    pub rows: AtomicU64,
    /// Rows at present of operations that are not finished.
    pub hidden: AtomicU64,
}

/// What a table reads: records `R`, and states `S` that it had made of such.
pub struct TableInput<'scope, R: 'static, V: 'static, S: 'static = R> {
    /// Records, anywhere.
    pub live: StreamVec<'scope, u64, R>,
    /// What a journal has of the keys that this worker [owns](crate::route::owned): `(epoch, state)`, at that epoch or at a
    /// later one that shows it. A deletion that need not be remembered says that nothing is left of its key.
    pub sealed: StreamVec<'scope, u64, (u64, S)>,
    /// One message on each worker, at the epoch that shows everything up to it; or none. Its frontier passes an epoch only
    /// when that is known not to be the one. Not read by a table that hides nothing.
    pub reveals: StreamVec<'scope, u64, V>,
    /// One message on each worker at every epoch at which rows go whose time is over. For tables that keep them for ever: none.
    pub ticks: Option<StreamVec<'scope, u64, Tick>>,
}

/// Rows go now whose time is over. It comes to all workers at the same epochs, so that these do not depend on their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Tick {
    /// For tables that go by event time: nothing from before it will come any more.
    pub watermark: Option<i64>,
}
