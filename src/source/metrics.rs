//! What sources and the tables behind them count. Updated in batches, never a record at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flowstone_operators::table::TableCounters;

/// Counters of a source.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Bytes to read, as far as it is known, on the scale of `read_bytes`.
    pub total_bytes: AtomicU64,
    /// Bytes read.
    pub read_bytes: AtomicU64,
    /// Partitions found.
    pub partitions: AtomicU64,
    /// How long its workers waited because too much was in flight, in nanoseconds, added up.
    pub paused_ns: AtomicU64,
}

/// Counters of a table. `records = rows + deletions + records about operations + dead letters`; what the table refuses of those
/// about operations, it counts itself.
#[derive(Debug, Default)]
pub struct TableMetrics {
    /// Records that came in.
    pub records: AtomicU64,
    /// Of these, valid rows.
    pub applied: AtomicU64,
    /// Of these, deletions.
    pub deletions: AtomicU64,
    /// Of these, dead letters.
    pub dead_letters: AtomicU64,
    /// Of these, events that came too late.
    pub late: AtomicU64,
    /// Of these, about operations.
    pub operations: AtomicU64,
    /// What the table itself counts.
    pub table: Arc<TableCounters>,
}
