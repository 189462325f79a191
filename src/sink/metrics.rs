//! What sinks count. Updated in batches, never a row at a time.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// Counters of a sink.
#[derive(Debug, Default)]
pub struct SinkMetrics {
    /// Rows written.
    pub upserts: AtomicU64,
    /// Rows deleted.
    pub deletes: AtomicU64,
    /// Bytes of documents, where the sink counts them.
    pub bytes: AtomicU64,
    /// All epochs below this one are durable; [`FINISHED`](super::shell::FINISHED) at the end.
    pub upper: AtomicU64,
    /// The run has given the sink up: it writes nothing to it any more.
    pub detached: AtomicBool,
}
