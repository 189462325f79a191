//! How far a sink's store is: told by the writer's thread, read by the dataflow and by whoever records it.

use std::sync::{Mutex, MutexGuard};

/// The durable upper of a sink and the mark that belongs to it; one lock for both, so that they always fit.
#[derive(Debug, Default)]
pub struct SinkProgress(Mutex<Progress>);

/// As of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All epochs below are durable in the store. For a store that was opened again its own upper from the start.
    pub upper: u64,
    /// [`Writer::mark`](crate::sink::Writer::mark) at that upper.
    pub mark: Option<String>,
    /// The writer has finished and is gone: nothing will follow, and nobody holds the store any more.
    pub finished: bool,
}

impl SinkProgress {
    /// What is true now.
    pub fn now(&self) -> Progress {
        self.lock().clone()
    }

    /// What may be recorded of a sink whose acknowledgements had this frontier before the call: its upper, and its mark.
    ///
    /// The frontier may be ahead of the durable upper, by epochs in which nothing was to be written; or behind it, if more
    /// was written since. A mark that is newer than the upper recorded with it would make the next run write twice, an older
    /// one would lose rows. So: take the frontier first, then ask here.
    pub fn recordable(&self, frontier: u64) -> (u64, Option<String>) {
        let Progress { upper, mark, .. } = self.now();
        (upper.max(frontier), mark)
    }

    pub(super) fn publish(&self, upper: u64, mark: impl FnOnce() -> Option<String>) {
        let mut progress = self.lock();
        if progress.upper != upper || progress.mark.is_none() {
            progress.mark = mark();
            progress.upper = upper;
        }
    }

    pub(super) fn finish(&self) {
        self.lock().finished = true;
    }

    pub(super) fn upper(&self) -> u64 {
        self.lock().upper
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().expect("a panic would have ended the process")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_never_newer_than_the_upper_recorded_with_it() {
        let progress = SinkProgress::default();
        progress.publish(8, || Some("80".to_owned()));
        assert_eq!(progress.recordable(20), (20, Some("80".to_owned())), "nothing was written in 8..20");
        progress.publish(31, || Some("310".to_owned()));
        assert_eq!(progress.recordable(20), (31, Some("310".to_owned())), "30 was written since");
    }

    #[test]
    fn the_end_is_no_upper() {
        let progress = SinkProgress::default();
        progress.publish(8, || None);
        progress.finish();
        assert_eq!(progress.recordable(5), (8, None));
        assert!(progress.now().finished);
    }
}
