//! Jobs on their way to the writer's thread.
//!
//! Not a channel: of a store that hangs the dataflow must be able to take everything back, also what the thread has in hand,
//! without waiting for the thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::sink::gauge::Held;
use crate::sink::{Change, Sweep};

/// Jobs that may wait for the thread; each is a buffer of the dataflow.
const JOBS: usize = 64;

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Job {
    /// A share of an epoch's changes.
    Write(u64, Vec<Change>),
    Close(u64, Sweep),
    Finish,
}

/// What changes are counted as until they are written, by both gauges.
pub(super) type Holds = [Held; 2];

/// A job, and what it is counted as until it is done.
pub(super) type Counted = (Job, Option<Holds>);

/// The dataflow's end. The thread does nothing more once this is dropped: what was not begun is dropped with it, and what it
/// has in hand is not counted any more.
pub(super) struct Jobs(Arc<Shared>);

/// The thread's end.
pub(super) struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Counted>,
    in_hand: Option<Holds>,
    /// The thread is at a job.
    busy: bool,
    abandoned: bool,
}

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Next {
    Job(Job),
    /// Nothing, for now.
    Nothing,
    /// Nothing ever again: what is not closed must not be made durable.
    Abandoned,
}

pub(super) fn inbox() -> (Jobs, Inbox) {
    let shared = Arc::<Shared>::default();
    (Jobs(shared.clone()), Inbox(shared))
}

impl Jobs {
    /// Hands a job over; gives it back if there is no room.
    pub(super) fn send(&self, job: Counted) -> Result<(), Counted> {
        let mut state = self.0.lock();
        if state.jobs.len() >= JOBS {
            return Err(job);
        }
        state.jobs.push_back(job);
        self.0.bell.notify_one();
        Ok(())
    }

    /// Whether there is anything that the thread has not done.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.0.lock();
        state.busy || !state.jobs.is_empty()
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        let dropped = {
            let mut state = self.0.lock();
            state.abandoned = true;
            self.0.bell.notify_one();
            (std::mem::take(&mut state.jobs), state.in_hand.take())
        };
        // Without the lock: there may be many rows to free.
        drop(dropped);
    }
}

impl Inbox {
    /// The next job, if there is one.
    pub(super) fn look(&self) -> Next {
        self.0.lock().next()
    }

    /// The next job; waits for it, if there is a limit no longer than that.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Next {
        let nothing_to_do = |state: &mut State| state.jobs.is_empty() && !state.abandoned;
        let state = self.0.lock();
        let mut state = match limit {
            None => self.0.bell.wait_while(state, nothing_to_do).expect(NO_PANIC),
            Some(limit) => self.0.bell.wait_timeout_while(state, limit, nothing_to_do).expect(NO_PANIC).0,
        };
        state.next()
    }

    /// The last job is done, and counts no more.
    pub(super) fn done(&self) {
        let held = {
            let mut state = self.0.lock();
            state.busy = false;
            state.in_hand.take()
        };
        drop(held);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.lock().abandoned
    }
}

const NO_PANIC: &str = "a panic would have ended the process";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }
}

impl State {
    fn next(&mut self) -> Next {
        if self.abandoned {
            return Next::Abandoned;
        }
        let Some((job, held)) = self.jobs.pop_front() else { return Next::Nothing };
        self.in_hand = held;
        self.busy = true;
        Next::Job(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::gauge::Gauge;

    fn close(epoch: u64) -> Counted {
        (Job::Close(epoch, Sweep::Keep), None)
    }

    fn write(epoch: u64, gauge: &Arc<Gauge>) -> Counted {
        (Job::Write(epoch, Vec::new()), Some([gauge.hold(7), gauge.hold(7)]))
    }

    #[test]
    fn jobs_come_in_order_and_there_is_room_for_so_many() {
        let (jobs, inbox) = inbox();
        assert!(matches!(inbox.look(), Next::Nothing));
        for epoch in 0..JOBS as u64 {
            assert!(jobs.send(close(epoch)).is_ok());
        }
        assert!(matches!(jobs.send(close(99)), Err((Job::Close(99, _), _))), "given back");
        for epoch in 0..JOBS as u64 {
            assert!(matches!(inbox.wait(None), Next::Job(Job::Close(at, _)) if at == epoch));
        }
        assert!(matches!(inbox.wait(Some(Duration::from_millis(1))), Next::Nothing));
        assert!(jobs.send(close(99)).is_ok());
    }

    #[test]
    fn a_job_counts_until_it_is_done() {
        let (gauge, (jobs, inbox)) = (Arc::new(Gauge::new(100)), inbox());
        assert!(!jobs.is_busy());
        assert!(jobs.send(write(5, &gauge)).is_ok());
        assert!(jobs.is_busy());
        assert!(matches!(inbox.look(), Next::Job(Job::Write(5, _))));
        assert!(jobs.is_busy() && gauge.held_bytes() == 14);
        inbox.done();
        assert!(!jobs.is_busy() && gauge.held_bytes() == 0);
    }

    #[test]
    fn what_is_taken_back_does_not_count_even_if_it_is_in_hand() {
        let (gauge, (jobs, inbox)) = (Arc::new(Gauge::new(100)), inbox());
        for epoch in 5..8 {
            assert!(jobs.send(write(epoch, &gauge)).is_ok());
        }
        assert!(matches!(inbox.look(), Next::Job(Job::Write(5, _))));
        assert_eq!(gauge.held_bytes(), 42);
        drop(jobs);
        assert_eq!(gauge.held_bytes(), 0);
        assert!(inbox.is_abandoned() && matches!(inbox.look(), Next::Abandoned));
        inbox.done();
    }

    #[test]
    fn a_thread_that_waits_is_told() {
        let (jobs, inbox) = inbox();
        let thread = std::thread::spawn(move || {
            let first = inbox.wait(None);
            (first, inbox.wait(None))
        });
        assert!(jobs.send(close(5)).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        drop(jobs);
        // Whether the job was taken before the end is up to the scheduler; the end is told in any case.
        assert!(matches!(thread.join().unwrap(), (Next::Job(_) | Next::Abandoned, Next::Abandoned)));
    }
}
