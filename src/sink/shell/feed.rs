//! What is on its way to the writer's thread: which changes go when, and what is not known to be durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::FINISHED;
use super::inbox::{Counted, Holds, Job, Jobs};
use super::progress::SinkProgress;
use crate::sink::finals::FinalSince;
use crate::sink::gauge::{Gauges, change_bytes};
use crate::sink::lag::{Lag, Owed, Verdict};
use crate::sink::metrics::SinkMetrics;
use crate::sink::{Change, Start, Sweep};

/// Changes that arrive one after the other are one job, up to so many: a thread that is woken for each buffer of the dataflow
/// does little else.
const JOB_CHANGES: usize = 1 << 11;

/// [`JOB_CHANGES`], but for tests in which small epochs must be several jobs.
fn job_changes() -> usize {
    fail::fail_point!("sink-jobs", |_| 1);
    JOB_CHANGES
}

/// A fill that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    None,
    At(u64),
    AtReveal,
}

pub(super) struct Feed {
    /// Changes of epochs whose turn has not come.
    waiting: BTreeMap<u64, Vec<(Vec<Change>, Holds)>>,
    /// Jobs that the inbox had no room for.
    outbox: VecDeque<Counted>,
    jobs: Jobs,
    /// Epochs that were closed and are not known to be durable.
    unacknowledged: VecDeque<u64>,
    /// The epoch that is being handed on and is not closed.
    begun: Option<u64>,
    fill: Fill,
    finals: FinalSince,
    /// The fill, once it is on its way.
    filling: Option<u64>,
    finishing: bool,
    /// Of sinks that may be given up.
    lag: Option<Lag>,
    gauges: Gauges,
    progress: Arc<SinkProgress>,
    metrics: Arc<SinkMetrics>,
}

impl Feed {
    pub(super) fn new(
        start: Start,
        finals: FinalSince,
        jobs: Jobs,
        lag: Option<Lag>,
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
            begun: None,
            fill,
            finals,
            filling: None,
            finishing: false,
            lag,
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

    pub(super) fn take(&mut self, epoch: u64, mut changes: Vec<Change>) {
        let bytes = changes.iter().map(change_bytes).sum();
        let held = [&self.gauges.waiting, &self.gauges.writing].map(|gauge| gauge.hold(bytes));
        let waiting = self.waiting.entry(epoch).or_default();
        match waiting.last_mut().filter(|(last, _)| last.len() + changes.len() <= job_changes()) {
            Some((last, holds)) => {
                last.append(&mut changes);
                holds.iter_mut().zip(held).for_each(|(hold, more)| hold.join(more));
            }
            None => waiting.push((changes, held)),
        }
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
                self.outbox.push_back((Job::Write(epoch, changes), Some(held)));
                self.begun = Some(epoch);
            }
            if !complete(epoch) {
                break;
            }
            entry.remove();
            let sweep = self.sweep(epoch);
            self.outbox.push_back((Job::Close(epoch, sweep), None));
            self.unacknowledged.push_back(epoch);
            self.begun = None;
        }
        if frontier.is_none() && !self.finishing {
            self.finishing = true;
            self.outbox.push_back((Job::Finish, None));
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
                self.filling = Some(epoch);
                // What is final is not in the state, and must not go.
                if self.finals.is_before(epoch) { Sweep::Keep } else { Sweep::Older }
            }
            Fill::None => Sweep::Keep,
            Fill::AtReveal => unreachable!("the frontier stays below until the reveal has come, or will not come"),
        }
    }

    /// Whether the sink keeps up, as of the last [`Feed::advance`].
    pub(super) fn lag(&mut self, now: Instant) -> Verdict {
        let written = || self.metrics.upserts.load(Relaxed) + self.metrics.deletes.load(Relaxed);
        // Of an epoch that is not closed the sink owes what it was given, and not what operators have still to put out.
        let begun = || self.begun.filter(|_| !self.outbox.is_empty() || self.jobs.is_busy());
        let owed = self.unacknowledged.front().copied().or_else(begun).map(|epoch| {
            let is_fill = self.filling == Some(epoch) || self.fill == Fill::At(epoch);
            Owed { epoch, written: if is_fill { written() } else { 0 } }
        });
        self.lag.as_mut().map_or(Verdict::UpToDate, |lag| lag.look(owed, now))
    }

    fn send(&mut self) {
        while let Some(job) = self.outbox.pop_front() {
            if let Err(job) = self.jobs.send(job) {
                return self.outbox.push_front(job);
            }
        }
    }
}
