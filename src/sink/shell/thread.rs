//! The thread that writes: does the jobs in their order, and says how far the store is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use fail::fail_point;
use timely::scheduling::SyncActivator;

use super::progress::SinkProgress;
use crate::sink::gauge::Held;
use crate::sink::metrics::SinkMetrics;
use crate::sink::{Change, SinkError, Sweep, Writer};

/// What a writer is told.
pub(super) enum Job {
    /// A share of an epoch's changes, and what they are counted as until they are written.
    Write(u64, Vec<Change>, [Held; 2]),
    Close(u64, Sweep),
    Finish,
}

pub(super) struct WriterThread {
    pub(super) writer: Box<dyn Writer>,
    pub(super) progress: Arc<SinkProgress>,
    pub(super) activator: SyncActivator,
    pub(super) metrics: Arc<SinkMetrics>,
    pub(super) on_error: Box<dyn FnOnce(SinkError) + Send>,
}

impl WriterThread {
    pub(super) fn run(mut self, inbox: &Receiver<Job>) {
        let result = self.work(inbox);
        let WriterThread { writer, progress, activator, on_error, .. } = self;
        // Before anybody hears of it: the next run may open the store at once.
        drop(writer);
        match result {
            Ok(true) => progress.finish(),
            Ok(false) => (),
            Err(error) => on_error(error),
        }
        // An error means that the worker is gone, and there is nobody to tell.
        let _ = activator.activate();
    }

    /// Does the jobs; says whether the store was finished.
    fn work(&mut self, inbox: &Receiver<Job>) -> Result<bool, SinkError> {
        let mut open = None;
        loop {
            let job = match inbox.try_recv() {
                Ok(job) => Ok(job),
                Err(_) => {
                    let delay = self.writer.idle()?;
                    self.publish();
                    match delay {
                        None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                        Some(delay) => inbox.recv_timeout(delay),
                    }
                }
            };
            match job {
                Ok(Job::Write(epoch, changes, held)) => {
                    let is_first = open.replace(epoch).is_none();
                    if is_first {
                        fail_point!("sink-before");
                    }
                    if !is_first {
                        fail_point!("sink-mid");
                    }
                    self.write(epoch, changes)?;
                    drop(held);
                }
                Ok(Job::Close(epoch, sweep)) => {
                    self.writer.close(epoch, sweep)?;
                    open = None;
                }
                Ok(Job::Finish) => {
                    self.writer.finish()?;
                    self.publish();
                    return Ok(true);
                }
                Err(RecvTimeoutError::Timeout) => (),
                // The dataflow was dropped: the run was abandoned, and what is not closed must not be made durable.
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            self.publish();
        }
    }

    fn write(&mut self, epoch: u64, mut changes: Vec<Change>) -> Result<(), SinkError> {
        let deletes = changes.iter().filter(|c| matches!(c, Change::Delete(_))).count() as u64;
        let upserts = changes.len() as u64 - deletes;
        self.writer.write(epoch, &mut changes)?;
        self.metrics.deletes.fetch_add(deletes, Relaxed);
        self.metrics.upserts.fetch_add(upserts, Relaxed);
        Ok(())
    }

    /// Publish, *then* wake: the other way round is a lost wake-up. Also when nothing is new: there is room for jobs.
    fn publish(&self) {
        self.progress.publish(self.writer.durable_upper(), || self.writer.mark());
        let _ = self.activator.activate();
    }
}
