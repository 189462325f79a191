//! The thread that writes: does the jobs in their order, and says how far the store is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fail::fail_point;
use timely::scheduling::SyncActivator;

use super::inbox::{Inbox, Job, Next};
use super::progress::SinkProgress;
use crate::sink::metrics::SinkMetrics;
use crate::sink::{Change, SinkError, Writer};

pub(super) struct WriterThread {
    /// The sink's name.
    pub(super) name: String,
    pub(super) writer: Box<dyn Writer>,
    pub(super) progress: Arc<SinkProgress>,
    pub(super) activator: SyncActivator,
    pub(super) metrics: Arc<SinkMetrics>,
    pub(super) on_error: Box<dyn FnOnce(SinkError) + Send>,
}

impl WriterThread {
    pub(super) fn run(mut self, inbox: &Inbox) {
        let result = self.work(inbox);
        let WriterThread { name, writer, progress, activator, on_error, .. } = self;
        // Before anybody hears of it: the next run may open the store at once.
        drop(writer);
        match result {
            Ok(true) => progress.finish(),
            Ok(false) => (),
            // The run goes on without the sink, or is over.
            Err(error) if inbox.is_abandoned() => {
                tracing::warn!("the store of sink {name:?}, which nothing was written to any more, failed: {error}");
            }
            Err(error) => on_error(error),
        }
        // An error means that the worker is gone, and there is nobody to tell.
        let _ = activator.activate();
    }

    /// Does the jobs; says whether the store was finished.
    fn work(&mut self, inbox: &Inbox) -> Result<bool, SinkError> {
        let mut open = None;
        loop {
            let next = match inbox.look() {
                Next::Nothing => {
                    let delay = self.writer.idle()?;
                    self.publish();
                    inbox.wait(delay)
                }
                next => next,
            };
            match next {
                Next::Job(Job::Write(epoch, changes)) => {
                    let is_first = open.replace(epoch).is_none();
                    if is_first {
                        fail_point!("sink-before");
                    }
                    if !is_first {
                        fail_point!("sink-mid");
                    }
                    self.write(epoch, changes)?;
                }
                Next::Job(Job::Close(epoch, sweep)) => {
                    self.writer.close(epoch, sweep)?;
                    open = None;
                }
                Next::Job(Job::Finish) => {
                    self.writer.finish()?;
                    self.publish();
                    return Ok(true);
                }
                Next::Nothing => (),
                // The run gave the sink up, or was abandoned: what is not closed must not be made durable.
                Next::Abandoned => return Ok(false),
            }
            inbox.done();
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
