//! What a run counts, for progress bars, summaries and metrics. Updated in batches, never a record at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flowstone_operators::table::TableCounters;

/// Counters of all nodes of a run.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By source.
    pub sources: Vec<(String, Arc<SourceMetrics>)>,
    /// By table: a keyed source or an `upsert`.
    pub tables: Vec<(String, Arc<TableMetrics>)>,
    /// By `fuse`.
    pub fuses: Vec<(String, Arc<FuseMetrics>)>,
    /// By sink.
    pub sinks: Vec<(String, Arc<SinkMetrics>)>,
}

/// Counters of a source.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Bytes to read, as far as it is known, on the scale of `read_bytes`.
    pub total_bytes: AtomicU64,
    /// Bytes read.
    pub read_bytes: AtomicU64,
    /// Partitions found.
    pub partitions: AtomicU64,
}

/// Counters of a table. `lines = rows + deletions + dead letters`.
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
    /// What the table itself counts.
    pub table: Arc<TableCounters>,
}

/// Counters of a `fuse`.
#[derive(Debug, Default)]
pub struct FuseMetrics {
    /// Documents rejected: net of those that became acceptable again.
    pub rejected: AtomicU64,
}

/// Counters of a sink.
#[derive(Debug, Default)]
pub struct SinkMetrics {
    /// Rows written.
    pub upserts: AtomicU64,
    /// Rows deleted.
    pub deletes: AtomicU64,
    /// Bytes of documents, where the sink counts them.
    pub bytes: AtomicU64,
    /// All epochs below this one are durable; [`FINISHED`](crate::sink::shell::FINISHED) at the end.
    pub upper: AtomicU64,
}

/// The value of a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}
