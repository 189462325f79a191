//! The run's end of the manifest.

mod append;
mod background;
mod garbage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::JournalError;
use crate::journal::Journal;
use crate::manifest::{Entry, PartRef, Record, Replaced, SNAPSHOT_EVERY, State, encode};
use crate::merge::{self, Job};
use background::{Merging, Remover};

/// How long a run is new; see [`LARGE_BYTES`].
const SETTLING: Duration = Duration::from_secs(10);

/// A merge of more bytes than this waits until the run is not new any more.
const LARGE_BYTES: u64 = 16 << 20;

/// How soon to look after a merge or a removal that runs.
const POLL: Duration = Duration::from_millis(20);
/// How long to let merging be after the store failed.
const MERGE_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The run's end of the manifest: owned by one thread. Calls block.
pub struct Keeper {
    journal: Journal,
    state: State,
    nonce: u64,
    /// An append has failed; what is durable is unknown.
    broken: bool,
    /// All entries that are there.
    entries: BTreeSet<u64>,
    /// Parts that this run's entries carry, by object: they are rolled up soon.
    carried: BTreeMap<String, Bytes>,
    hydrated: bool,
    /// To be removed once `hydrated`.
    doomed: Vec<String>,
    remover: Remover,
    merging: Option<Merging>,
    /// A merge whose output is durable, and that no entry tells of yet.
    merged: Option<Replaced>,
    merge_after: Option<Instant>,
    /// Until then large merges wait: a run that has just begun has better things to do, and many end soon.
    settles_at: Option<Instant>,
    /// Numbers the parts that the keeper itself stores.
    next_part: u64,
}

impl Keeper {
    /// Appends the run's own entry, which fences all earlier runs; if several open at once, the last one wins. Then removes
    /// what earlier runs left that no entry names.
    ///
    /// # Errors
    /// Those of [`Journal::read`], and of the store.
    pub fn open(journal: Journal) -> Result<Keeper, JournalError> {
        let remover = Remover::start(&journal).map_err(no_thread)?;
        let mut keeper = Keeper {
            journal,
            state: State::default(),
            nonce: 0,
            broken: false,
            entries: BTreeSet::new(),
            carried: BTreeMap::new(),
            hydrated: false,
            doomed: Vec::new(),
            remover,
            merging: None,
            merged: None,
            merge_after: None,
            settles_at: None,
            next_part: 0,
        };
        loop {
            let (state, entries) = keeper.journal.read_listed()?.unwrap_or_default();
            keeper.state = state;
            keeper.entries = entries.into_iter().collect();
            keeper.nonce = crate::random();
            keeper.broken = false;
            let number = keeper.state.next_entry;
            let (record, _) = append::record(number, Entry::default());
            match keeper.append_record(Record { run: number, ..record }, &[]) {
                Ok(()) => break,
                Err(JournalError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        keeper.remove_left_over()?;
        Ok(keeper)
    }

    /// The state after the last append.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The journal that this is the end of.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Says that all workers have read what they need of the state that this run opened with. Until then nothing that the
    /// state named is removed, and nothing is merged: a run that never says so only grows.
    pub fn hydrated(&mut self) {
        self.hydrated = true;
        self.settles_at = Some(Instant::now() + SETTLING);
        let doomed = std::mem::take(&mut self.doomed);
        self.remove(doomed);
    }

    /// Appends an entry; durable when it returns. Now and then it also carries the whole state, and rolls up the parts that
    /// entries carry; and it tells of a merge that has finished, and begins the next.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if another run has taken over; [`JournalError::Invalid`] if the entry contradicts the state
    /// (nothing happened); after any other error of the store the run must stop: only a new one can tell whether the entry
    /// is durable. A damaged part that a merge came upon is reported here, too; nothing was appended then.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        self.collect_merge()?;
        let (record, inline) = append::record(self.state.next_entry, entry);
        self.append_with_upkeep(record, &inline)
    }

    /// To be called when there is nothing else to do: tells the manifest of a finished merge, begins one that is due. Says
    /// when to call again; `None`: nothing is pending.
    ///
    /// # Errors
    /// As [`Keeper::append`].
    pub fn idle(&mut self) -> Result<Option<Duration>, JournalError> {
        self.collect_merge()?;
        if self.merged.is_some() {
            let (record, _) = append::record(self.state.next_entry, Entry::default());
            self.append_with_upkeep(record, &[])?;
        }
        self.begin_merge();
        if self.merging.is_some() || self.remover.is_busy() {
            return Ok(Some(POLL));
        }
        Ok(self.merge_after.map(|after| after.saturating_duration_since(Instant::now()).max(POLL)))
    }

    fn append_with_upkeep(&mut self, record: Record, inline: &[Bytes]) -> Result<(), JournalError> {
        let mut record = self.signed(Record { run: self.state.run, ..record });
        self.state.check(&record).map_err(|problem| JournalError::Invalid { problem })?;
        if record.number.is_multiple_of(SNAPSHOT_EVERY) && !self.broken {
            record.replaced.extend(self.roll_up()?);
        }
        record.replaced.extend(self.merged.clone());
        let carried: Vec<_> = record.parts.iter().filter(|part| part.is_inline()).map(|p| p.object.clone()).collect();
        self.append_record(record, inline)?;
        self.merged = None;
        self.carried.extend(carried.into_iter().zip(inline.iter().cloned()));
        self.begin_merge();
        Ok(())
    }

    fn signed(&self, record: Record) -> Record {
        Record {
            nonce: self.nonce,
            written_unix_ms: crate::unix_ms(),
            previous: (record.number > 0).then_some(self.state.digest),
            ..record
        }
    }

    /// Appends a record and applies it; then removes what it makes useless.
    fn append_record(&mut self, record: Record, inline: &[Bytes]) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        let mut record = self.signed(record);
        self.state.check(&record).map_err(|problem| JournalError::Invalid { problem })?;
        if record.number.is_multiple_of(SNAPSHOT_EVERY) {
            let mut after = self.state.clone();
            // A record with a snapshot also forgets old openings.
            record.snapshot = Some(Box::default());
            after.apply(&record, 0);
            record.snapshot = Some(Box::new(after));
        }
        let framed = encode(&record, inline);
        self.broken = true;
        append::create(self.journal.store(), record.number, &framed)?;
        self.broken = false;
        self.state.apply(&record, framed.digest);
        self.entries.insert(record.number);
        let replaced = record.replaced.iter().flat_map(|replaced| &replaced.inputs).map(|id| id.object.clone());
        let (carried, stored): (Vec<_>, Vec<_>) = replaced.partition(|object| object.contains('#'));
        for object in carried {
            self.carried.remove(&object);
        }
        let mut doomed = garbage::unnamed(&self.state, stored);
        if record.snapshot.is_some() {
            doomed.extend(garbage::entries(&self.state, &mut self.entries));
        }
        self.doom(doomed);
        Ok(())
    }

    fn doom(&mut self, objects: Vec<String>) {
        if self.hydrated {
            self.remove(objects);
        } else {
            self.doomed.extend(objects);
        }
    }

    fn remove(&self, objects: Vec<String>) {
        if !objects.is_empty() {
            self.remover.remove(objects);
        }
    }

    /// Removes what a crash has left: entries before the snapshot, parts of earlier runs that no entry names. No run can
    /// name those any more.
    fn remove_left_over(&mut self) -> Result<(), JournalError> {
        for folder in ["manifest", "parts"] {
            self.journal.store().remove_staged(folder);
        }
        let listed = self.journal.store().list("parts")?.into_iter().map(|(object, _)| object);
        let run = self.state.run;
        let earlier = listed.filter(|object| garbage::run_of(object).is_some_and(|of| of < run));
        let left = garbage::unnamed(&self.state, earlier);
        self.remove(left);
        let entries = garbage::entries(&self.state, &mut self.entries);
        self.doom(entries);
        Ok(())
    }

    /// Makes one part of all parts that entries carry, so that the entries can go.
    fn roll_up(&mut self) -> Result<Option<Replaced>, JournalError> {
        let inputs: Vec<_> = self.state.parts.iter().filter(|part| part.is_inline()).cloned().collect();
        if inputs.is_empty() {
            return Ok(None);
        }
        let mut job = self.job(inputs);
        job.at_hand.clone_from(&self.carried);
        job.run(&self.journal, &AtomicBool::new(false))
    }

    fn job(&mut self, inputs: Vec<PartRef>) -> Job {
        let name = format!("{}-merged-{}", self.state.run, self.next_part);
        self.next_part += 1;
        Job::new(&self.state, inputs, name)
    }

    fn begin_merge(&mut self) {
        let now = Instant::now();
        if !self.hydrated || self.merging.is_some() || self.merged.is_some() || self.broken {
            return;
        }
        if self.merge_after.take_if(|after| *after <= now).is_none() && self.merge_after.is_some() {
            return;
        }
        let Some(inputs) = merge::choose(&self.state) else { return };
        let settles_at = self.settles_at.filter(|at| now < *at);
        if let Some(at) = settles_at.filter(|_| inputs.iter().map(|part| part.bytes).sum::<u64>() > LARGE_BYTES) {
            self.merge_after = Some(at);
            return;
        }
        let job = self.job(inputs);
        match Merging::start(&self.journal, job) {
            Ok(merging) => self.merging = Some(merging),
            Err(error) => {
                tracing::warn!(%error, "no thread to merge parts with; it is tried again");
                self.merge_after = Some(now + MERGE_AGAIN_AFTER);
            }
        }
    }

    /// Takes the result of a merge that has finished.
    fn collect_merge(&mut self) -> Result<(), JournalError> {
        let Some(result) = self.merging.as_ref().and_then(Merging::poll) else { return Ok(()) };
        self.merging = None;
        match result {
            Ok(merged) => {
                if merged.is_none() {
                    self.merge_after = Some(Instant::now() + MERGE_AGAIN_AFTER);
                }
                self.merged = merged;
                Ok(())
            }
            Err(error @ JournalError::Store { .. }) => {
                tracing::warn!(%error, "parts could not be merged; it is tried again");
                self.merge_after = Some(Instant::now() + MERGE_AGAIN_AFTER);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn no_thread(error: std::io::Error) -> JournalError {
    let source = object_store::Error::Generic { store: "threads", source: Box::new(error) };
    JournalError::Store { action: "start a thread for", object: "parts/".into(), source }
}
