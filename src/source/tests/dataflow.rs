//! The source operator in a dataflow of its own, driven by hand: epochs, bindings, pauses, reports.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::sink::Never;
use crate::source::catalog::Catalog;
use crate::source::feeder::{Batch, Share};
use crate::source::memory::MemoryInput;
use crate::source::messages::{Binding, Opening, Report};
use crate::source::metrics::SourceMetrics;
use crate::source::operator::{Lag, source};
use crate::source::{Bookmark, Limits, file};

/// No test takes longer, unless something hangs.
const LIMIT: Duration = Duration::from_secs(20);

type Seen<T> = Rc<RefCell<Vec<(u64, T)>>>;

/// One worker's source, and what came out of it.
struct Stage {
    openings: InputHandle<u64, CapacityContainerBuilder<Vec<Opening>>>,
    sealed: InputHandle<u64, CapacityContainerBuilder<Vec<Never>>>,
    written: InputHandle<u64, CapacityContainerBuilder<Vec<Never>>>,
    batches: Seen<Batch>,
    reports: Seen<Report>,
    bindings: Seen<Binding>,
    /// Of all three.
    done: ProbeHandle<u64>,
    catalog: Catalog,
    metrics: Arc<SourceMetrics>,
    named: u32,
}

struct Setup {
    catalog: Catalog,
    limits: Limits,
    bounded: bool,
    is_full: Rc<Cell<bool>>,
    stop: Arc<AtomicBool>,
}

impl Setup {
    fn of(catalog: Catalog) -> Self {
        let (is_full, stop) = (Rc::default(), Arc::default());
        Setup { catalog, limits: Limits::NONE, bounded: false, is_full, stop }
    }
}

impl Stage {
    fn build(worker: &mut Worker, setup: &Setup) -> Stage {
        let (openings, sealed, written) = (InputHandle::new(), InputHandle::new(), InputHandle::new());
        let named = setup.catalog.known();
        let mut stage = Stage {
            openings,
            sealed,
            written,
            batches: Seen::default(),
            reports: Seen::default(),
            bindings: Seen::default(),
            done: ProbeHandle::new(),
            catalog: setup.catalog.clone(),
            metrics: Arc::default(),
            named,
        };
        let (is_full, stop) = (setup.is_full.clone(), setup.stop.clone());
        let (index, peers) = (worker.index(), worker.peers());
        worker.dataflow::<u64, _, _>(|scope| {
            let openings = scope.input_from(&mut stage.openings).broadcast();
            let lag = Lag {
                sealed: scope.input_from(&mut stage.sealed),
                written: scope.input_from(&mut stage.written),
                limits: setup.limits,
                is_full: Rc::new(move || is_full.get()),
            };
            let share = Share {
                source: 0,
                catalog: setup.catalog.clone(),
                index,
                peers,
                bounded: setup.bounded,
                leader: index == 0,
                stop: Arc::new(move || stop.load(Relaxed)),
                metrics: stage.metrics.clone(),
            };
            let (batches, reports, bindings) = source(openings, lag, "test", share, |error| panic!("{error}"));
            let seen = stage.batches.clone();
            batches.keep(&seen).probe_with(&stage.done);
            let seen = stage.reports.clone();
            reports.keep(&seen).probe_with(&stage.done);
            let seen = stage.bindings.clone();
            bindings.keep(&seen).probe_with(&stage.done);
        });
        stage
    }

    /// Opens an epoch, as the clock does.
    fn open(&mut self, epoch: u64, hidden: bool) {
        let partitions = self.catalog.names_from(self.named);
        self.named += partitions.len() as u32;
        let partitions = partitions.into_iter().map(|(number, name)| (0, number, name)).collect();
        self.openings.advance_to(epoch);
        self.openings.send(Opening { hidden, tick: false, partitions });
        self.openings.flush();
    }

    /// Opens no more.
    fn close(&mut self) {
        std::mem::replace(&mut self.openings, InputHandle::new()).close();
    }

    /// Lets the worker go on until this holds.
    fn until(&self, worker: &mut Worker, holds: impl Fn(&Stage) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < LIMIT, "it hangs; {} batches so far", self.batches.borrow().len());
            worker.step_or_park(Some(LIMIT));
        }
    }

    /// Lets the worker go on for a while.
    fn wait(&self, worker: &mut Worker, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            worker.step_or_park(Some(Duration::from_millis(5)));
        }
    }

    fn records(&self) -> Vec<(u64, String)> {
        let text = |batch: &Batch| {
            let first = batch.raw.records.iter().map(|record| batch.raw.payload(record).unwrap());
            first
                .map(|payload| String::from_utf8_lossy(&payload[..payload.len().min(8)]).into_owned())
                .collect::<Vec<_>>()
        };
        self.batches
            .borrow()
            .iter()
            .flat_map(|(time, batch)| text(batch).into_iter().map(|text| (*time, text)))
            .collect()
    }

    fn bound(&self) -> Vec<(u64, u32, u64)> {
        let mut bound: Vec<_> = self.bindings.borrow().iter().map(|(t, b)| (*t, b.partition, b.upper)).collect();
        bound.sort_unstable();
        bound
    }

    fn reported(&self, report: Report) -> bool {
        self.reports.borrow().iter().any(|(_, seen)| *seen == report)
    }
}

/// Keeps what flows by, with its time.
trait Keep<T> {
    fn keep(self, seen: &Seen<T>) -> Self;
}

impl<'scope, T: Clone + 'static> Keep<T> for timely::dataflow::StreamVec<'scope, u64, T> {
    fn keep(self, seen: &Seen<T>) -> Self {
        let seen = seen.clone();
        self.inspect_batch(move |time, items| seen.borrow_mut().extend(items.iter().map(|item| (*time, item.clone()))))
    }
}

fn memory(input: &MemoryInput, known: Vec<(String, Bookmark)>) -> Catalog {
    Catalog::open(input.source(), known, false).unwrap()
}

/// A test on one worker, in a time limit.
fn alone(test: impl FnOnce(&mut Worker) + Send + Sync + 'static) {
    timely::execute_directly(test);
}

#[test]
fn each_epoch_binds_what_moved_in_it_when_it_closes() {
    alone(|worker| {
        let input = MemoryInput::new(2);
        input.push(0, "a");
        input.push(1, "b");
        let mut stage = Stage::build(worker, &Setup::of(memory(&input, Vec::new())));
        stage.open(10, false);
        stage.until(worker, |s| s.reported(Report::CaughtUp));
        assert_eq!(stage.records().len(), 2);
        assert_eq!(stage.bound(), [], "the epoch is open");
        assert!(stage.done.less_equal(&10));

        stage.open(20, false);
        stage.until(worker, |s| !s.done.less_equal(&19));
        assert_eq!(stage.bound(), [(10, 0, 1), (10, 1, 1)]);
        stage.open(30, false);
        stage.until(worker, |s| !s.done.less_equal(&29));
        input.push(1, "c");
        stage.until(worker, |s| s.records().len() == 3);
        assert_eq!(stage.records()[2], (30, "c".to_owned()));
        stage.open(40, false);
        stage.until(worker, |s| !s.done.less_equal(&39));
        assert_eq!(stage.bound()[2..], [(30, 1, 2)], "nothing moved in epoch 20");

        input.push(0, "d");
        stage.until(worker, |s| s.records().len() == 4);
        stage.close();
        stage.until(worker, |s| s.done.done());
        assert_eq!(stage.bound()[3..], [(40, 0, 2)]);
    });
}

#[test]
fn known_partitions_go_on_and_the_end_comes_after_everything() {
    alone(|worker| {
        let input = MemoryInput::new(2);
        (0..3).for_each(|n| input.push(0, format!("a{n}")));
        input.push(1, "b0");
        input.close();
        let known = vec![("0".to_owned(), Bookmark { offset: 2, mark: String::new() })];
        let mut stage = Stage::build(worker, &Setup::of(memory(&input, known)));
        stage.open(10, true);
        stage.until(worker, |s| s.reported(Report::Ended));
        let mut records = stage.records();
        records.sort();
        assert_eq!(records, [(10, "a2".to_owned()), (10, "b0".to_owned())]);
        assert_eq!(*stage.reports.borrow(), [(10, Report::CaughtUp), (10, Report::Ended)]);
        assert_eq!(stage.bound(), []);
        stage.close();
        stage.until(worker, |s| s.done.done());
        assert_eq!(stage.bound(), [(10, 0, 3), (10, 1, 1)]);
    });
}

/// Records so large that each is a batch of its own.
const LARGE_BYTES: usize = 300_000;

fn large(records: usize) -> MemoryInput {
    let input = MemoryInput::new(1);
    (0..records).for_each(|n| input.push(0, format!("{n:08}{}", "x".repeat(LARGE_BYTES - 8))));
    input.close();
    input
}

#[test]
fn a_source_pauses_at_its_limit_asks_for_the_epochs_end_and_loses_nothing() {
    for unsealed in [true, false] {
        alone(move |worker| {
            let mut setup = Setup::of(memory(&large(40), Vec::new()));
            let (limit, none) = (4 * LARGE_BYTES as u64, u64::MAX);
            let (unsealed_bytes, unwritten_bytes) = if unsealed { (limit, none) } else { (none, limit) };
            setup.limits = Limits { unsealed_bytes, unwritten_bytes };
            let mut stage = Stage::build(worker, &setup);
            let mut epoch = 10;
            stage.open(epoch, false);
            let mut most = 0;
            while !stage.reported(Report::Ended) {
                let before = stage.records().len();
                let asked = |s: &Stage| s.reports.borrow().contains(&(epoch, Report::Full));
                stage.until(worker, |s| asked(s) || s.reported(Report::Ended));
                stage.wait(worker, Duration::from_millis(20));
                most = most.max(stage.records().len() - before);
                // The wrong frontier does not help.
                epoch += 10;
                stage.open(epoch, false);
                let other = if unsealed { &mut stage.written } else { &mut stage.sealed };
                other.advance_to(epoch);
                stage.until(worker, |s| !s.done.less_equal(&(epoch - 1)));
                stage.wait(worker, Duration::from_millis(20));
                let held = stage.records().len() - before;
                assert!(held <= 4 || stage.reported(Report::Ended), "{held}");
                let right = if unsealed { &mut stage.sealed } else { &mut stage.written };
                right.advance_to(epoch);
            }
            stage.close();
            stage.until(worker, |s| s.done.done());
            assert_eq!(most, 4, "it goes on to the limit, and not beyond");
            let texts: Vec<_> = stage.records().into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, (0..40).map(|n| format!("{n:08}")).collect::<Vec<_>>());
            assert_eq!(stage.bound().last().map(|(_, _, upper)| *upper), Some(40));
            assert!(stage.metrics.paused_ns.load(Relaxed) > 100_000_000);
        });
    }
}

#[test]
fn hidden_epochs_do_not_wait_for_the_sinks() {
    alone(|worker| {
        let mut setup = Setup::of(memory(&large(10), Vec::new()));
        setup.limits = Limits { unwritten_bytes: LARGE_BYTES as u64, ..Limits::NONE };
        let mut stage = Stage::build(worker, &setup);
        stage.open(10, true);
        stage.until(worker, |s| s.reported(Report::Ended));
        assert_eq!(stage.records().len(), 10);
    });
}

#[test]
fn a_full_gauge_pauses_and_is_looked_at_again_without_any_other_event() {
    alone(|worker| {
        let setup = Setup::of(memory(&large(5), Vec::new()));
        setup.is_full.set(true);
        let mut stage = Stage::build(worker, &setup);
        stage.open(10, false);
        stage.wait(worker, Duration::from_millis(100));
        assert_eq!(stage.records(), []);
        setup.is_full.set(false);
        let start = Instant::now();
        stage.until(worker, |s| s.reported(Report::Ended));
        assert_eq!(stage.records().len(), 5);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    });
}

#[test]
fn a_request_to_stop_is_reported_once_without_any_other_event() {
    alone(|worker| {
        let input = MemoryInput::new(1);
        let setup = Setup::of(memory(&input, Vec::new()));
        let mut stage = Stage::build(worker, &setup);
        stage.open(10, false);
        stage.until(worker, |s| s.reported(Report::CaughtUp));
        stage.wait(worker, Duration::from_millis(100));
        assert!(!stage.reported(Report::Stop));
        setup.stop.store(true, Relaxed);
        let start = Instant::now();
        stage.until(worker, |s| s.reported(Report::Stop));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        stage.open(20, false);
        stage.wait(worker, Duration::from_millis(150));
        assert_eq!(stage.reports.borrow().iter().filter(|(_, report)| *report == Report::Stop).count(), 1);
    });
}

#[test]
fn a_partition_that_appears_is_read_once_it_was_announced() {
    alone(|worker| {
        let dir = tempfile::tempdir().unwrap();
        let catalog = files(dir.path());
        let mut stage = Stage::build(worker, &Setup::of(catalog.clone()));
        stage.open(10, false);
        stage.until(worker, |s| s.reported(Report::CaughtUp));
        std::fs::write(dir.path().join("a"), "one\n").unwrap();
        let start = Instant::now();
        while catalog.is_empty() {
            assert!(start.elapsed() < LIMIT, "it is not found");
            stage.wait(worker, Duration::from_millis(20));
        }
        stage.wait(worker, Duration::from_millis(100));
        assert_eq!(stage.records(), [], "the other processes do not know it yet");
        stage.open(20, false);
        stage.until(worker, |s| s.records().len() == 1);
        stage.open(30, false);
        stage.until(worker, |s| !s.bindings.borrow().is_empty());
        assert_eq!(stage.bound(), [(20, 0, 4)]);
        assert!(stage.bindings.borrow()[0].1.mark.contains("head"));
    });
}

fn files(dir: &Path) -> Catalog {
    Catalog::open(Box::new(file::open(&["*".to_owned()], dir, true, 1 << 20).unwrap()), Vec::new(), false).unwrap()
}

#[test]
fn workers_of_several_processes_divide_the_partitions() {
    let input = MemoryInput::new(7);
    for partition in 0..7 {
        (0..=partition).for_each(|n| input.push(partition, format!("{partition}-{n}")));
    }
    input.close();
    let (sender, bindings) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let guards = timely::execute(timely::Config::process(3), move |worker| {
        let catalog = match worker.index() {
            0 => memory(&input, Vec::new()),
            _ => Catalog::replica(input.source(), Vec::new(), false).unwrap(),
        };
        let mut stage = Stage::build(worker, &Setup::of(catalog));
        if worker.index() == 0 {
            stage.open(10, false);
        }
        stage.openings.advance_to(10);
        stage.until(worker, |s| s.reported(Report::Ended));
        stage.close();
        stage.until(worker, |s| s.done.done());
        let own = stage.bound();
        assert!(own.iter().all(|(_, partition, _)| *partition as usize % 3 == worker.index()));
        sender.lock().unwrap().send(own).unwrap();
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    let mut all: Vec<_> = bindings.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..7).map(|partition| (10, partition, u64::from(partition) + 1)).collect::<Vec<_>>());
}
