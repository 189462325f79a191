//! Requests to a store that is a server: many on their way, their answers taken by the one thread that writes.

use std::future::Future;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How often a writer looks at what was answered while it has nothing else to do.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Beyond the time after which a sink is detached, its thread need not try for ever.
const AFTER_DETACHING: Duration = Duration::from_secs(60);

/// How long a server may not answer, if the sink is detached after `detach`.
pub(super) fn patience(detach: Option<Duration>) -> Option<Duration> {
    detach.map(|limit| limit.saturating_add(AFTER_DETACHING))
}

/// Requests on their way, and what is answered.
pub(super) struct Requests<A> {
    runtime: Runtime,
    answers: Sender<A>,
    answered: Receiver<A>,
    on_their_way: usize,
}

impl<A: Send + 'static> Requests<A> {
    /// Those of a sink, on a thread of their own.
    pub fn new(sink: &str) -> io::Result<Self> {
        let name = format!("requests {sink}");
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        let (answers, answered) = channel();
        Ok(Requests { runtime, answers, answered, on_their_way: 0 })
    }

    /// One that is waited for.
    pub fn block_on<T>(&self, request: impl Future<Output = T>) -> T {
        self.runtime.block_on(request)
    }

    /// How many are on their way.
    pub fn on_their_way(&self) -> usize {
        self.on_their_way
    }

    /// One that is not waited for.
    pub fn send(&mut self, request: impl Future<Output = A> + Send + 'static) {
        self.on_their_way += 1;
        let answers = self.answers.clone();
        self.runtime.spawn(async move {
            // Without a receiver the writer is gone.
            let _ = answers.send(request.await);
        });
    }

    /// The next answer; there must be one on its way.
    pub fn wait(&mut self) -> A {
        let answer = self.answered.recv().expect("this has a sender itself");
        self.on_their_way -= 1;
        answer
    }

    /// The next answer, if it is there.
    pub fn look(&mut self) -> Option<A> {
        let answer = self.answered.try_recv().ok()?;
        self.on_their_way -= 1;
        Some(answer)
    }
}
