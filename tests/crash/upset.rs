//! A run that is upset: it is killed, crashes at a failpoint, is stopped, or ends by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::failpoints::armed;
use crate::process::{Ended, Start};

/// How a run is started, and what upsets it.
pub struct Upset<'a> {
    step: usize,
    /// `run`, of a source that follows its files; otherwise `backfill`.
    follow: bool,
    processes: usize,
    workers: usize,
    /// The process that is killed, or crashes.
    victim: usize,
    /// The failpoint, and how often it is passed before.
    failpoint: Option<(&'a String, u32)>,
    after: Duration,
    stops: bool,
}

/// What has happened to a run.
pub struct Happened {
    pub is_cluster: bool,
    pub was_killed: bool,
    /// The failpoint that was asked for, and whether it was hit.
    pub failpoint: Option<(String, bool)>,
}

impl<'a> Upset<'a> {
    /// Draws what upsets a run before `most_ms`; `name` draws the failpoint.
    pub fn draw(
        step: usize,
        follow: bool,
        most_ms: u64,
        rng: &mut ChaCha8Rng,
        name: impl FnOnce(&mut ChaCha8Rng) -> Option<&'a String>,
    ) -> Self {
        let (processes, workers) = if rng.random_bool(0.15) { (2, 1) } else { (1, rng.random_range(1..=3)) };
        let victim = rng.random_range(0..processes);
        let name = name(rng);
        let count = *[0, 0, 1, 3, 8].choose(rng).expect("it is not empty");
        let failpoint = name.map(|name| (name, count));
        let meeting_ms = if processes > 1 { 1500 } else { 0 };
        let after = Duration::from_millis(rng.random_range(60..most_ms) + meeting_ms);
        let stops = name.is_some() || rng.random_bool(0.3);
        Upset { step, follow, processes, workers, victim, failpoint, after, stops }
    }

    /// Runs the pipeline in a directory; `meanwhile` is called again and again until it is over.
    pub fn run(&self, dir: &Path, mut meanwhile: impl FnMut()) -> Vec<Ended> {
        let Upset { processes, workers, victim, .. } = *self;
        let command = if self.follow { "run" } else { "backfill" };
        let failpoints = self.failpoint.map(|(name, count)| (armed(name, count), victim));
        let mut group = Start { dir, command, processes, workers, failpoints }.spawn();
        let start = Instant::now();
        while start.elapsed() < self.after && group.is_running() {
            meanwhile();
        }
        match (self.stops, self.follow) {
            (true, true) => group.stop(),
            (true, false) => (),
            (false, _) => group.kill(victim),
        }
        group.end_those_without_peers();
        group.wait()
    }

    /// What has happened. Panics if a process ended in another way than it may.
    pub fn judge(&self, ended: &[Ended]) -> Happened {
        let Upset { step, victim, .. } = *self;
        let hit = self.failpoint.is_some_and(|(name, _)| ended[victim].failpoint(name));
        let was_killed = ended[victim].killed();
        let crashed = hit || was_killed;
        for (process, ended) in ended.iter().enumerate() {
            let is_well = ended.status.code() == Some(0);
            let lost_its_peer = crashed && (ended.status.code() == Some(1) || ended.killed());
            let is_expected = is_well || if process == victim { crashed } else { lost_its_peer };
            assert!(is_expected, "step {step}, process {process}: {:?}, {}", ended.status, ended.stderr);
        }
        let failpoint = self.failpoint.map(|(name, _)| (name.clone(), hit));
        Happened { is_cluster: self.processes > 1, was_killed, failpoint }
    }
}

/// Runs what is left to its end, with so many workers, and without anybody who disturbs it.
pub fn undisturbed(dir: &Path, workers: usize) {
    for ended in (Start { dir, command: "backfill", processes: 1, workers, failpoints: None }).spawn().wait() {
        assert_eq!(ended.status.code(), Some(0), "a run that nobody disturbs: {}", ended.stderr);
    }
}
