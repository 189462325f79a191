//! How far event time is. No dataflow.

use std::hash::Hash;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// How far event time is, for a journal: what it says of a partition, or of the watermark, only grows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress<P> {
    /// The greatest time of a partition's events.
    Partition(P, i64),
    /// The watermark, and the first epoch that had one.
    Watermark {
        /// Its time.
        time: i64,
        /// The epoch.
        since: u64,
    },
}

/// The watermark: the least of the times that partitions have reached, of those that something comes from. It never goes back.
#[derive(Debug)]
pub(super) struct Watermark<P> {
    /// A partition that nothing came from for so many epochs is idle, and is not waited for.
    idle: u64,
    /// Nothing could come before it.
    first_epoch: u64,
    /// The greatest time, and the last epoch that something came in.
    partitions: HashMap<P, (i64, u64)>,
    now: Option<(i64, u64)>,
}

impl<P: Hash + Eq> Watermark<P> {
    pub(super) fn new(idle: u64, first_epoch: u64) -> Self {
        Watermark { idle, first_epoch, partitions: HashMap::new(), now: None }
    }

    /// Takes in what a journal has, in any order.
    pub(super) fn restore(&mut self, progress: Progress<P>) {
        match progress {
            Progress::Partition(partition, time) => drop(self.reach(0, partition, time)),
            Progress::Watermark { time, since } => {
                let (now, first) = self.now.unwrap_or((time, since));
                self.now = Some((now.max(time), first.min(since)));
            }
        }
    }

    /// Something has come from a partition; says whether its time is a new one.
    pub(super) fn reach(&mut self, epoch: u64, partition: P, time: i64) -> bool {
        let mut is_new = false;
        let (reached, last) = self.partitions.entry(partition).or_insert_with(|| {
            is_new = true;
            (time, epoch)
        });
        is_new |= time > *reached;
        (*reached, *last) = (time.max(*reached), epoch.max(*last));
        is_new
    }

    /// An epoch is over: moves the watermark, and says whether it has moved.
    pub(super) fn advance(&mut self, epoch: u64) -> bool {
        let is_idle = |last: u64| epoch.saturating_sub(last.max(self.first_epoch)) > self.idle;
        let counting = self.partitions.values().filter(|(_, last)| !is_idle(*last));
        let Some(least) = counting.map(|(time, _)| *time).min() else { return false };
        let before = self.now;
        let (now, since) = before.unwrap_or((least, epoch));
        self.now = Some((now.max(least), since));
        self.now != before
    }

    /// The watermark, and the first epoch that had one.
    pub(super) fn now(&self) -> Option<(i64, u64)> {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_last_partition_that_is_not_idle_and_never_goes_back() {
        let mut watermark = Watermark::new(10, 100);
        assert!(!watermark.advance(100) && watermark.now().is_none());
        assert!(watermark.reach(101, 'a', 50) && watermark.reach(101, 'b', 20));
        assert!(watermark.advance(101));
        assert_eq!(watermark.now(), Some((20, 101)));
        assert!(watermark.reach(105, 'a', 70) && !watermark.reach(105, 'a', 60));
        assert!(!watermark.advance(111), "b is waited for");
        assert!(watermark.advance(112), "b is idle");
        assert_eq!(watermark.now(), Some((70, 101)));
        assert!(watermark.reach(113, 'b', 30));
        assert!(!watermark.advance(113));
    }

    #[test]
    fn what_is_restored_counts_as_if_it_had_come_when_the_run_began() {
        let mut watermark = Watermark::new(10, 100);
        watermark.restore(Progress::Partition('b', 20));
        watermark.restore(Progress::Watermark { time: 20, since: 7 });
        watermark.restore(Progress::Watermark { time: 15, since: 7 });
        watermark.reach(105, 'a', 90);
        assert!(!watermark.advance(110));
        assert_eq!(watermark.now(), Some((20, 7)));
        assert!(watermark.advance(111));
        assert_eq!(watermark.now(), Some((90, 7)));
    }
}
