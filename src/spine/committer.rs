//! The entries of the manifest, and the sealed frontier.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use flowstone_journal::{Entry, JournalError, Keeper, SinkState};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use super::helper::{Helper, Reply};
use super::part_writer::Share;
use super::seals::{Acknowledged, Seals};
use crate::sink::lag::Detach;
use crate::sink::shell::SinkProgress;
use crate::sink::{Never, Reveal};

/// Uppers of sinks alone are recorded no more often than this: they only shorten the next run's replay.
const RECORD_DELAY: Duration = Duration::from_millis(200);

/// The committer's end of the journal; `Some` on worker 0.
pub struct Commit {
    /// Appends entries.
    pub keeper: Keeper,
    /// Gives the partitions that were found since it was last called: their names are recorded before their bindings.
    pub found: Box<dyn FnMut() -> Vec<(u16, u32, String)> + Send>,
    /// Told if the journal fails, or belongs to another run now; nothing is sealed after that.
    pub on_error: Box<dyn FnOnce(JournalError) + Send>,
    /// How far the sinks' stores are, by the sinks' names.
    pub progress: BTreeMap<String, Arc<SinkProgress>>,
    /// Which sinks are of streams: they can not be filled.
    pub streams: BTreeSet<String>,
    /// The system's clock, in milliseconds since 1970.
    pub unix_ms: fn() -> u64,
}

/// What the committer puts out: streams without data.
pub struct Committed<'scope> {
    /// Its frontier is the sealed frontier.
    pub sealed: StreamVec<'scope, u64, Never>,
    /// Its frontier becomes empty when everything is sealed, acknowledged by all sinks, and recorded as such.
    pub recorded: StreamVec<'scope, u64, Never>,
    /// On worker 0: the sinks that are given up, once that is recorded and they may drop what they hold.
    pub detached: StreamVec<'scope, u64, Detach>,
}

/// What the committer reads.
pub struct Committing<'scope> {
    /// What each worker contributes.
    pub shares: StreamVec<'scope, u64, Share>,
    /// Which epoch reveals what was hidden.
    pub reveals: StreamVec<'scope, u64, Reveal>,
    /// Ends when all workers have read what earlier runs sealed: from then on the journal may merge and remove.
    pub hydrated: StreamVec<'scope, u64, Never>,
    /// Loops from the sinks, by name: the frontier of each is that sink's upper.
    pub acks: Vec<(String, StreamVec<'scope, u64, Never>)>,
    /// A loop from the sinks: those that are to be given up, by their places in `acks`.
    pub late: StreamVec<'scope, u64, Detach>,
}

/// Seals epochs.
pub fn committer<'scope>(input: Committing<'scope>, commit: Option<Commit>) -> Committed<'scope> {
    let Committing { shares, reveals, hydrated, acks, late } = input;
    let scope = shares.scope();
    let mut builder = OperatorBuilder::new("Committer".to_owned(), scope);
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let mut shares = builder.new_input(shares, Exchange::new(|_: &Share| 0));
    let mut reveals = builder.new_input(reveals, Pipeline);
    let (_sealed, sealed_stream) = builder.new_output::<Vec<Never>>();
    let (_recorded, recorded_stream) = builder.new_output::<Vec<Never>>();
    let (detached, detached_stream) = builder.new_output_connection(std::iter::empty());
    let mut detached = OutputBuilder::<_, CapacityContainerBuilder<Vec<Detach>>>::from(detached);
    // An antichain without elements: what arrives on the loops cannot cause output, so there is no cycle.
    let unconnected = [0, 1, 2].map(|output| (output, Antichain::new()));
    let mut hydrated = builder.new_input_connection(hydrated, Pipeline, unconnected.clone());
    let (names, mut acks): (Vec<_>, Vec<_>) = acks
        .into_iter()
        .map(|(name, acks)| (name, builder.new_input_connection(acks, Pipeline, unconnected.clone())))
        .unzip();
    let mut late = builder.new_input_connection(late, Pipeline, unconnected);
    let sinks = names.len();
    let mut leader = commit.map(|commit| Leader::new(commit, names, scope, &address));

    builder.build(move |mut capabilities| {
        let mut detaching = capabilities.pop().filter(|_| leader.is_some());
        let mut recorded = capabilities.pop().filter(|_| leader.is_some());
        let mut sealed = capabilities.pop().filter(|_| leader.is_some());
        if let (Some(held), Some(leader)) = (&mut sealed, &leader) {
            // What was sealed by earlier runs is sealed: the replay need not wait for anything.
            held.downgrade(&(leader.before + 1));
        }
        move |frontiers| {
            shares.for_each_time(|time, data| {
                if let Some(leader) = &mut leader {
                    data.flat_map(|d| d.drain(..)).for_each(|share| leader.seals.contribute(*time.time(), share));
                }
            });
            reveals.for_each_time(|time, data| {
                data.for_each(|d| d.clear());
                if let Some(leader) = &mut leader {
                    leader.seals.reveal(*time.time());
                }
            });
            hydrated.for_each(|_, _| ());
            acks.iter_mut().for_each(|acks| acks.for_each(|_, _| ()));
            late.for_each(|_, data| {
                if let Some(leader) = &mut leader {
                    leader.late.append(data);
                }
            });
            let Some(leader) = &mut leader else { return };
            let Standing { complete, is_hydrated, uppers } = Standing::of(frontiers, sinks);
            if is_hydrated {
                leader.set_hydrated();
            }
            let Advance { released, detached: told, waits, done } = leader.advance(complete, &uppers);
            if let Some(capability) = detaching.as_ref().filter(|_| !told.is_empty()) {
                detached.activate().session(capability).give_iterator(told.into_iter());
            }
            if let Some(frontier) = released {
                release(&mut sealed, frontier);
            }
            if waits {
                activator.activate_after(RECORD_DELAY);
            }
            if done {
                drop((recorded.take(), detaching.take()));
            }
        }
    });
    Committed { sealed: sealed_stream, recorded: recorded_stream, detached: detached_stream }
}

/// What the frontiers of the inputs say.
struct Standing {
    /// Where epochs end of which all shares, and all that hid them, are there.
    complete: Option<u64>,
    is_hydrated: bool,
    /// Of each sink.
    uppers: Vec<Option<u64>>,
}

impl Standing {
    fn of(frontiers: &[MutableAntichain<u64>], sinks: usize) -> Self {
        let least = |at: usize| frontiers[at].frontier().first().copied();
        let complete = match (least(0), least(1)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Standing { complete, is_hydrated: least(2).is_none(), uppers: (3..3 + sinks).map(least).collect() }
    }
}

/// Lets go of everything before `frontier`.
fn release(capability: &mut Option<Capability<u64>>, frontier: Option<u64>) {
    match (capability.as_mut(), frontier) {
        (Some(held), Some(frontier)) if frontier > *held.time() => held.downgrade(&frontier),
        (_, None) => *capability = None,
        _ => (),
    }
}

/// What the thread does.
enum Job {
    Append(Box<Entry>),
    Hydrated,
}

/// What worker 0 does.
struct Leader {
    /// The last epoch that earlier runs sealed.
    before: u64,
    helper: Helper<Job, ()>,
    seals: Seals,
    names: Vec<String>,
    progress: Vec<Option<Arc<SinkProgress>>>,
    streams: BTreeSet<String>,
    unix_ms: fn() -> u64,
    /// Sinks that are to be given up.
    late: Vec<Detach>,
    /// Those of which that is being recorded.
    detaching: Vec<Detach>,
    /// The frontier to which the entry that is being appended seals.
    committing: Option<Option<u64>>,
    last_commit: Instant,
    hydrated: bool,
}

/// What became of the epochs.
struct Advance {
    /// Everything before this frontier is sealed.
    released: Option<Option<u64>>,
    /// It is recorded that these are given up.
    detached: Vec<Detach>,
    /// Uppers of sinks wait to be recorded.
    waits: bool,
    /// Everything is sealed, acknowledged and recorded, and nothing will follow.
    done: bool,
}

impl Leader {
    /// With a thread of its own, which wakes the operator at `address`.
    fn new(commit: Commit, names: Vec<String>, scope: Scope<'_, u64>, address: &[usize]) -> Self {
        let Commit { keeper, found, on_error, progress, streams, unix_ms } = commit;
        let before = keeper.state().sealed;
        let seals = Seals::new(before, keeper.state().sinks.clone());
        let helper = Helper::spawn(scope, address, "manifest", move |jobs, reply| {
            if let Err(error) = work(keeper, found, jobs, reply) {
                on_error(error);
                reply.wake();
            }
        });
        let progress = names.iter().map(|name| progress.get(name).cloned()).collect();
        Leader {
            before,
            helper,
            seals,
            names,
            progress,
            streams,
            unix_ms,
            late: Vec::new(),
            detaching: Vec::new(),
            committing: None,
            last_commit: Instant::now(),
            hydrated: false,
        }
    }

    fn advance(&mut self, complete: Option<u64>, uppers: &[Option<u64>]) -> Advance {
        let mut advance = Advance { released: None, detached: Vec::new(), waits: false, done: false };
        if self.helper.finished().is_some() {
            advance.released = self.committing.take();
            advance.detached = std::mem::take(&mut self.detaching);
            self.last_commit = Instant::now();
        }
        if self.committing.is_some() {
            return advance;
        }
        let mut sinks = self.changed_sinks(uppers);
        let acknowledged = uppers.iter().all(Option::is_none);
        let is_time = acknowledged || !self.late.is_empty() || self.last_commit.elapsed() >= RECORD_DELAY;
        sinks.extend(self.give_up(&sinks));
        if self.seals.is_ready(complete) || (is_time && !sinks.is_empty()) {
            self.helper.start(Job::Append(Box::new(self.seals.entry(complete, sinks))));
            self.committing = Some(complete);
            return advance;
        }
        advance.released = Some(complete);
        // Nothing was new about them.
        advance.detached.append(&mut self.detaching);
        advance.waits = !sinks.is_empty();
        advance.done = !advance.waits && acknowledged && complete.is_none();
        advance
    }

    /// What is to be recorded of sinks that are to be given up.
    fn give_up(&mut self, sinks: &BTreeMap<String, SinkState>) -> BTreeMap<String, SinkState> {
        self.detaching.append(&mut self.late);
        let names = self.detaching.iter().flat_map(|detach| &detach.sinks).map(|sink| self.names[*sink].as_str());
        let given_up = names.map(|name| (name, self.streams.contains(name)));
        self.seals.detached(given_up, sinks, (self.unix_ms)())
    }

    fn set_hydrated(&mut self) {
        if !std::mem::replace(&mut self.hydrated, true) {
            self.helper.start(Job::Hydrated);
        }
    }

    fn changed_sinks(&self, uppers: &[Option<u64>]) -> BTreeMap<String, SinkState> {
        let sinks = self.names.iter().zip(uppers).zip(&self.progress).map(|((name, upper), progress)| {
            // Without a mark of its own a store is known by its upper: it must never have a lower one (law L13).
            let written = progress.as_ref().map(|progress| progress.now()).unwrap_or_default();
            let mark = written.mark.or_else(|| (written.upper > 0).then(|| written.upper.to_string()));
            let marked = mark.map(|mark| (written.upper, mark));
            (name.as_str(), Acknowledged { upper: *upper, marked })
        });
        self.seals.changed_sinks(sinks)
    }
}

/// Appends entries; between them, what the journal does for itself.
fn work(
    mut keeper: Keeper,
    mut found: Box<dyn FnMut() -> Vec<(u16, u32, String)> + Send>,
    jobs: &Receiver<Job>,
    reply: &Reply<()>,
) -> Result<(), JournalError> {
    let mut wait = None;
    loop {
        let job = match wait {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(delay) => jobs.recv_timeout(delay),
        };
        match job {
            Ok(Job::Append(mut entry)) => {
                entry.new_partitions = found();
                keeper.append(*entry)?;
                reply.send(());
                wait = Some(Duration::ZERO);
            }
            Ok(Job::Hydrated) => {
                keeper.hydrated();
                wait = Some(Duration::ZERO);
            }
            Err(RecvTimeoutError::Timeout) => wait = keeper.idle()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
