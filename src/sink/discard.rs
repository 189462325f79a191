//! Counts documents and bytes, and keeps nothing: what a run costs without a store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::metrics::SinkMetrics;
use super::{Change, SinkError, Sweep, Writer};

/// Renders documents, if asked to, and forgets them.
pub struct Discard {
    render: bool,
    buffer: Vec<u8>,
    upper: u64,
    metrics: Arc<SinkMetrics>,
}

impl Discard {
    /// Counts into `metrics`; renders every document if `render`.
    pub fn new(render: bool, metrics: Arc<SinkMetrics>) -> Self {
        Discard { render, buffer: Vec::new(), upper: 0, metrics }
    }
}

impl Writer for Discard {
    fn write(&mut self, _epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        let mut bytes = 0;
        for change in changes.drain(..) {
            if let (Change::Upsert(row), true) = (&change, self.render) {
                self.buffer.clear();
                row.write_document(&mut self.buffer);
                bytes += std::hint::black_box(&self.buffer).len() as u64;
            }
        }
        self.metrics.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn close(&mut self, epoch: u64, _sweep: Sweep) -> Result<(), SinkError> {
        self.upper = epoch + 1;
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }
}
