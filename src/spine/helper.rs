//! Threads that do an operator's I/O.

use std::sync::mpsc;

use timely::dataflow::Scope;
use timely::scheduling::SyncActivator;

/// A thread that does an operator's I/O: jobs go in, results come back in order, each of them wakes the operator.
pub(super) struct Helper<J, R> {
    jobs: mpsc::Sender<J>,
    results: mpsc::Receiver<R>,
}

/// The thread's end: send, *then* wake. The other way round is a lost wake-up.
pub(super) struct Reply<R> {
    results: mpsc::Sender<R>,
    activator: SyncActivator,
}

impl<R> Reply<R> {
    pub(super) fn send(&self, result: R) {
        // Errors mean that the worker is gone, and there is no one left to tell.
        let _ = self.results.send(result);
        self.wake();
    }

    /// Wakes the operator, which may have been told something in another way.
    pub(super) fn wake(&self) {
        let _ = self.activator.activate();
    }
}

impl<J: Send + 'static, R: Send + 'static> Helper<J, R> {
    pub(super) fn spawn<F>(scope: Scope<'_, u64>, address: &[usize], name: &str, work: F) -> Self
    where
        F: FnOnce(&mpsc::Receiver<J>, &Reply<R>) + Send + 'static,
    {
        let activator = scope.worker().sync_activator_for(address.to_vec());
        let (jobs, inbox) = mpsc::channel();
        let (outbox, results) = mpsc::channel();
        let reply = Reply { results: outbox, activator };
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || work(&inbox, &reply)).expect("the system can start a thread");
        Helper { jobs, results }
    }

    pub(super) fn start(&self, job: J) {
        // An error means that the thread has failed and said so: the run is about to end.
        let _ = self.jobs.send(job);
    }

    pub(super) fn finished(&self) -> Option<R> {
        self.results.try_recv().ok()
    }
}
