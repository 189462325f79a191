//! The gate in front of every sink: whole epochs, in order, one change a key.
//!
//! | file | what it owns |
//! |---|---|
//! | this one | the operator: frontiers, capabilities, fuel |
//! | `gathering` | which changes count at which epoch, and what waits |
//! | `net` | what the changes of an epoch come to |

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use self::gathering::Gathering;
use self::net::{Before, Released};
use super::gauge::Gauge;
use super::lag::Detach;
use super::{Change, Never, Reveal, Start};
use crate::record::RowDiff;

mod gathering;
mod net;
#[cfg(test)]
mod tests;

type Output = OutputBuilder<u64, CapacityContainerBuilder<Vec<Change>>>;

/// So many changes are released before other operators get their turn.
const FUEL: usize = 1 << 16;

/// What a gate lets pass.
pub struct Passage<'a> {
    /// Where the sink begins.
    pub start: Start,
    /// The sink's name.
    pub name: &'a str,
    /// Whether a row that replaces another brings it: [`Change::Replace`] in the place of [`Change::Upsert`]. A fill replaces
    /// nothing.
    pub with_before: bool,
    /// Counts what is held.
    pub waiting: Arc<Gauge>,
}

/// Holds the changes of `rows` back until `release` has passed their epoch; then puts the epoch out, consolidated.
///
/// Of `release` only the frontier counts: what is sealed, or another sink's acknowledgements (`after:`). Only
/// [`Start::FillAtReveal`] reads `reveals`, which then brings its message to each worker, or ends without one: nothing was to
/// be revealed, and nothing is put out. All changes of a key must be on one worker, which tables and operators see to.
///
/// A fill that takes in earlier epochs is gathered until its own is complete: a row may still be taken back, and no store
/// could take back what it was given. One of rows that are all of its own epoch, such as that of an archive, passes as it
/// comes once it may be seen.
///
/// `detaches` brings a message to each worker if the sink gets nothing more in this run: what waits is dropped, and so is
/// what comes.
pub fn gate<'scope>(
    rows: StreamVec<'scope, u64, RowDiff>,
    release: StreamVec<'scope, u64, Never>,
    reveals: StreamVec<'scope, u64, Reveal>,
    detaches: Option<StreamVec<'scope, u64, Detach>>,
    passage: Passage<'_>,
) -> StreamVec<'scope, u64, Change> {
    let Passage { start, name, with_before, waiting } = passage;
    let before = if with_before { Before::Told } else { Before::Left };
    let scope = rows.scope();
    let mut builder = OperatorBuilder::new(format!("Gate {name}"), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut rows = builder.new_input(rows, Pipeline);
    let mut release = builder.new_input(release, Pipeline);
    // Unless it is awaited, the reveal must not hold the sink back.
    let mut reveals = (start == Start::FillAtReveal).then(|| builder.new_input(reveals, Pipeline));
    let (output, changes) = builder.new_output();
    let mut output = Output::from(output);
    // Not connected to the output: it says nothing about epochs.
    let mut detaches = detaches.map(|stream| builder.new_input_connection(stream, Pipeline, std::iter::empty()));

    builder.build(move |_| {
        let mut gathering = Gathering::new(start, before, waiting);
        // One for each epoch at which something waits.
        let mut capabilities: BTreeMap<u64, Capability<u64>> = BTreeMap::new();
        let mut released: VecDeque<(Capability<u64>, Released)> = VecDeque::new();
        let mut detached = false;
        move |frontiers| {
            detaches.iter_mut().for_each(|detaches| detaches.for_each(|_, _| detached = true));
            if detached {
                gathering.forget();
                capabilities.clear();
                released.clear();
            }
            rows.for_each_time(|time, data| {
                for changes in data.map(std::mem::take) {
                    gathering.take(changes, |epoch| {
                        capabilities.entry(epoch).or_insert_with(|| time.delayed(&epoch, 0));
                    });
                }
            });
            release.for_each(|_, _| ());
            if let Some(reveals) = &mut reveals {
                reveals.for_each(|time, _| {
                    let at = *time.time();
                    if !detached {
                        gathering.reveal(at);
                        gather_at(&mut capabilities, at);
                    }
                });
                if gathering.awaits_reveal() && frontiers[2].is_empty() {
                    gathering.forget();
                    capabilities.clear();
                }
            }
            let is_due = |epoch: u64| !frontiers[0].less_equal(&epoch) && !frontiers[1].less_equal(&epoch);
            while let Some((epoch, buffers)) = gathering.release(is_due) {
                let capability = capabilities.remove(&epoch).expect("one is held for each epoch that waits");
                released.push_back((capability, buffers));
            }
            let may_begin = |epoch: u64| !frontiers[0].less_than(&epoch) && !frontiers[1].less_equal(&epoch);
            if let Some((epoch, buffers)) = gathering.pass(may_begin) {
                released.push_back((capabilities[&epoch].clone(), buffers));
            }
            if !put_out(&mut released, &mut output) {
                activator.activate();
            }
        }
    });
    changes
}

/// Puts out what is released, as far as the fuel goes; says whether that was all.
fn put_out(released: &mut VecDeque<(Capability<u64>, Released)>, output: &mut Output) -> bool {
    let mut output = output.activate();
    let mut fuel = FUEL;
    while let Some((capability, buffers)) = released.front_mut() {
        for (mut changes, _held) in buffers {
            fuel = fuel.saturating_sub(changes.len());
            output.session(&*capability).give_container(&mut changes);
            if fuel == 0 {
                return false;
            }
        }
        released.pop_front();
    }
    true
}

/// Those of earlier epochs become one of `at`.
fn gather_at(capabilities: &mut BTreeMap<u64, Capability<u64>>, at: u64) {
    let later = capabilities.split_off(&at);
    let earlier = std::mem::replace(capabilities, later);
    if let Some(capability) = earlier.into_values().next() {
        capabilities.entry(at).or_insert_with(|| capability.delayed(&at));
    }
}
