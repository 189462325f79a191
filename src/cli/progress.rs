//! The progress bar of a run, on a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::runtime::metrics::{Metrics, read};
use crate::runtime::{Control, Phase};

const TICK: Duration = Duration::from_millis(100);

/// A thread that draws how far the run is; none if standard error is no terminal.
pub struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts drawing.
    pub fn start(control: &Arc<Control>, metrics: &Arc<Metrics>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let drawing = Drawing { control: control.clone(), metrics: metrics.clone(), stop: stop.clone() };
        let draw = std::io::stderr().is_terminal().then(|| std::thread::spawn(move || drawing.run()));
        Progress { stop, thread: draw }
    }

    /// Stops drawing and clears the line.
    pub fn finish(self) {
        self.stop.store(true, Relaxed);
        // A panic of the thread has ended the process already.
        let _ = self.thread.map(JoinHandle::join);
    }
}

struct Drawing {
    control: Arc<Control>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

impl Drawing {
    fn run(&self) {
        let style = |template: &str| ProgressStyle::with_template(template).expect("a literal template");
        let bar = ProgressBar::no_length();
        let reading = style("reading {bar:32} {percent:>3}%  {bytes}/{total_bytes}  {msg}  {eta} left");
        let writing = style("{spinner} writing  {msg}");
        bar.set_style(reading);
        let mut last = Phase::Reading;
        let started = std::time::Instant::now();
        while !self.stop.load(Relaxed) {
            let phase = self.control.phase();
            if phase != last {
                bar.set_style(writing.clone());
                last = phase;
            }
            if phase == Phase::Reading {
                let sum = |f: fn(&crate::runtime::metrics::SourceMetrics) -> u64| -> u64 {
                    self.metrics.sources.iter().map(|(_, m)| f(m)).sum()
                };
                // Nothing of nothing would be all of it.
                bar.set_length(sum(|m| read(&m.total_bytes)).max(1));
                bar.set_position(sum(|m| read(&m.read_bytes)));
                let records: u64 = self.metrics.tables.iter().map(|(_, m)| read(&m.records)).sum();
                let rate = records as f64 / started.elapsed().as_secs_f64().max(0.001);
                bar.set_message(format!("{} records, {}/s", HumanCount(records), HumanCount(rate as u64)));
            } else {
                let rows = |m: &crate::runtime::metrics::SinkMetrics| HumanCount(read(&m.upserts) + read(&m.deletes));
                let state = |m: &crate::runtime::metrics::SinkMetrics| match m.detached.load(Relaxed) {
                    true => "detached".to_owned(),
                    false => format!("{} rows", rows(m)),
                };
                let sinks = self.metrics.sinks.iter().map(|(name, m)| format!("{name}: {}", state(m)));
                bar.set_message(sinks.collect::<Vec<_>>().join("  "));
                bar.tick();
            }
            std::thread::sleep(TICK);
        }
        bar.finish_and_clear();
    }
}
