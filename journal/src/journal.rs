//! A journal as a whole: opening it, reading its state, its parts.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::error::JournalError;
use crate::location::{self, Access};
use crate::manifest::{PartRef, SNAPSHOT_EVERY, State, decode, entry_number, entry_object};
use crate::part::PartReader;
use crate::store::{Created, Driver, Store};

/// A reader finds entries gone that it has just listed if the run removes them behind a snapshot: it looks again.
const READ_ATTEMPTS: usize = 8;

/// A place where parts and the manifest are kept. Cheap to clone; calls block.
#[derive(Clone)]
pub struct Journal {
    store: Store,
}

impl Journal {
    /// Opens the journal at a directory, or at a URL (`file://…`, `s3://bucket/prefix` with the feature `s3`, whose
    /// credentials come from the usual `AWS_…` variables). Creates the directory, and probes that it can be written.
    ///
    /// # Errors
    /// [`JournalError::Location`] for a location of no use, [`JournalError::Store`] if the probe cannot be written.
    pub fn open(location: &str) -> Result<Journal, JournalError> {
        Ok(Journal { store: location::open(location, Access::Write)? })
    }

    /// Opens a journal that exists, to read it; writes nothing.
    ///
    /// # Errors
    /// [`JournalError::Location`] for a location of no use.
    pub fn open_to_read(location: &str) -> Result<Journal, JournalError> {
        Ok(Journal { store: location::open(location, Access::Read)? })
    }

    /// A journal that lasts as long as its clones.
    pub fn in_memory() -> Journal {
        Journal::with_store(Arc::new(InMemory::new()))
    }

    /// A journal in an object store of the caller's, which must not need a runtime of its own.
    pub fn with_store(objects: Arc<dyn ObjectStore>) -> Journal {
        Journal { store: Store::new(objects, Path::default(), Driver::Caller) }
    }

    /// What the manifest says; `None` if there is none yet. Writes nothing.
    ///
    /// # Errors
    /// Those of the store, and every defect of the manifest by name.
    pub fn read(&self) -> Result<Option<State>, JournalError> {
        Ok(self.read_listed()?.map(|(state, _)| state))
    }

    /// As [`Journal::read`]; also the numbers of all entries that are there.
    pub(crate) fn read_listed(&self) -> Result<Option<(State, Vec<u64>)>, JournalError> {
        let mut attempt = 1;
        loop {
            match self.read_once() {
                Err(JournalError::Missing { .. }) if attempt < READ_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn read_once(&self) -> Result<Option<(State, Vec<u64>)>, JournalError> {
        let numbers = self.entry_numbers()?;
        let Some(&last) = numbers.last() else { return Ok(None) };
        let first = last - last % SNAPSHOT_EVERY;
        let objects: Vec<_> = (first..=last).map(entry_object).collect();
        let entries = self.store.get_all(&objects)?;
        let mut state = State::default();
        for (object, bytes) in objects.iter().zip(&entries) {
            fold(&mut state, object, bytes)?;
        }
        Ok(Some((state, numbers)))
    }

    /// The numbers of all entries that are there, sorted.
    pub(crate) fn entry_numbers(&self) -> Result<Vec<u64>, JournalError> {
        let mut numbers = Vec::new();
        for (object, _) in self.store.list("manifest")? {
            let number = entry_number(&object);
            numbers.push(number.ok_or_else(|| JournalError::foreign(&object, "it is not named like an entry"))?);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The numbers of all entries that are there, in order: the newest snapshot and what follows it, and openings of earlier
    /// runs. A run may remove some of them any time.
    ///
    /// # Errors
    /// Those of the store, and objects among the entries that are none.
    pub fn entries(&self) -> Result<Vec<u64>, JournalError> {
        self.entry_numbers()
    }

    /// What an entry says, as it is written down: JSON, without the bytes of the parts that it carries.
    ///
    /// # Errors
    /// [`JournalError::Missing`], [`JournalError::Damaged`] or [`JournalError::Foreign`], and those of the store.
    pub fn entry(&self, number: u64) -> Result<serde_json::Value, JournalError> {
        let object = entry_object(number);
        let (record, _) = decode(&object, &self.store.get(&object)?)?;
        Ok(serde_json::to_value(record).expect("it was read from JSON"))
    }

    /// The names and sizes in bytes of all objects: entries and parts, those that nothing names any more included.
    ///
    /// # Errors
    /// Those of the store.
    pub fn objects(&self) -> Result<Vec<(String, u64)>, JournalError> {
        let mut objects = self.store.list("manifest")?;
        objects.extend(self.store.list("parts")?);
        objects.sort();
        Ok(objects)
    }

    /// Stores a part as `parts/<name>`; durable when it returns. `name` begins with the number of the run and `-`:
    /// what an earlier run has stored without an entry that names it is removed by the next. Once a name is used it keeps its
    /// bytes: storing other bytes under it is refused.
    ///
    /// # Errors
    /// Those of the store; the part may have been stored nevertheless, and the call may be repeated.
    #[expect(clippy::needless_pass_by_value, reason = "bytes are shared, and whoever stores a part is done with it")]
    pub fn put_part(&self, name: &str, part: Bytes) -> Result<(), JournalError> {
        fail::fail_point!("part-before");
        let object = format!("parts/{name}");
        self.tear(&object, &part)?;
        if let Created::Exists = self.store.create(&object, part.clone())?
            && self.store.get(&object)? != part
        {
            return Err(JournalError::foreign(&object, "another part has this name"));
        }
        fail::fail_point!("part-after");
        Ok(())
    }

    /// Leaves what a store that is not atomic would leave of a part in a crash.
    #[cfg(feature = "failpoints")]
    fn tear(&self, object: &str, part: &Bytes) -> Result<(), JournalError> {
        if fail::list().iter().any(|(name, _)| name == "part-torn") {
            self.store.overwrite(object, part.slice(..part.len() / 2))?;
            fail::fail_point!("part-torn");
            self.store.remove(&[object.to_owned()])?;
        }
        Ok(())
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the shape that it has with failpoints")]
    fn tear(&self, _object: &str, _part: &Bytes) -> Result<(), JournalError> {
        Ok(())
    }

    /// Reads and checks the index of a part.
    ///
    /// # Errors
    /// [`JournalError::Missing`], [`JournalError::Damaged`] or [`JournalError::Foreign`], and those of the store.
    pub fn open_part(&self, part: &PartRef) -> Result<PartReader, JournalError> {
        PartReader::open(&self.store, part)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// Folds one entry into the state: a snapshot replaces an empty one.
pub(crate) fn fold(state: &mut State, object: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let (mut record, digest) = decode(object, bytes)?;
    if entry_number(object) != Some(record.number) {
        return Err(JournalError::foreign(object, format!("it is entry {}", record.number)));
    }
    if state.next_entry == 0 {
        let snapshot = record.snapshot.take();
        let snapshot = snapshot.ok_or_else(|| JournalError::foreign(object, "it has no snapshot of the state"))?;
        if snapshot.next_entry != record.number + 1 || snapshot.run != record.run {
            return Err(JournalError::foreign(object, "its snapshot is of another entry"));
        }
        *state = *snapshot;
        state.digest = digest;
        return Ok(());
    }
    state.check(&record).map_err(|problem| JournalError::foreign(object, problem))?;
    state.apply(&record, digest);
    Ok(())
}
