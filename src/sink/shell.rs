//! The dataflow shell of a sink: feeds a writer thread, epoch by epoch, and acknowledges what is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::SyncActivator;

use super::metrics::SinkMetrics;
use super::{Change, Never, SinkError, Sweep, Writer};

/// Jobs that may wait for the writer thread; each is a buffer of the dataflow.
const JOBS: usize = 64;

/// The upper of a sink whose writer has finished and is gone: nothing will follow, and nobody holds the store any more.
pub const FINISHED: u64 = u64::MAX;

/// Where the writers of a sink are.
pub enum Placement {
    /// One writer in all, on worker 0; `Some` there.
    Single(Option<Box<dyn Writer>>),
    /// One writer on each worker.
    EveryWorker(Box<dyn Writer>),
}

/// What is the same for all workers of a sink.
pub struct Shell {
    /// The sink's name.
    pub name: String,
    /// The epoch that writes the whole content, and ends with a sweep.
    pub fill: u64,
    /// What was written.
    pub metrics: Arc<SinkMetrics>,
    /// Told if the store fails; nothing is written after that.
    pub on_error: Box<dyn FnOnce(SinkError) + Send>,
}

enum Job {
    Write(u64, Vec<Change>),
    Close(u64, Sweep),
    Finish,
}

/// Writes the released changes. Returns the acknowledgements: an empty stream whose frontier is the sink's upper.
pub fn write<'scope>(
    changes: StreamVec<'scope, u64, Change>,
    shell: Shell,
    placement: Placement,
) -> StreamVec<'scope, u64, Never> {
    let (changes, writer) = match placement {
        Placement::Single(writer) => (changes.exchange(|_| 0), writer),
        Placement::EveryWorker(writer) => (changes, Some(writer)),
    };
    let scope = changes.scope();
    let mut builder = OperatorBuilder::new(format!("Sink {}", shell.name), scope);
    let address = builder.operator_info().address;
    let mut input = builder.new_input(changes, Pipeline);
    let (_acks, ack_stream) = builder.new_output::<Vec<Never>>();
    let activator = scope.worker().sync_activator_for(address.to_vec());
    let mut feed = writer.map(|writer| Feed::start(writer, shell, activator));

    builder.build(move |mut capabilities| {
        // Other workers have nothing to say.
        let mut capability = feed.as_ref().and_then(|_| capabilities.pop());
        move |frontiers| {
            input.for_each_time(|time, data| {
                let feed = feed.as_mut().expect("changes are routed to a worker with a writer");
                data.for_each(|changes| feed.take(*time.time(), std::mem::take(changes)));
            });
            let (Some(feed), Some(held)) = (&mut feed, &mut capability) else { return };
            match feed.advance(frontiers[0].frontier().first().copied()) {
                FINISHED => capability = None,
                upper if upper > *held.time() => held.downgrade(&upper),
                _ => (),
            }
        }
    });
    ack_stream
}

/// What is on its way to the writer thread.
struct Feed {
    /// Changes of epochs whose turn has not come.
    waiting: BTreeMap<u64, Vec<Vec<Change>>>,
    /// Jobs that the channel had no room for.
    outbox: VecDeque<Job>,
    jobs: SyncSender<Job>,
    /// Epochs that were closed and are not known to be durable.
    unacknowledged: VecDeque<u64>,
    durable_upper: Arc<AtomicU64>,
    /// Set once the fill has been closed.
    filled: bool,
    finishing: bool,
    fill: u64,
    metrics: Arc<SinkMetrics>,
}

impl Feed {
    fn start(writer: Box<dyn Writer>, shell: Shell, activator: SyncActivator) -> Self {
        let (jobs, inbox) = sync_channel(JOBS);
        let durable_upper = Arc::new(AtomicU64::new(0));
        let Shell { name, fill, metrics, on_error } = shell;
        let wake = Wake { durable_upper: durable_upper.clone(), activator };
        let thread = WriterThread { writer, wake, metrics: metrics.clone(), on_error };
        std::thread::Builder::new()
            .name(format!("sink {name}"))
            .spawn(move || thread.run(&inbox))
            .expect("the system can start a thread");
        Feed {
            waiting: BTreeMap::new(),
            outbox: VecDeque::new(),
            jobs,
            unacknowledged: VecDeque::new(),
            durable_upper,
            filled: false,
            finishing: false,
            fill,
            metrics,
        }
    }

    fn take(&mut self, epoch: u64, changes: Vec<Change>) {
        self.waiting.entry(epoch).or_default().push(changes);
    }

    /// Hands on what may go; returns the sink's upper. No epoch before `frontier` will change any more.
    fn advance(&mut self, frontier: Option<u64>) -> u64 {
        let complete = |epoch: u64| frontier.is_none_or(|frontier| epoch < frontier);
        if !self.filled && complete(self.fill) {
            // An empty fill sweeps too.
            self.waiting.entry(self.fill).or_default();
        }
        while let Some(mut entry) = self.waiting.first_entry() {
            let epoch = *entry.key();
            // The least epoch may be written before it is complete, if nothing can come before it; later ones wait.
            if !complete(epoch) && frontier != Some(epoch) {
                break;
            }
            for changes in std::mem::take(entry.get_mut()) {
                self.outbox.push_back(Job::Write(epoch, changes));
            }
            if !complete(epoch) {
                break;
            }
            entry.remove();
            let sweep = if epoch == self.fill { Sweep::Older } else { Sweep::Keep };
            self.filled |= epoch == self.fill;
            self.outbox.push_back(Job::Close(epoch, sweep));
            self.unacknowledged.push_back(epoch);
        }
        if frontier.is_none() && !self.finishing {
            self.finishing = true;
            self.outbox.push_back(Job::Finish);
        }
        self.send();
        let durable_upper = self.durable_upper.load(Ordering::Acquire);
        while self.unacknowledged.pop_front_if(|epoch| *epoch < durable_upper).is_some() {}
        self.metrics.upper.store(durable_upper, Ordering::Relaxed);
        self.unacknowledged.front().copied().or(frontier).unwrap_or(durable_upper)
    }

    fn send(&mut self) {
        while let Some(job) = self.outbox.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => (),
                Err(TrySendError::Full(job)) => {
                    self.outbox.push_front(job);
                    return;
                }
                // The thread has failed and said so; the run is about to end.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

struct WriterThread {
    writer: Box<dyn Writer>,
    wake: Wake,
    metrics: Arc<SinkMetrics>,
    on_error: Box<dyn FnOnce(SinkError) + Send>,
}

/// Tells the dataflow how far the store is.
struct Wake {
    durable_upper: Arc<AtomicU64>,
    activator: SyncActivator,
}

impl Wake {
    /// Publish, *then* wake: the other way round is a lost wake-up.
    fn publish(&self, upper: u64) {
        self.durable_upper.store(upper, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // An error means that the worker is gone, and there is nobody to tell.
        let _ = self.activator.activate();
    }
}

impl WriterThread {
    fn run(self, inbox: &Receiver<Job>) {
        let WriterThread { mut writer, wake, metrics, on_error } = self;
        let result = work(writer.as_mut(), inbox, &wake, &metrics);
        // Before anybody hears of it: the next run may open the store at once.
        drop(writer);
        match result {
            Ok(true) => wake.publish(FINISHED),
            Ok(false) => (),
            Err(error) => {
                on_error(error);
                wake.wake();
            }
        }
    }
}

/// Does the jobs; says whether the store was finished.
fn work(writer: &mut dyn Writer, inbox: &Receiver<Job>, wake: &Wake, metrics: &SinkMetrics) -> Result<bool, SinkError> {
    loop {
        let job = match inbox.try_recv() {
            Ok(job) => Ok(job),
            Err(_) => {
                let delay = writer.idle()?;
                wake.publish(writer.durable_upper());
                match delay {
                    None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(delay) => inbox.recv_timeout(delay),
                }
            }
        };
        match job {
            Ok(Job::Write(epoch, mut changes)) => {
                let deletes = changes.iter().filter(|c| matches!(c, Change::Delete(_))).count() as u64;
                let upserts = changes.len() as u64 - deletes;
                writer.write(epoch, &mut changes)?;
                metrics.deletes.fetch_add(deletes, Ordering::Relaxed);
                metrics.upserts.fetch_add(upserts, Ordering::Relaxed);
            }
            Ok(Job::Close(epoch, sweep)) => writer.close(epoch, sweep)?,
            Ok(Job::Finish) => {
                writer.finish()?;
                return Ok(true);
            }
            Err(RecvTimeoutError::Timeout) => (),
            // The dataflow was dropped: the run was abandoned, and what is not closed must not be made durable.
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        wake.publish(writer.durable_upper());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use timely::dataflow::operators::{Input, Probe};

    use std::time::Duration;

    use super::*;

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
                    fill: 5,
                    metrics: counted,
                    on_error: Box::new(|error| panic!("{error}")),
                };
                let writer = Box::new(Slow { upper: 0, gone });
                let acks = write(changes, shell, Placement::Single(Some(writer)));
                (input, acks.probe().0)
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
}
