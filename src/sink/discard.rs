//! Counts documents and bytes, and keeps nothing: what a run costs without a store.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::metrics::SinkMetrics;
use super::{Change, SinkError, Sweep, Writer};
use crate::pipeline::DiscardSink;
use crate::record::Renderer;

/// Renders documents, if asked to, and forgets them.
pub struct Discard {
    spec: DiscardSink,
    renderer: Renderer,
    buffer: Vec<u8>,
    upper: u64,
    /// When a store of the wanted rate would have written everything.
    written_at: Instant,
    metrics: Arc<SinkMetrics>,
}

impl Discard {
    /// Counts into `metrics`.
    pub fn new(spec: DiscardSink, metrics: Arc<SinkMetrics>) -> Self {
        Discard {
            spec,
            renderer: Renderer::default(),
            buffer: Vec::new(),
            upper: 0,
            written_at: Instant::now(),
            metrics,
        }
    }

    /// Takes the time that a store of the wanted rate would take.
    fn pause(&mut self, bytes: u64) {
        let Some(rate) = &self.spec.rate else { return };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.0.max(1) as f64);
        let now = Instant::now();
        self.written_at = self.written_at.max(now) + takes;
        std::thread::sleep(self.written_at - now);
    }
}

impl Writer for Discard {
    fn write(&mut self, _epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        let mut bytes = 0;
        for change in changes.drain(..) {
            if let (Some(row), true) = (change.after(), self.spec.render) {
                self.buffer.clear();
                self.renderer.document(row, &mut self.buffer);
                bytes += std::hint::black_box(&self.buffer).len() as u64;
            }
        }
        self.metrics.bytes.fetch_add(bytes, Relaxed);
        self.pause(bytes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::units::ByteSize;
    use crate::sink::testing::upsert;

    #[test]
    fn it_takes_the_time_of_a_store_of_the_wanted_rate() {
        let metrics = Arc::new(SinkMetrics::default());
        let spec = DiscardSink { render: true, rate: Some(ByteSize(10_000)) };
        let mut discard = Discard::new(spec, metrics.clone());
        let start = Instant::now();
        for epoch in 0..4 {
            discard.write(epoch, &mut vec![upsert("a", &"x".repeat(250))]).unwrap();
            discard.close(epoch, Sweep::Keep).unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
        assert_eq!((metrics.bytes.load(Relaxed), discard.durable_upper()), (1_000, 4));
    }
}
