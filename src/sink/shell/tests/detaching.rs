//! Law L10: a sink that stands still is given up, whatever its thread does then.

use super::super::inbox::{Job, Next};
use super::*;
use crate::sink::lag::Verdict;

const SOON: Duration = Duration::from_millis(40);

fn impatient(hangs_in_close: bool) -> Settings {
    Settings { limit: Some(SOON), hangs_in_close }
}

impl Case<'_> {
    /// Epochs 5 to 204 are sent, the store hangs at the first of them, and the sink has said that it is late.
    fn until_late(&mut self) {
        self.go.store(false, Ordering::SeqCst);
        // More than the inbox takes.
        for epoch in 5..205 {
            self.send(epoch, upsert("a", "0123456789"));
        }
        self.changes().advance_to(205);
        self.step_until(|case| case.at_it.load(Ordering::SeqCst) && !case.late.lock().unwrap().is_empty());
        assert_eq!(*self.late.lock().unwrap(), [detach()]);
    }

    /// What the committer says once it is recorded.
    fn detach(&mut self) {
        self.detaches.send(detach());
        self.detaches.flush();
        self.step_until(|case| case.done.done());
    }

    fn step_for(&mut self, time: Duration) {
        let start = Instant::now();
        self.step_until(|_| start.elapsed() > time);
    }

    /// Lets the store answer; what it was told in the end.
    fn answered(&mut self) -> Vec<Told> {
        self.go.store(true, Ordering::SeqCst);
        // The writer had one, too.
        self.step_until(|case| Arc::strong_count(&case.told) == 1);
        self.told.lock().unwrap().clone()
    }
}

#[test]
fn a_sink_that_stands_still_says_so_once_and_holds_everything_until_it_is_told() {
    with_settings(impatient(false), Start::Resume { from: 0 }, |mut case| {
        case.until_late();
        case.step_for(SOON * 2);
        assert_eq!(case.late.lock().unwrap().len(), 1);
        assert!(case.done.less_equal(&5), "nothing is given up that is not recorded");
        assert_eq!(case.gauges.waiting.held_bytes(), 2_000);
        // If the store answers before that, it is written to as before.
        case.go.store(true, Ordering::SeqCst);
        case.step_until(|case| !case.done.less_than(&205));
        assert_eq!(case.finish().len(), 401);
    });
}

#[test]
fn a_sink_that_keeps_up_or_has_nothing_to_do_is_not_late() {
    with_settings(impatient(false), Start::Resume { from: 0 }, |mut case| {
        case.step_for(SOON * 2);
        for epoch in 5..9 {
            case.send(epoch, upsert("a", "1"));
            case.changes().advance_to(epoch + 1);
            case.step_until(|case| !case.done.less_than(&(epoch + 1)));
            case.step_for(SOON);
        }
        assert_eq!(*case.late.lock().unwrap(), []);
        assert_eq!(case.finish().len(), 9);
    });
}

#[test]
fn what_a_detached_sink_holds_is_dropped_while_its_thread_hangs() {
    with_settings(impatient(false), Start::Resume { from: 0 }, |mut case| {
        case.until_late();
        case.detach();
        assert_eq!(case.gauges.waiting.held_bytes(), 0, "also what the thread has in hand");
        assert!(case.upper.less_equal(&5), "whoever waits for the sink does not pass");
        assert!(case.metrics.detached.load(Ordering::SeqCst));
        // Other workers have not heard of it yet.
        case.send(300, upsert("b", "1"));
        case.changes().advance_to(301);
        case.step_for(Duration::from_millis(10));
        assert_eq!((case.gauges.waiting.held_bytes(), Arc::strong_count(&case.told)), (0, 2), "it hangs");
        let told = case.answered();
        assert_eq!(told, [Told::Write(5, vec![upsert("a", "0123456789")])], "which is never closed");
        assert_eq!(case.progress.now().upper, 0);
    });
}

#[test]
fn a_commit_that_succeeds_late_is_the_last_that_the_store_is_told() {
    for start in [Start::Resume { from: 0 }, Start::Fill { at: 5 }] {
        with_settings(impatient(true), start, move |mut case| {
            case.until_late();
            case.detach();
            let told = case.answered();
            let sweep = if matches!(start, Start::Fill { .. }) { Sweep::Older } else { Sweep::Keep };
            assert_eq!(told, [Told::Write(5, vec![upsert("a", "0123456789")]), Told::Close(5, sweep)]);
        });
    }
}

#[test]
fn an_error_of_a_store_that_was_given_up_does_not_end_the_run() {
    with_settings(impatient(false), Start::Resume { from: 0 }, |mut case| {
        case.until_late();
        case.detach();
        case.is_broken.store(true, Ordering::SeqCst);
        assert_eq!(case.answered(), []);
        assert_eq!(*case.failures.lock().unwrap(), [""; 0]);
    });
}

/// One that waits for a sink that does not keep up.
#[test]
fn a_sink_can_be_detached_with_another_one() {
    for start in [Start::Resume { from: 0 }, Start::FillAtReveal] {
        with(start, |mut case| {
            case.send(5, upsert("a", "1"));
            case.detach();
            assert_eq!(case.gauges.waiting.held_bytes(), 0);
            // It comes nevertheless, to those that are left.
            let mut reveals = case.reveals.take().unwrap();
            reveals.advance_to(7);
            reveals.send(Reveal);
            reveals.close();
            case.step_for(Duration::from_millis(10));
            assert!(case.upper.less_equal(&5));
            let told = case.answered();
            assert!(!told.iter().any(|told| matches!(told, Told::Close(..) | Told::Finish)), "{told:?}");
        });
    }
}

/// What counts as standing still, with a clock of its own.
#[test]
fn a_fill_is_not_late_as_long_as_it_is_written_and_other_epochs_are() {
    for (start, expected) in
        [(Start::Fill { at: 5 }, Verdict::InTime(seconds(10))), (Start::Resume { from: 0 }, Verdict::Late(seconds(10)))]
    {
        let (gauges, progress) = (Gauges::without_limits(), Arc::new(SinkProgress::default()));
        let (metrics, (jobs, _inbox)) = (Arc::new(SinkMetrics::default()), inbox());
        let lag = Some(Lag::new(seconds(10)));
        let mut feed = Feed::new(start, FinalSince::default(), jobs, lag, gauges, progress.clone(), metrics.clone());
        let now = Instant::now();
        feed.take(5, vec![upsert("a", "1")]);
        feed.take(7, vec![upsert("a", "2")]);
        feed.advance(Some(4));
        assert_eq!(feed.lag(now), Verdict::UpToDate, "nothing is to be written yet");
        feed.advance(Some(8));
        assert_eq!(feed.lag(now + seconds(60)), Verdict::InTime(seconds(10)));
        metrics.upserts.fetch_add(1, Ordering::SeqCst);
        assert_eq!(feed.lag(now + seconds(70)), expected);
        // An acknowledgement is all that counts otherwise.
        progress.publish(6, || None);
        feed.advance(Some(8));
        assert_eq!(feed.lag(now + seconds(79)), Verdict::InTime(seconds(10)));
        metrics.upserts.fetch_add(1, Ordering::SeqCst);
        assert_eq!(feed.lag(now + seconds(89)), Verdict::Late(seconds(10)));
        progress.publish(8, || None);
        feed.advance(Some(8));
        assert_eq!(feed.lag(now + seconds(90)), Verdict::UpToDate);
    }
}

/// While an archive is filled operators wait for writers: who hangs then must be found although no epoch is complete.
#[test]
fn what_is_handed_on_of_an_epoch_is_owed_before_the_epoch_is_complete_and_what_is_to_come_is_not() {
    let (progress, (jobs, inbox)) = (Arc::new(SinkProgress::default()), inbox());
    let lag = Some(Lag::new(seconds(10)));
    let mut feed = Feed::new(
        Start::Fill { at: 5 },
        FinalSince::default(),
        jobs,
        lag,
        Gauges::without_limits(),
        progress,
        Arc::default(),
    );
    let now = Instant::now();
    feed.take(5, vec![upsert("a", "1")]);
    feed.advance(Some(5));
    assert_eq!(feed.lag(now), Verdict::InTime(seconds(10)));
    assert!(matches!(inbox.look(), Next::Job(Job::Write(5, _))));
    assert_eq!(feed.lag(now + seconds(10)), Verdict::Late(seconds(10)), "in hand");
    inbox.done();
    assert_eq!(feed.lag(now + seconds(11)), Verdict::UpToDate, "it waits for more");
    feed.take(5, vec![upsert("b", "1")]);
    feed.advance(Some(5));
    assert_eq!(feed.lag(now + seconds(60)), Verdict::InTime(seconds(10)));
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
