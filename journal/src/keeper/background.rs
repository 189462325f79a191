//! What a keeper has done by other threads: one merge at a time, and removals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use crate::error::JournalError;
use crate::journal::Journal;
use crate::manifest::Replaced;
use crate::merge::Job;

/// A merge that runs.
pub(super) struct Merging {
    result: Receiver<Result<Option<Replaced>, JournalError>>,
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Merging {
    pub(super) fn start(journal: &Journal, job: Job) -> std::io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let (send, result) = mpsc::channel();
        let (journal, cancelled) = (journal.clone(), Arc::clone(&cancel));
        let body = move || {
            // Nobody is left to be told if the keeper was dropped.
            let _ = send.send(job.run(&journal, &cancelled));
        };
        let thread = thread::Builder::new().name("journal-merge".into()).spawn(body)?;
        Ok(Merging { result, cancel, thread: Some(thread) })
    }

    /// What came of it; `None` while it runs. A thread that is gone without an answer counts as cancelled.
    pub(super) fn poll(&self) -> Option<Result<Option<Replaced>, JournalError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Ok(None)),
        }
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes objects that no durable entry names, apart from whoever waits for commits.
pub(super) struct Remover {
    send: Option<Sender<Vec<String>>>,
    pending: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    pub(super) fn start(journal: &Journal) -> std::io::Result<Self> {
        let (send, receive) = mpsc::channel::<Vec<String>>();
        let pending = Arc::new(AtomicUsize::new(0));
        let (journal, left) = (journal.clone(), Arc::clone(&pending));
        let body = move || {
            for objects in receive {
                remove(&journal, &objects);
                left.fetch_sub(1, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("journal-remove".into()).spawn(body)?;
        Ok(Remover { send: Some(send), pending, thread: Some(thread) })
    }

    /// Removes them soon. What cannot be removed is left to the next run.
    pub(super) fn remove(&self, objects: Vec<String>) {
        self.pending.fetch_add(1, Ordering::Release);
        let sent = self.send.as_ref().is_some_and(|send| send.send(objects).is_ok());
        if !sent {
            self.pending.fetch_sub(1, Ordering::Release);
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }
}

fn remove(journal: &Journal, objects: &[String]) {
    fail::fail_point!("merge-remove-before");
    if let Err(error) = journal.store().remove(objects) {
        tracing::warn!(%error, objects = objects.len(), "objects of no use are left to the next run");
    }
    fail::fail_point!("merge-remove-after");
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
