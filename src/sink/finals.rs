//! Since when a sink holds rows that the state has no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The first epoch at which rows of a collection became final, if there is one: they left the state, and stay in the sinks.
#[derive(Clone, Debug)]
pub struct FinalSince(Arc<AtomicU64>);

impl Default for FinalSince {
    fn default() -> Self {
        FinalSince(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl FinalSince {
    /// Some are since this epoch. To be told before the run's first fill is complete.
    pub fn set(&self, epoch: u64) {
        self.0.store(epoch, Relaxed);
    }

    /// Whether some were at an epoch before this one: a fill at it has not all rows that the store should hold.
    pub fn is_before(&self, epoch: u64) -> bool {
        self.0.load(Relaxed) < epoch
    }
}
