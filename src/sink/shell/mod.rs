//! The dataflow shell of a sink: feeds a writer thread, epoch by epoch, and acknowledges what is durable.
//!
//! | file | what it owns |
//! |---|---|
//! | this one | the operator: frontiers and the capability |
//! | `feed` | which changes go to the thread, and when |
//! | `thread` | the thread that writes |
//! | `progress` | how far the store is, for whoever records it |

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;

use self::feed::Feed;
use self::thread::WriterThread;
use super::gauge::Gauges;
use super::metrics::SinkMetrics;
use super::{Change, Never, Reveal, SinkError, Start, Writer};

mod feed;
mod progress;
#[cfg(test)]
mod tests;
mod thread;

pub use progress::{Progress, SinkProgress};

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
    /// Where the sink begins; as for its gate.
    pub start: Start,
    /// Count what waits for the writer's thread and in it.
    pub gauges: Gauges,
    /// Told how far the store is, if it has one writer in all.
    pub progress: Arc<SinkProgress>,
    /// What was written.
    pub metrics: Arc<SinkMetrics>,
    /// Told if the store fails; nothing is written after that.
    pub on_error: Box<dyn FnOnce(SinkError) + Send>,
}

/// Writes the released changes. Returns the acknowledgements: an empty stream whose frontier is the sink's upper.
///
/// The fill of [`Start::Fill`] and [`Start::FillAtReveal`] ends with a sweep, also if it is empty; no other epoch does. Only
/// [`Start::FillAtReveal`] reads `reveals`, which then brings its message to each worker, or ends without one: then
/// nothing is written.
pub fn write<'scope>(
    changes: StreamVec<'scope, u64, Change>,
    reveals: StreamVec<'scope, u64, Reveal>,
    mut shell: Shell,
    placement: Placement,
) -> StreamVec<'scope, u64, Never> {
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
    let (_acks, ack_stream) = builder.new_output::<Vec<Never>>();
    let activator = scope.worker().sync_activator_for(address.to_vec());
    let mut feed = writer.map(|writer| start(writer, shell, activator));

    builder.build(move |mut capabilities| {
        // Other workers have nothing to say.
        let mut capability = feed.as_ref().and_then(|_| capabilities.pop());
        move |frontiers| {
            input.for_each_time(|time, data| {
                let feed = feed.as_mut().expect("changes are routed to a worker with a writer");
                data.for_each(|changes| feed.take(*time.time(), std::mem::take(changes)));
            });
            let mut revealed = None;
            if let Some(reveals) = &mut reveals {
                reveals.for_each(|time, _| revealed = Some(*time.time()));
            }
            let (Some(feed), Some(held)) = (&mut feed, &mut capability) else { return };
            if let Some(at) = revealed {
                feed.reveal(at);
            }
            let mut frontier = least(&frontiers[0]);
            if feed.awaits_reveal() {
                match least(&frontiers[1]) {
                    // The gate may know already, and have let the fill pass.
                    Some(reveal) => frontier = Some(frontier.map_or(reveal, |frontier| frontier.min(reveal))),
                    None => feed.forget(),
                }
            }
            match feed.advance(frontier) {
                FINISHED => capability = None,
                upper if upper > *held.time() => held.downgrade(&upper),
                _ => (),
            }
        }
    });
    ack_stream
}

fn least(frontier: &MutableAntichain<u64>) -> Option<u64> {
    frontier.frontier().first().copied()
}

/// Starts the thread of a writer.
fn start(writer: Box<dyn Writer>, shell: Shell, activator: SyncActivator) -> Feed {
    let Shell { name, start, gauges, progress, metrics, on_error } = shell;
    let (jobs, inbox) = sync_channel(JOBS);
    // What an opened store says of itself is known at once.
    progress.publish(writer.durable_upper(), || writer.mark());
    let feed = Feed::new(start, jobs, gauges, progress.clone(), metrics.clone());
    let thread = WriterThread { writer, progress, activator, metrics, on_error };
    std::thread::Builder::new()
        .name(format!("sink {name}"))
        .spawn(move || thread.run(&inbox))
        .expect("the system can start a thread");
    feed
}
