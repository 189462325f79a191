//! The dataflow shell of a sink: feeds a writer thread, epoch by epoch, and acknowledges what is durable.
//!
//! | file | what it owns |
//! |---|---|
//! | this one | the operator: frontiers and the capability |
//! | `stage` | what a worker's part of the operator holds |
//! | `feed` | which changes go to the thread, and when |
//! | `inbox` | jobs on their way to the thread, which can be taken back |
//! | `thread` | the thread that writes |
//! | `progress` | how far the store is, for whoever records it |

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use fail::fail_point;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;

use self::feed::Feed;
use self::inbox::inbox;
use self::stage::Stage;
use self::thread::WriterThread;
use super::finals::FinalSince;
use super::gauge::Gauges;
use super::lag::{Detach, Lag, Patience};
use super::metrics::SinkMetrics;
use super::{Change, Never, Reveal, SinkError, Start, Writer};

mod feed;
mod inbox;
mod progress;
mod stage;
#[cfg(test)]
mod tests;
mod thread;

pub use progress::{Progress, SinkProgress};

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
    /// Where the sink begins; as for its gate.
    pub start: Start,
    /// Since when the store holds what the state does not: a fill then leaves it as it is.
    pub finals: FinalSince,
    /// When the sink is given up because it does not keep up; never, if there is none.
    pub patience: Option<Patience>,
    /// Count what waits for the writer's thread and in it.
    pub gauges: Gauges,
    /// Told how far the store is, if it has one writer in all.
    pub progress: Arc<SinkProgress>,
    /// What was written.
    pub metrics: Arc<SinkMetrics>,
    /// Told if the store fails; nothing is written after that.
    pub on_error: Box<dyn FnOnce(SinkError) + Send>,
}

/// What a sink puts out.
pub struct Written<'scope> {
    /// The acknowledgements: without data, the frontier is the sink's upper. For those that wait for it (`after:`): of a sink
    /// that was detached it stands still for ever.
    pub upper: StreamVec<'scope, u64, Never>,
    /// The same for those that want to know what is still to come: nothing is, of a sink that was detached.
    pub settled: StreamVec<'scope, u64, Never>,
    /// One message if the sink has lost its patience. It goes on as before until it is told.
    pub late: StreamVec<'scope, u64, Detach>,
}

/// Writes the released changes.
///
/// The fill of [`Start::Fill`] and [`Start::FillAtReveal`] ends with a sweep, also if it is empty; no other epoch does. Only
/// [`Start::FillAtReveal`] reads `reveals`, which then brings its message to each worker, or ends without one: then
/// nothing is written.
///
/// `detaches` brings a message to each worker if the sink gets nothing more in this run. Everything that it was given and has
/// not begun is dropped then; its thread may hang in the store for as long as it likes, nobody waits for it.
pub fn write<'scope>(
    changes: StreamVec<'scope, u64, Change>,
    reveals: StreamVec<'scope, u64, Reveal>,
    detaches: Option<StreamVec<'scope, u64, Detach>>,
    mut shell: Shell,
    placement: Placement,
) -> Written<'scope> {
    let (changes, writer) = match placement {
        Placement::Single(writer) => (changes.exchange(|_| 0), writer),
        Placement::EveryWorker(writer) => {
            // Each writer has an upper of its own; that of all of them only the acknowledgements know.
            shell.progress = Arc::default();
            (changes, Some(writer))
        }
    };
    let scope = changes.scope();
    let mut builder = OperatorBuilder::new(format!("Sink {}", shell.name), scope);
    let address = builder.operator_info().address;
    let mut input = builder.new_input(changes, Pipeline);
    // Unless it is awaited, the reveal must not hold the sink back.
    let mut reveals = (shell.start == Start::FillAtReveal).then(|| builder.new_input(reveals, Pipeline));
    let (_upper, upper) = builder.new_output::<Vec<Never>>();
    // Not connected to the input, whose frontier stands still for ever if the sink waits for one that was detached.
    let (_settled, settled) = builder.new_output_connection::<Vec<Never>, _>(std::iter::empty());
    let (late, late_stream) = builder.new_output_connection(std::iter::empty());
    let mut late = OutputBuilder::<_, CapacityContainerBuilder<Vec<Detach>>>::from(late);
    // Not connected to the outputs: it says nothing about epochs.
    let mut detaches = detaches.map(|stream| builder.new_input_connection(stream, Pipeline, std::iter::empty()));
    let activator = scope.worker().sync_activator_for(address.to_vec());
    let timer = scope.activator_for(address);
    let (name, given_up) = (shell.name.clone(), given_up(&shell));
    let detach = shell.patience.as_ref().map(|patience| patience.detach.clone());
    let feed = writer.map(|writer| start(writer, shell, activator));

    builder.build(move |capabilities| {
        let mut stage = Stage::new(feed, capabilities);
        let mut detach = detach;
        move |frontiers| {
            let mut told = false;
            detaches.iter_mut().for_each(|detaches| detaches.for_each(|_, _| told = true));
            if told {
                fail_point!("sink-detach");
                given_up();
                stage.detach();
            }
            input.for_each_time(|time, data| {
                data.for_each(|changes| stage.take(*time.time(), std::mem::take(changes)));
            });
            let mut revealed = None;
            if let Some(reveals) = &mut reveals {
                reveals.for_each(|time, _| revealed = Some(*time.time()));
            }
            let reveal = reveals.as_ref().and_then(|_| least(&frontiers[1]));
            stage.advance(least(&frontiers[0]), revealed, reveal);
            if let Some((stood, capability)) = detach.as_ref().and_then(|_| stage.is_late(Instant::now(), &timer)) {
                tracing::warn!(
                    "sink {name:?} has stood still for {} s although sealed epochs wait for it: it is given up",
                    stood.as_secs()
                );
                late.activate().session(capability).give_iterator(detach.take().into_iter());
            }
        }
    });
    Written { upper, settled, late: late_stream }
}

/// Says, once a process, that the sink gets nothing more.
fn given_up(shell: &Shell) -> impl Fn() + 'static {
    let (name, metrics) = (shell.name.clone(), shell.metrics.clone());
    let next = match shell.start {
        Start::Stream { .. } => "goes on where it is, the state keeps its rows",
        Start::Resume { .. } | Start::Fill { .. } | Start::FillAtReveal => "fills it again",
    };
    move || {
        if !metrics.detached.swap(true, Relaxed) {
            tracing::warn!("sink {name:?} is detached: this run writes nothing to it any more, the next one {next}");
        }
    }
}

fn least(frontier: &MutableAntichain<u64>) -> Option<u64> {
    frontier.frontier().first().copied()
}

/// Starts the thread of a writer.
fn start(writer: Box<dyn Writer>, shell: Shell, activator: SyncActivator) -> Feed {
    let Shell { name, start, finals, patience, gauges, progress, metrics, on_error } = shell;
    let (jobs, inbox) = inbox();
    // What an opened store says of itself is known at once.
    progress.publish(writer.durable_upper(), || writer.mark());
    let lag = patience.map(|patience| Lag::new(patience.limit));
    let feed = Feed::new(start, finals, jobs, lag, gauges, progress.clone(), metrics.clone());
    let thread = WriterThread { name: name.clone(), writer, progress, activator, metrics, on_error };
    std::thread::Builder::new()
        .name(format!("sink {name}"))
        .spawn(move || thread.run(&inbox))
        .expect("the system can start a thread");
    feed
}
