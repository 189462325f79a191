//! What a run's threads share: requests to stop, failures, and how far the run is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use super::RunError;

/// Shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    stopped_at: Mutex<Option<Instant>>,
    stopped_by_peer: AtomicBool,
    abandoned: AtomicBool,
    unfinished: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<RunError>>,
    phase: AtomicU8,
    shown_at: AtomicU64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything that was present at the start goes into the tables.
    Reading,
    /// Operators run in bulk, and sinks write the whole content.
    Filling,
    /// Changes are written as they come.
    Following,
}

impl Control {
    /// Asks the run to stop: what is in the dataflow is written, nothing more is read.
    pub fn stop(&self) {
        self.stopped_at.lock().expect("a panic would have ended the process").get_or_insert_with(Instant::now);
        self.stop.store(true, SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// When a stop was asked for.
    pub fn stopped_at(&self) -> Option<Instant> {
        *self.stopped_at.lock().expect("a panic would have ended the process")
    }

    /// Another process of the run was asked to stop, and so all stop.
    pub(super) fn set_stopped_by_peer(&self) {
        self.stopped_by_peer.store(true, SeqCst);
    }

    /// Whether the run ends because a stop was asked for, as far as this process knows; the first one knows of all.
    pub fn was_stopped(&self) -> bool {
        self.is_stopping() || self.stopped_by_peer.load(SeqCst)
    }

    /// Ends the run without completing the open epoch.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
    }

    /// Says that the run was stopped before it had read what was present at its start.
    pub(super) fn set_unfinished(&self) {
        self.unfinished.store(true, SeqCst);
    }

    /// Whether the run was stopped before it had read what was present at its start, so that no table's sink was touched.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.load(SeqCst) || self.abandoned.load(SeqCst)
    }

    /// Ends the run with an error; the first one counts.
    pub fn fail(&self, error: RunError) {
        self.failure.lock().expect("a panic would have ended the process").get_or_insert(error);
        self.failed.store(true, SeqCst);
    }

    /// Whether the run must end at once.
    pub(super) fn must_end(&self) -> bool {
        self.failed.load(SeqCst) || self.abandoned.load(SeqCst)
    }

    /// The error that ended the run.
    pub(super) fn take_failure(&self) -> Option<RunError> {
        self.failure.lock().expect("a panic would have ended the process").take()
    }

    /// What was hidden is shown at this epoch.
    pub(super) fn set_filling(&self, epoch: u64) {
        self.shown_at.store(epoch, SeqCst);
        let _ = self.phase.compare_exchange(0, 1, SeqCst, SeqCst);
    }

    /// All sinks are past the epoch that fills them, or there is none.
    pub(super) fn set_following(&self) {
        self.phase.store(2, SeqCst);
    }

    /// The epoch that shows everything hidden, if it has come.
    pub(super) fn shown_at(&self) -> Option<u64> {
        Some(self.shown_at.load(SeqCst)).filter(|epoch| *epoch > 0)
    }

    /// How far the run is.
    pub fn phase(&self) -> Phase {
        [Phase::Reading, Phase::Filling, Phase::Following][usize::from(self.phase.load(SeqCst))]
    }
}
