//! The gate in dataflows, on one worker and on two.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::*;
use crate::sink::testing::{row, upsert};

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

type Out = Arc<Mutex<Vec<(u64, Change)>>>;

/// A gate with open inputs; what it puts out is in `out`.
struct Case<'a> {
    worker: &'a mut Worker,
    rows: Option<InputHandleVec<u64, RowDiff>>,
    release: Option<InputHandleVec<u64, Never>>,
    reveals: Option<InputHandleVec<u64, Reveal>>,
    detaches: InputHandleVec<u64, Detach>,
    done: ProbeHandle<u64>,
    gauge: Arc<Gauge>,
    out: Out,
}

fn with(start: Start, test: impl FnOnce(Case<'_>) + Send + Sync + 'static) {
    timely::execute_directly(move |worker| {
        let (gauge, out) = (Arc::new(Gauge::new(u64::MAX)), Out::default());
        let (rows, release, reveals, detaches, done) = worker.dataflow::<u64, _, _>(|scope| {
            let (rows, row_stream) = scope.new_input::<Vec<RowDiff>>();
            let (release, release_stream) = scope.new_input::<Vec<Never>>();
            let (reveals, reveal_stream) = scope.new_input::<Vec<Reveal>>();
            let (detaches, detach_stream) = scope.new_input::<Vec<Detach>>();
            let passage = Passage { start, name: "test", with_before: false, waiting: gauge.clone() };
            let changes = gate(row_stream, release_stream, reveal_stream, Some(detach_stream), passage);
            (rows, release, reveals, detaches, collect(changes, out.clone()))
        });
        let (rows, release, reveals) = (Some(rows), Some(release), Some(reveals));
        test(Case { worker, rows, release, reveals, detaches, done, gauge, out });
    });
}

fn collect<'scope>(changes: StreamVec<'scope, u64, Change>, out: Out) -> ProbeHandle<u64> {
    let keep = move |time: &u64, change: &Change| out.lock().unwrap().push((*time, change.clone()));
    changes.inspect_time(keep).probe().0
}

impl Case<'_> {
    fn send(&mut self, epoch: u64, key: &str, text: &str, diff: isize) {
        self.rows.as_mut().unwrap().send((row(key, text), epoch, diff));
    }

    /// Rows and release up to this epoch.
    fn advance(&mut self, epoch: u64) {
        self.rows.as_mut().unwrap().advance_to(epoch);
        self.release.as_mut().unwrap().advance_to(epoch);
    }

    fn reveal(&mut self, at: u64) {
        let mut reveals = self.reveals.take().unwrap();
        reveals.advance_to(at);
        reveals.send(Reveal);
        reveals.close();
    }

    /// Steps until no change of an earlier epoch can come.
    fn step_until(&mut self, epoch: u64) {
        let start = Instant::now();
        while self.done.less_than(&epoch) {
            assert!(start.elapsed() < LIMIT, "{epoch} is reached in time");
            self.worker.step();
        }
    }

    fn step_a_while(&mut self) {
        for _ in 0..20 {
            self.worker.step();
        }
    }

    fn out(&self) -> Vec<(u64, Change)> {
        std::mem::take(&mut self.out.lock().unwrap())
    }
}

#[test]
fn an_epoch_passes_when_it_is_complete_and_released() {
    with(Start::Resume { from: 0 }, |mut case| {
        case.send(5, "a", "1", 1);
        case.rows.as_mut().unwrap().advance_to(6);
        case.step_a_while();
        assert_eq!(case.out(), [], "not released");
        assert_eq!(case.gauge.held_bytes(), 1);
        case.release.as_mut().unwrap().advance_to(9);
        case.step_until(6);
        assert_eq!(case.out(), [(5, upsert("a", "1"))]);
        case.send(7, "b", "1", 1);
        case.step_a_while();
        assert_eq!(case.out(), [], "not complete");
        case.rows.as_mut().unwrap().advance_to(8);
        case.step_until(8);
        assert_eq!(case.out(), [(7, upsert("b", "1"))]);
        assert_eq!(case.gauge.held_bytes(), 0);
    });
}

#[test]
fn a_resumed_gate_passes_its_frontier_on_without_a_reveal() {
    with(Start::Resume { from: 7 }, |mut case| {
        case.send(5, "a", "1", 1);
        case.send(7, "b", "1", 1);
        case.advance(9);
        case.step_until(9);
        assert_eq!(case.out(), [(7, upsert("b", "1"))]);
    });
}

#[test]
fn a_fill_comes_at_its_epoch_with_all_that_came_before() {
    with(Start::Fill { at: 7 }, |mut case| {
        case.send(2, "a", "1", 1);
        case.advance(5);
        case.send(5, "a", "1", -1);
        case.send(5, "a", "2", 1);
        case.send(6, "b", "1", 1);
        case.advance(7);
        case.step_a_while();
        assert_eq!(case.out(), []);
        assert_eq!(case.gauge.held_bytes(), 4);
        case.send(7, "b", "1", -1);
        case.send(8, "c", "1", 1);
        case.advance(9);
        case.step_until(9);
        assert_eq!(case.out(), [(7, upsert("a", "2")), (8, upsert("c", "1"))]);
        assert_eq!(case.gauge.held_bytes(), 0);
    });
}

#[test]
fn the_reveal_may_come_before_or_after_the_rows() {
    for reveal_first in [true, false] {
        with(Start::FillAtReveal, move |mut case| {
            if reveal_first {
                case.reveal(6);
                case.step_a_while();
            }
            case.send(2, "a", "1", 1);
            case.send(6, "b", "1", 1);
            case.send(8, "b", "1", -1);
            case.advance(9);
            case.step_a_while();
            if !reveal_first {
                assert_eq!(case.out(), []);
                assert!(case.done.less_equal(&2), "what waits holds the frontier back");
                case.reveal(6);
            }
            case.step_until(9);
            let deleted = Change::Delete(row("b", "1"));
            assert_eq!(case.out(), [(6, upsert("a", "1")), (6, upsert("b", "1")), (8, deleted)]);
        });
    }
}

#[test]
fn without_rows_the_frontier_waits_for_the_reveal() {
    with(Start::FillAtReveal, |mut case| {
        case.advance(9);
        case.reveals.as_mut().unwrap().advance_to(6);
        case.step_until(6);
        case.step_a_while();
        assert!(case.done.less_equal(&6));
        case.reveal(6);
        case.step_until(9);
        assert_eq!(case.out(), []);
    });
}

#[test]
fn reveals_that_end_without_a_message_let_nothing_pass() {
    with(Start::FillAtReveal, |mut case| {
        case.send(2, "a", "1", 1);
        case.advance(9);
        case.step_a_while();
        assert_eq!(case.gauge.held_bytes(), 1);
        drop(case.reveals.take());
        case.send(9, "b", "1", 1);
        drop((case.rows.take(), case.release.take()));
        let start = Instant::now();
        while !case.done.done() {
            assert!(start.elapsed() < LIMIT);
            case.worker.step();
        }
        assert_eq!((case.out(), case.gauge.held_bytes()), (vec![], 0));
    });
}

#[test]
fn a_large_epoch_passes_in_shares_and_whole() {
    with(Start::Fill { at: 5 }, |mut case| {
        let most = FUEL + 10;
        for n in 0..most {
            case.send(5, &format!("{n:08}"), "1", 1);
        }
        case.advance(6);
        case.step_until(6);
        let out = case.out();
        assert_eq!(out.len(), most);
        assert!(out.is_sorted_by_key(|(_, change)| change.row().clone()));
        assert_eq!((case.gauge.held_bytes(), case.gauge.most_bytes()), (0, most as u64));
    });
}

#[test]
fn each_worker_hears_of_the_reveal_and_fills_its_share() {
    use timely::dataflow::operators::vec::Broadcast;
    let guards = timely::execute(timely::Config::process(2), |worker| {
        let index = worker.index();
        let out = Out::default();
        let (mut rows, mut reveals) = worker.dataflow::<u64, _, _>(|scope| {
            let (rows, row_stream) = scope.new_input::<Vec<RowDiff>>();
            let (reveals, reveal_stream) = scope.new_input::<Vec<Reveal>>();
            let waiting = Arc::new(Gauge::new(u64::MAX));
            let reveal_stream = reveal_stream.broadcast();
            let passage = Passage { start: Start::FillAtReveal, name: "test", with_before: false, waiting };
            let changes = gate(row_stream, empty(scope), reveal_stream, None, passage);
            collect(changes, out.clone());
            (rows, reveals)
        });
        let key = index.to_string();
        rows.send((row(&key, "1"), 2, 1));
        rows.advance_to(4);
        rows.send((row(&key, "1"), 4, -1));
        rows.send((row(&key, "2"), 4, 1));
        if index == 0 {
            reveals.advance_to(4);
            reveals.send(Reveal);
        }
        drop((rows, reveals));
        while worker.step_or_park(Some(Duration::from_millis(5))) {}
        std::mem::take(&mut *out.lock().unwrap())
    });
    for (index, out) in guards.unwrap().join().into_iter().enumerate() {
        assert_eq!(out.unwrap(), [(4, upsert(&index.to_string(), "2"))]);
    }
}

#[test]
fn a_gate_of_a_sink_that_is_detached_gives_back_what_it_holds_and_lets_nothing_pass() {
    for start in [Start::Resume { from: 0 }, Start::Fill { at: 5 }, Start::FillAtReveal] {
        with(start, move |mut case| {
            case.send(5, "a", "1", 1);
            case.send(6, "b", "1", 1);
            case.advance(6);
            case.step_a_while();
            let held = if matches!(start, Start::FillAtReveal) { 2 } else { 1 };
            assert_eq!(case.gauge.held_bytes(), held, "5 may have passed");
            case.out();
            case.detaches.send(Detach { sinks: vec![0] });
            case.detaches.flush();
            case.step_a_while();
            assert_eq!(case.gauge.held_bytes(), 0);
            case.send(7, "c", "1", 1);
            case.reveal(7);
            case.advance(9);
            // It holds nothing back either.
            case.step_until(9);
            assert_eq!((case.out(), case.gauge.held_bytes()), (vec![], 0));
        });
    }
}
