//! A step of a case: one run, disturbed or not, while its input grows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::case::Case;
use crate::failpoints::armed;
use crate::input::Feed;
use crate::process::{Ended, Group, Start};
use crate::upset::Happened;
use crate::watch::Watch;

/// How a run ends.
#[derive(Clone, Debug)]
pub enum End {
    /// By itself, at the end of its input.
    Complete,
    /// By `SIGTERM`.
    Stop,
    /// By `kill -9`.
    Kill,
    /// By a panic at the `count`-th hit of a failpoint; if it is not hit, by `SIGTERM`.
    Failpoint { name: String, count: u32 },
}

/// What is counted over all cases.
#[derive(Default)]
pub struct Tally {
    pub runs: usize,
    pub kills: usize,
    pub stops: usize,
    pub complete: usize,
    pub clusters: usize,
    /// How often each failpoint was asked for, and was hit.
    pub failpoints: BTreeMap<String, (usize, usize)>,
    /// How often a reader looked at a store whose states were known, and how many states it saw.
    pub looks: usize,
    pub states: usize,
    /// Records that the source had lost when the next run started.
    pub compacted: usize,
    /// How often a sink was reset or the state lost between runs.
    pub accidents: usize,
}

impl Tally {
    /// Counts a run that was upset.
    pub fn upset(&mut self, happened: Happened) {
        let Happened { is_cluster, was_killed, failpoint } = happened;
        self.runs += 1;
        self.clusters += usize::from(is_cluster);
        self.kills += usize::from(was_killed);
        failpoint.into_iter().for_each(|(name, hit)| self.failpoint(name, hit));
    }

    /// Counts a failpoint that was asked for.
    pub fn failpoint(&mut self, name: String, hit: bool) {
        let counts = self.failpoints.entry(name).or_default();
        *counts = (counts.0 + 1, counts.1 + usize::from(hit));
    }
}

/// One run.
#[derive(Debug)]
pub struct Step {
    number: usize,
    /// `run`, of a source that follows its files: they grow meanwhile, and nothing ends by itself.
    following: bool,
    backfill: bool,
    processes: usize,
    workers: usize,
    end: End,
    /// When it is disturbed, if nothing has ended it before.
    after: Duration,
    /// The process that is.
    victim: usize,
    /// Lines that come before it and, if it follows, during it.
    lines: (usize, usize),
}

impl Step {
    pub fn new(rng: &mut ChaCha8Rng, case: &Case, number: usize, failpoints: &[String]) -> Self {
        let backfill = rng.random_bool(0.4);
        let following = case.follow && !backfill;
        let processes = if rng.random_bool(0.15) { 2 } else { 1 };
        let end = match rng.random_range(0..10) {
            0 if !following => End::Complete,
            0..2 => End::Stop,
            2..5 => End::Kill,
            _ if failpoints.is_empty() => End::Kill,
            _ => {
                let name = failpoints.choose(rng).expect("it is not empty").clone();
                let count = *[0, 0, 0, 1, 2, 5, 12, 30].choose(rng).expect("it is not empty");
                // Such moments are rare: a run seldom has a second one.
                let is_rare = ["merge", "part", "hydrate", "sink-sweep"].iter().any(|rare| name.starts_with(rare));
                End::Failpoint { name, count: if is_rare { count.min(1) } else { count } }
            }
        };
        // Processes look for each other once a second.
        let meeting_ms = if processes > 1 { rng.random_range(0..2500) } else { 0 };
        let share = case.input.lines.len() / case.steps;
        let after_ms = match end {
            // Signals are not listened to before.
            End::Stop => rng.random_range(200..if following { 1500 } else { 600 }),
            // A run that dies before it has begun is as good as any other, but seldom.
            End::Kill if !rng.random_bool(0.1) => rng.random_range(60..if following { 1500 } else { 600 }),
            End::Kill => rng.random_range(0..60),
            End::Complete | End::Failpoint { .. } => rng.random_range(500..1000),
        };
        let mut lines = (rng.random_range(0..=share), rng.random_range(0..=share));
        if number == 0 && rng.random_bool(0.5) {
            lines.0 = share * 2;
        }
        Step {
            number,
            following,
            backfill,
            processes,
            workers: if processes == 1 { rng.random_range(1..=3) } else { 1 },
            end,
            after: Duration::from_millis(after_ms + meeting_ms),
            victim: rng.random_range(0..processes),
            lines,
        }
    }

    /// Runs it. Panics if it does not end as it must, or if a reader sees what may not be.
    pub fn run(&self, dir: &Path, feed: &mut Feed<'_>, watch: &mut Watch, rng: &mut ChaCha8Rng, tally: &mut Tally) {
        let mut log = OpenOptions::new().append(true).create(true).open(dir.join("steps.log")).expect("a file");
        writeln!(log, "{self:?}, {} lines left", feed.left()).expect("a line of the log");
        feed.lines(self.lines.0);
        if !self.following {
            // It would take a part of a line for a line.
            feed.complete();
        }
        let failpoints = match &self.end {
            End::Failpoint { name, count } => Some((armed(name, *count), self.victim)),
            _ => None,
        };
        let command = if self.backfill { "backfill" } else { "run" };
        let start = Start { dir, command, processes: self.processes, workers: self.workers, failpoints };
        let end = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch.look_until(dir, &end));
            let ended = {
                let _end = AtEnd(&end);
                let mut group = start.spawn();
                self.disturb(&mut group, feed, rng);
                group.wait()
            };
            watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended
        });
        let status: Vec<_> = ended.iter().map(|ended| ended.status).collect();
        writeln!(log, "  ended with {status:?}").expect("a line of the log");
        tally.runs += 1;
        tally.clusters += usize::from(self.processes > 1);
        self.judge(&ended, tally);
    }

    /// Lets the input grow until the run is to end, and ends it.
    fn disturb(&self, group: &mut Group, feed: &mut Feed<'_>, rng: &mut ChaCha8Rng) {
        let start = Instant::now();
        let mut lines = if self.following { self.lines.1 } else { 0 };
        while start.elapsed() < self.after && group.is_running() {
            if lines > 0 {
                let burst = rng.random_range(1..=lines.min(20));
                feed.lines(burst);
                lines -= burst;
                if rng.random_bool(0.3) {
                    feed.part(rng.random_range(0.0..1.0));
                }
            }
            std::thread::sleep(Duration::from_millis(rng.random_range(1..12)));
        }
        match &self.end {
            End::Kill => {
                group.kill(self.victim);
                group.wait_for(Duration::from_millis(20));
            }
            End::Stop => group.stop(),
            // What it waits for may come late, and a source that follows never ends.
            End::Failpoint { .. } if self.following => group.stop(),
            End::Complete | End::Failpoint { .. } => (),
        }
        group.end_those_without_peers();
    }

    /// Panics if a process ended in another way than it may.
    fn judge(&self, ended: &[Ended], tally: &mut Tally) {
        let victim = &ended[self.victim];
        let crashed = match &self.end {
            End::Kill => victim.killed(),
            End::Failpoint { name, .. } => {
                let hit = victim.failpoint(name);
                tally.failpoint(name.clone(), hit);
                hit
            }
            End::Complete | End::Stop => false,
        };
        match self.end {
            End::Kill => tally.kills += usize::from(crashed),
            End::Stop => tally.stops += 1,
            _ => tally.complete += usize::from(!crashed),
        }
        for (process, ended) in ended.iter().enumerate() {
            let expected = match process == self.victim {
                true => crashed || ended.status.code() == Some(0),
                // Its peer is gone.
                false => {
                    ended.status.code() == Some(0) || crashed && (ended.status.code() == Some(1) || ended.killed())
                }
            };
            let mut what = String::new();
            let _ = write!(what, "step {}, process {process}: {:?}, {}", self.number, ended.status, ended.stderr);
            assert!(expected, "{what}\n{self:?}");
            // A failpoint may be hit while the process ends well.
            let meant = ended.stderr.contains("failpoint") || crashed && process == self.victim;
            let panicked = ended.stderr.contains("panicked") && !meant;
            assert!(!panicked, "{what}\n{self:?}");
        }
    }
}

/// Tells the watcher to end, also when this thread panics.
pub struct AtEnd<'a>(pub &'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
