//! What is on its way to the writer's thread: which changes go when, and what is not known to be durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};

use super::FINISHED;
use super::progress::SinkProgress;
use super::thread::Job;
use crate::sink::gauge::{Gauges, Held, row_bytes};
use crate::sink::metrics::SinkMetrics;
use crate::sink::{Change, Start, Sweep};

/// A fill that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    None,
    At(u64),
    AtReveal,
}

pub(super) struct Feed {
    /// Changes of epochs whose turn has not come.
    waiting: BTreeMap<u64, Vec<(Vec<Change>, [Held; 2])>>,
    /// Jobs that the channel had no room for.
    outbox: VecDeque<Job>,
    jobs: SyncSender<Job>,
    /// Epochs that were closed and are not known to be durable.
    unacknowledged: VecDeque<u64>,
    fill: Fill,
    finishing: bool,
    gauges: Gauges,
    progress: Arc<SinkProgress>,
    metrics: Arc<SinkMetrics>,
}

impl Feed {
    pub(super) fn new(
        start: Start,
        jobs: SyncSender<Job>,
        gauges: Gauges,
        progress: Arc<SinkProgress>,
        metrics: Arc<SinkMetrics>,
    ) -> Self {
        let fill = match start {
            Start::Fill { at } => Fill::At(at),
            Start::FillAtReveal => Fill::AtReveal,
            Start::Resume { .. } | Start::Stream { .. } => Fill::None,
        };
        Feed {
            waiting: BTreeMap::new(),
            outbox: VecDeque::new(),
            jobs,
            unacknowledged: VecDeque::new(),
            fill,
            finishing: false,
            gauges,
            progress,
            metrics,
        }
    }

    pub(super) fn awaits_reveal(&self) -> bool {
        self.fill == Fill::AtReveal
    }

    /// The fill is at this epoch.
    pub(super) fn reveal(&mut self, at: u64) {
        assert!(self.awaits_reveal(), "there is one reveal, and only who awaits it is told");
        self.fill = Fill::At(at);
    }

    /// There will be no reveal; nothing is written.
    pub(super) fn forget(&mut self) {
        self.fill = Fill::None;
        assert!(self.waiting.is_empty(), "the gate lets nothing pass before the reveal");
    }

    pub(super) fn take(&mut self, epoch: u64, changes: Vec<Change>) {
        let bytes = changes.iter().map(|change| row_bytes(change.row())).sum();
        let held = [&self.gauges.waiting, &self.gauges.writing].map(|gauge| gauge.hold(bytes));
        self.waiting.entry(epoch).or_default().push((changes, held));
    }

    /// Hands on what may go; returns the sink's upper. No epoch before `frontier` will change any more.
    pub(super) fn advance(&mut self, frontier: Option<u64>) -> u64 {
        let complete = |epoch: u64| frontier.is_none_or(|frontier| epoch < frontier);
        if let Fill::At(at) = self.fill
            && complete(at)
        {
            // An empty fill sweeps too.
            self.waiting.entry(at).or_default();
        }
        while let Some(mut entry) = self.waiting.first_entry() {
            let epoch = *entry.key();
            // The least epoch may be written before it is complete, if nothing can come before it; later ones wait.
            if !complete(epoch) && frontier != Some(epoch) {
                break;
            }
            for (changes, held) in std::mem::take(entry.get_mut()) {
                self.outbox.push_back(Job::Write(epoch, changes, held));
            }
            if !complete(epoch) {
                break;
            }
            entry.remove();
            let sweep = self.sweep(epoch);
            self.outbox.push_back(Job::Close(epoch, sweep));
            self.unacknowledged.push_back(epoch);
        }
        if frontier.is_none() && !self.finishing {
            self.finishing = true;
            self.outbox.push_back(Job::Finish);
        }
        self.send();
        if self.progress.is_finished() {
            self.metrics.upper.store(FINISHED, Relaxed);
            return FINISHED;
        }
        let durable_upper = self.progress.upper();
        while self.unacknowledged.pop_front_if(|epoch| *epoch < durable_upper).is_some() {}
        self.metrics.upper.store(durable_upper, Relaxed);
        // Without a frontier the run is at its end, and its upper is told by the writer when that has finished.
        self.unacknowledged.front().copied().or(frontier).unwrap_or(durable_upper)
    }

    /// How the epoch is closed; the fill only once.
    fn sweep(&mut self, epoch: u64) -> Sweep {
        match self.fill {
            Fill::At(at) => {
                assert_eq!(epoch, at, "the fill comes before all other epochs");
                self.fill = Fill::None;
                Sweep::Older
            }
            Fill::None => Sweep::Keep,
            Fill::AtReveal => unreachable!("the frontier stays below until the reveal has come, or will not come"),
        }
    }

    fn send(&mut self) {
        while let Some(job) = self.outbox.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => (),
                Err(TrySendError::Full(job)) => {
                    self.outbox.push_front(job);
                    return;
                }
                // The thread has failed and said so; the run is about to end.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}
