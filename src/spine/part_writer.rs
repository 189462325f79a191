//! Each worker's share of an epoch becomes a part.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Receiver;

use flowstone_journal::{Journal, JournalError, NewPart, PartBuilder};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::helper::{Helper, Reply};
use super::row::{self, Change, Letters, estimated_bytes};
use crate::source::messages::Binding;

/// Shares of an epoch below this size travel inside the manifest's entry: a file of their own would cost more.
const INLINE_BYTES: usize = 16 << 10;

/// One file takes in the shares of several epochs, if they wait, up to about this size.
const PART_BYTES: usize = 16 << 20;

/// What one worker contributes to the seal of an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// How far the worker's partitions are.
    pub bindings: Vec<Binding>,
    /// Where its table changes are. A part may hold several epochs, and they need not be sealed by the same entry (another
    /// worker may be behind): each epoch refers to its own range of the part.
    pub part: Option<NewPart>,
}

/// What the writer must know.
pub struct PartWriter {
    /// Where parts go.
    pub journal: Journal,
    /// The number of the run, unique for ever: part names begin with it.
    pub run: u64,
    /// Told if the journal fails; nothing is sealed after that.
    pub on_error: Box<dyn FnOnce(JournalError) + Send>,
}

/// Writes the worker's table changes of each complete epoch as a part, and passes its share on to the committer.
///
/// Holds a capability at an epoch from the first change or binding in it until the part is durable. An epoch with
/// neither costs nothing.
pub fn part_writer<'scope>(
    changes: StreamVec<'scope, u64, Change>,
    bindings: StreamVec<'scope, u64, Binding>,
    writer: PartWriter,
) -> StreamVec<'scope, u64, Share> {
    let scope = changes.scope();
    let mut builder = OperatorBuilder::new("PartWriter".to_owned(), scope);
    let address = builder.operator_info().address;
    let mut changes = builder.new_input(changes, Pipeline);
    let mut bindings = builder.new_input(bindings, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Share>>>::from(output);
    let prefix = format!("{}-{}", writer.run, scope.index());
    let helper = Helper::spawn(scope, &address, "parts", move |jobs, reply| {
        let PartWriter { journal, on_error, .. } = writer;
        if let Err(error) = (Writing { journal, prefix, number: 0 }).work(jobs, reply) {
            on_error(error);
            reply.wake();
        }
    });

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open = BTreeMap::<u64, (Capability<u64>, Vec<Vec<Change>>, Vec<Binding>)>::new();
        let mut writing = VecDeque::new();
        move |frontiers| {
            changes.for_each_time(|time, data| {
                let new = || (time.retain(0), Vec::new(), Vec::new());
                let (_, changes, _) = open.entry(*time.time()).or_insert_with(new);
                data.for_each(|d| changes.push(std::mem::take(d)));
            });
            bindings.for_each_time(|time, data| {
                let new = || (time.retain(0), Vec::new(), Vec::new());
                let (_, _, bindings) = open.entry(*time.time()).or_insert_with(new);
                data.for_each(|d| bindings.append(d));
            });
            while let Some(entry) = open.first_entry().filter(|e| !frontiers.iter().any(|f| f.less_equal(e.key()))) {
                let (epoch, (capability, changes, bindings)) = entry.remove_entry();
                writing.push_back((capability, bindings));
                helper.start((epoch, changes));
            }
            let mut output = output.activate();
            while let Some(part) = helper.finished() {
                let (capability, bindings) = writing.pop_front().expect("one answer a job");
                output.session(&capability).give(Share { bindings, part });
            }
        }
    });
    stream
}

type Job = (u64, Vec<Vec<Change>>);

/// The thread's state.
struct Writing {
    journal: Journal,
    prefix: String,
    number: u64,
}

impl Writing {
    /// Writes everything that waits as one file, so that a slow disk meets larger parts instead of more.
    fn work(&mut self, jobs: &Receiver<Job>, reply: &Reply<Option<NewPart>>) -> Result<(), JournalError> {
        let size = |(_, changes): &Job| changes.iter().flatten().map(estimated_bytes).sum::<usize>();
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
            let bytes = size(&job);
            if bytes <= inline_bytes() {
                let job = std::slice::from_ref(&job);
                let letters = Letters::of(changes_of(job));
                let part = part_of(job, &letters);
                reply.send((!part.is_empty()).then(|| part.finish().inline()));
                continue;
            }
            let (mut group, mut total) = (vec![job], bytes);
            while total < PART_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                let bytes = size(&job);
                if bytes <= inline_bytes() {
                    next = Some(job);
                    break;
                }
                total += bytes;
                group.push(job);
            }
            let name = format!("{}-{}", self.prefix, self.number);
            self.number += 1;
            let letters = Letters::of(changes_of(&group));
            let stored = self.journal.store_part(&name, part_of(&group, &letters))?.expect("there are changes");
            group.iter().for_each(|_| reply.send(Some(stored.clone())));
        }
        Ok(())
    }
}

fn inline_bytes() -> usize {
    fail::fail_point!("part-inline", |_| 0);
    INLINE_BYTES
}

fn changes_of(jobs: &[Job]) -> impl Iterator<Item = (u64, &Change)> {
    jobs.iter().flat_map(|(epoch, changes)| changes.iter().flatten().map(|change| (*epoch, change)))
}

/// A part of the changes that `letters` were made of.
fn part_of<'a>(jobs: &'a [Job], letters: &'a Letters) -> PartBuilder<'a> {
    let mut part = PartBuilder::with_capacity(jobs.iter().flat_map(|(_, changes)| changes).map(Vec::len).sum());
    let mut letters = letters.iter();
    changes_of(jobs).for_each(|(epoch, change)| row::add(&mut part, epoch, change, &mut letters));
    part
}
