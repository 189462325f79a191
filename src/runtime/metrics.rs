//! What a run counts, for progress bars, summaries and metrics. Updated in batches, never a record at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use crate::sink::metrics::SinkMetrics;
pub use crate::source::metrics::{SourceMetrics, TableMetrics};

/// Counters of all nodes of a run.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By source.
    pub sources: Vec<(String, Arc<SourceMetrics>)>,
    /// By table: a keyed source or an `upsert`.
    pub tables: Vec<(String, Arc<TableMetrics>)>,
    /// By operator that keeps nothing in the journal: all but `upsert`.
    pub operators: Vec<(String, Arc<OperatorMetrics>)>,
    /// By sink.
    pub sinks: Vec<(String, Arc<SinkMetrics>)>,
    /// What the process has in memory, in bytes, as of the last look.
    pub resident_bytes: AtomicU64,
    /// What waits at the sinks, in bytes of documents, as of the last look.
    pub waiting_bytes: AtomicU64,
}

/// Counters of an operator.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    /// Documents that came to be rejected, or rows that can not be used.
    pub rejected: AtomicU64,
}

/// The value of a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}
