//! The shell in dataflows, with writers that say what they were told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::*;
use crate::sink::Sweep;
use crate::sink::testing::upsert;

mod detaching;

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// What a writer was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Write(u64, Vec<Change>),
    Close(u64, Sweep),
    Finish,
}

/// Remembers what it is told; says that it is `at_it`, and waits for `go`, before each write and, if asked to, before each
/// close; or fails then.
struct Listener {
    upper: u64,
    told: Arc<Mutex<Vec<Told>>>,
    at_it: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
    hangs_in_close: bool,
    is_broken: Arc<AtomicBool>,
}

impl Listener {
    fn hang(&self) -> Result<(), SinkError> {
        self.at_it.store(true, Ordering::SeqCst);
        let start = Instant::now();
        while !self.go.load(Ordering::SeqCst) && start.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        let broken = self.is_broken.load(Ordering::SeqCst);
        if broken { Err(SinkError::store("write to", "listener", "it is broken")) } else { Ok(()) }
    }
}

impl Writer for Listener {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        if !self.hangs_in_close {
            self.hang()?;
        }
        self.told.lock().unwrap().push(Told::Write(epoch, std::mem::take(changes)));
        Ok(())
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        if self.hangs_in_close {
            self.hang()?;
        }
        self.told.lock().unwrap().push(Told::Close(epoch, sweep));
        self.upper = epoch + 1;
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }

    fn mark(&self) -> Option<String> {
        Some(format!("mark of {}", self.upper))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.told.lock().unwrap().push(Told::Finish);
        Ok(())
    }
}

struct Case<'a> {
    worker: &'a mut Worker,
    changes: Option<InputHandleVec<u64, Change>>,
    reveals: Option<InputHandleVec<u64, Reveal>>,
    detaches: InputHandleVec<u64, Detach>,
    /// What it has said of being late.
    late: Arc<Mutex<Vec<Detach>>>,
    done: ProbeHandle<u64>,
    upper: ProbeHandle<u64>,
    gauges: Gauges,
    progress: Arc<SinkProgress>,
    told: Arc<Mutex<Vec<Told>>>,
    /// Errors that the run was told of.
    failures: Arc<Mutex<Vec<String>>>,
    metrics: Arc<SinkMetrics>,
    at_it: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
}

impl Case<'_> {
    fn send(&mut self, epoch: u64, change: Change) {
        self.changes().advance_to(epoch);
        self.changes().send(change);
    }

    fn changes(&mut self) -> &mut InputHandleVec<u64, Change> {
        self.changes.as_mut().expect("open until the end")
    }

    fn step_until(&mut self, mut what: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !what(self) {
            assert!(start.elapsed() < LIMIT, "in time; told: {:?}", self.told.lock().unwrap());
            self.worker.step_or_park(Some(Duration::from_millis(5)));
        }
    }

    fn finish(mut self) -> Vec<Told> {
        drop(self.changes.take());
        drop(self.reveals.take());
        self.step_until(|case| case.done.done());
        assert_eq!(*self.failures.lock().unwrap(), [""; 0]);
        self.told.lock().unwrap().clone()
    }
}

/// Runs a sink on one worker.
fn with(start: Start, test: impl FnOnce(Case<'_>) + Send + Sync + 'static) {
    with_settings(Settings { limit: None, hangs_in_close: false }, start, test);
}

#[derive(Clone, Copy)]
struct Settings {
    /// The sink is late when it has stood still for so long.
    limit: Option<Duration>,
    hangs_in_close: bool,
}

fn with_settings(settings: Settings, start: Start, test: impl FnOnce(Case<'_>) + Send + Sync + 'static) {
    let Settings { limit, hangs_in_close } = settings;
    timely::execute_directly(move |worker| {
        let (gauges, progress) = (Gauges::without_limits(), Arc::new(SinkProgress::default()));
        let metrics = Arc::new(SinkMetrics::default());
        let failures = Arc::<Mutex<Vec<String>>>::default();
        let errors = failures.clone();
        let (told, go): (Arc<Mutex<Vec<Told>>>, _) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        let shell = Shell {
            name: "listener".to_owned(),
            start,
            finals: FinalSince::default(),
            patience: limit.map(|limit| Patience { limit, detach: detach() }),
            gauges: gauges.clone(),
            progress: progress.clone(),
            metrics: metrics.clone(),
            on_error: Box::new(move |error| errors.lock().unwrap().push(error.to_string())),
        };
        let (at_it, is_broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told_to, at, wait_for, breaks) = (told.clone(), at_it.clone(), go.clone(), is_broken.clone());
        let writer = Listener { upper: 0, told: told_to, at_it: at, go: wait_for, hangs_in_close, is_broken: breaks };
        let late = Arc::new(Mutex::new(Vec::new()));
        let asked = late.clone();
        let (changes, reveals, detaches, done, upper) = worker.dataflow::<u64, _, _>(|scope| {
            let (changes, change_stream) = scope.new_input::<Vec<Change>>();
            let (reveals, reveal_stream) = scope.new_input::<Vec<Reveal>>();
            let (detaches, detach_stream) = scope.new_input::<Vec<Detach>>();
            let placement = Placement::Single(Some(Box::new(writer)));
            let written = write(change_stream, reveal_stream, Some(detach_stream), shell, placement);
            written.late.inspect(move |detach| asked.lock().unwrap().push(detach.clone()));
            (changes, reveals, detaches, written.settled.probe().0, written.upper.probe().0)
        });
        let (changes, reveals) = (Some(changes), Some(reveals));
        test(Case {
            worker: &mut *worker,
            changes,
            reveals,
            detaches,
            late,
            done,
            upper,
            gauges,
            progress,
            told,
            failures,
            metrics,
            at_it,
            go,
            is_broken,
        });
        // The upper of a sink that was detached never ends.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    });
}

/// What the sink of these tests says when it is late.
fn detach() -> Detach {
    Detach { sinks: vec![3, 4] }
}

#[test]
fn a_resumed_sink_never_sweeps_and_does_not_look_at_reveals() {
    for start in [Start::Resume { from: 5 }, Start::Stream { from: 5 }] {
        with(start, |mut case| {
            case.send(5, upsert("a", "1"));
            case.send(7, upsert("b", "2"));
            case.changes().advance_to(8);
            case.step_until(|case| !case.done.less_than(&8));
            let progress = case.progress.now();
            assert_eq!((progress.upper, progress.mark.as_deref()), (8, Some("mark of 8")));
            let keep = Sweep::Keep;
            let expected = [
                Told::Write(5, vec![upsert("a", "1")]),
                Told::Close(5, keep),
                Told::Write(7, vec![upsert("b", "2")]),
                Told::Close(7, keep),
                Told::Finish,
            ];
            assert_eq!(case.finish(), expected);
        });
    }
}

#[test]
fn a_fill_sweeps_also_if_it_is_empty() {
    with(Start::Fill { at: 5 }, |mut case| {
        case.changes().advance_to(5);
        case.step_until(|case| !case.done.less_than(&5));
        assert_eq!(*case.told.lock().unwrap(), []);
        case.send(7, upsert("b", "2"));
        case.changes().advance_to(8);
        case.step_until(|case| !case.done.less_than(&8));
        let told = case.finish();
        assert_eq!(told[0], Told::Close(5, Sweep::Older));
        assert_eq!(told[2..], [Told::Close(7, Sweep::Keep), Told::Finish]);
    });
}

#[test]
fn the_reveal_says_which_epoch_is_the_fill() {
    for rows in [true, false] {
        with(Start::FillAtReveal, move |mut case| {
            // As the gate does it: what it has is at the epoch of the reveal. The reveal comes last.
            if rows {
                case.send(6, upsert("a", "1"));
            }
            case.changes().advance_to(9);
            case.reveals.as_mut().unwrap().advance_to(6);
            case.step_until(|case| !case.done.less_than(&6));
            assert!(case.done.less_equal(&6), "nothing is closed before the reveal");
            let mut reveals = case.reveals.take().unwrap();
            reveals.send(Reveal);
            reveals.close();
            case.step_until(|case| !case.done.less_than(&9));
            case.send(9, upsert("b", "2"));
            let mut told = case.finish();
            if rows {
                assert_eq!(told.remove(0), Told::Write(6, vec![upsert("a", "1")]));
            }
            let fill = Told::Close(6, Sweep::Older);
            let later = [Told::Write(9, vec![upsert("b", "2")]), Told::Close(9, Sweep::Keep), Told::Finish];
            assert_eq!(told[..1], [fill]);
            assert_eq!(told[1..], later);
        });
    }
}

#[test]
fn a_run_that_ends_without_a_reveal_closes_nothing_and_finishes() {
    with(Start::FillAtReveal, |mut case| {
        case.changes().advance_to(9);
        case.reveals.as_mut().unwrap().advance_to(9);
        case.step_until(|case| !case.done.less_than(&9));
        let progress = case.progress.clone();
        assert_eq!(case.finish(), [Told::Finish]);
        assert!(progress.now().finished);
    });
}

#[test]
fn what_waits_for_the_writer_is_counted_until_it_is_written() {
    with(Start::Resume { from: 0 }, |mut case| {
        case.go.store(false, Ordering::SeqCst);
        // More than the channel takes.
        for epoch in 1..=200 {
            case.send(epoch, upsert("a", "0123456789"));
        }
        case.changes().advance_to(201);
        case.step_until(|case| case.at_it.load(Ordering::SeqCst) && case.gauges.waiting.held_bytes() == 2_000);
        case.go.store(true, Ordering::SeqCst);
        case.step_until(|case| !case.done.less_than(&201));
        assert_eq!((case.gauges.waiting.held_bytes(), case.gauges.waiting.most_bytes()), (0, 2_000));
        assert_eq!(case.finish().len(), 401);
    });
}

/// Takes its time to finish, and more to let go of its store.
struct Slow {
    upper: u64,
    gone: Arc<AtomicBool>,
}

impl Writer for Slow {
    fn write(&mut self, _: u64, _: &mut Vec<Change>) -> Result<(), SinkError> {
        Ok(())
    }

    fn close(&mut self, epoch: u64, _: Sweep) -> Result<(), SinkError> {
        self.upper = epoch + 1;
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
        self.gone.store(true, Ordering::SeqCst);
    }
}

#[test]
fn acknowledgements_end_when_the_writer_has_finished_and_is_gone() {
    let gone = Arc::new(AtomicBool::new(false));
    let metrics = Arc::new(SinkMetrics::default());
    let (watched, counted) = (gone.clone(), metrics.clone());
    timely::execute_directly(move |worker| {
        let (mut input, done) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, changes) = scope.new_input::<Vec<Change>>();
            let shell = Shell {
                name: "slow".to_owned(),
                start: Start::Fill { at: 5 },
                finals: FinalSince::default(),
                patience: None,
                gauges: Gauges::without_limits(),
                progress: Arc::default(),
                metrics: counted,
                on_error: Box::new(|error| panic!("{error}")),
            };
            let writer = Box::new(Slow { upper: 0, gone });
            let reveals = timely::dataflow::operators::generic::operator::empty(scope);
            let written = write(changes, reveals, None, shell, Placement::Single(Some(writer)));
            (input, written.settled.probe().0)
        });
        input.advance_to(6);
        while done.less_than(&6) {
            worker.step_or_park(Some(Duration::from_millis(50)));
        }
        assert!(!done.done(), "an idle sink keeps up");
        input.close();
        while !done.done() {
            worker.step_or_park(Some(Duration::from_millis(50)));
        }
    });
    assert!(watched.load(Ordering::SeqCst));
    assert_eq!(metrics.upper.load(Ordering::SeqCst), FINISHED);
}

/// Refuses everything.
struct Broken;

impl Writer for Broken {
    fn write(&mut self, _: u64, _: &mut Vec<Change>) -> Result<(), SinkError> {
        Err(SinkError::Fenced { object: "store".to_owned() })
    }

    fn close(&mut self, _: u64, _: Sweep) -> Result<(), SinkError> {
        panic!("nothing is written after an error")
    }

    fn durable_upper(&self) -> u64 {
        0
    }
}

#[test]
fn an_error_is_told_and_nothing_is_written_or_acknowledged_after_it() {
    timely::execute_directly(|worker| {
        let (errors, told) = std::sync::mpsc::channel();
        let (mut input, done) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, changes) = scope.new_input::<Vec<Change>>();
            let shell = Shell {
                name: "broken".to_owned(),
                start: Start::Resume { from: 0 },
                finals: FinalSince::default(),
                patience: None,
                gauges: Gauges::without_limits(),
                progress: Arc::default(),
                metrics: Arc::default(),
                on_error: Box::new(move |error| errors.send(error.to_string()).unwrap()),
            };
            let reveals = timely::dataflow::operators::generic::operator::empty(scope);
            let written = write(changes, reveals, None, shell, Placement::Single(Some(Box::new(Broken))));
            (input, written.settled.probe().0)
        });
        input.send(upsert("a", "1"));
        input.advance_to(5);
        let start = Instant::now();
        let error = loop {
            worker.step_or_park(Some(Duration::from_millis(5)));
            match told.try_recv() {
                Ok(error) => break error,
                Err(_) => assert!(start.elapsed() < LIMIT),
            }
        };
        assert!(error.contains("another run has taken over"), "{error}");
        for _ in 0..20 {
            worker.step();
        }
        assert!(done.less_equal(&0));
        // It would wait for ever for what is not written.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    });
}
