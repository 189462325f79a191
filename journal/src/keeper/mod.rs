//! The run's end of the manifest.

use std::time::Duration;

use bytes::Bytes;

use crate::error::JournalError;
use crate::journal::Journal;
use crate::manifest::{
    Entry, Framed, INLINE_START, NewPart, PartRef, Record, SNAPSHOT_EVERY, State, encode, entry_object,
};
use crate::store::Created;

/// How often an append whose outcome is unknown is tried again, and how long after: the same bytes each time.
const RETRIES_AFTER: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// The run's end of the manifest: owned by one thread. Calls block.
pub struct Keeper {
    journal: Journal,
    state: State,
    nonce: u64,
    broken: bool,
}

impl Keeper {
    /// Appends the run's own entry, which fences all earlier runs.
    ///
    /// # Errors
    /// Those of [`Journal::read`], and of the store.
    pub fn open(journal: Journal) -> Result<Keeper, JournalError> {
        loop {
            let state = journal.read()?.unwrap_or_default();
            let nonce = crate::random();
            let number = state.next_entry;
            let mut keeper = Keeper { journal: journal.clone(), state, nonce, broken: false };
            let record = keeper.record(number, Entry::default());
            match keeper.append_record(record, &[]) {
                Ok(()) => return Ok(keeper),
                Err(JournalError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The state after the last append.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The journal that this is the end of.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Says that all workers have read what they need of the state that this run opened with. Until then no part is
    /// removed or merged.
    pub fn hydrated(&mut self) {}

    /// Appends an entry; durable when it returns.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if another run has taken over; [`JournalError::Invalid`] if the entry contradicts the state
    /// (nothing happened); after any other error the keeper is [`JournalError::Broken`], and the run must stop: only a new
    /// one can tell whether the entry is durable.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let parts = entry.parts.clone();
        let mut record = self.record(self.state.run, entry);
        let mut inline = Vec::new();
        let mut offset = INLINE_START;
        for (part, first, last) in parts {
            record.parts.push(part_ref(record.number, part, first, last, &mut offset, &mut inline));
        }
        self.append_record(record, &inline)
    }

    /// To be called when there is nothing else to do.
    ///
    /// # Errors
    /// As [`Keeper::append`].
    pub fn idle(&mut self) -> Result<Option<Duration>, JournalError> {
        Ok(None)
    }

    fn record(&self, run: u64, entry: Entry) -> Record {
        let number = self.state.next_entry;
        Record {
            number,
            run,
            nonce: self.nonce,
            written_unix_ms: crate::unix_ms(),
            previous: (number > 0).then_some(self.state.digest),
            seals: entry.seals,
            parts: Vec::new(),
            new_sources: entry.new_sources,
            new_partitions: entry.new_partitions,
            new_tables: entry.new_tables,
            dropped_tables: entry.dropped_tables,
            catching_up: entry.catching_up,
            reveal: entry.reveal,
            sinks: entry.sinks,
            nodes: entry.nodes,
            rewound_sources: entry.rewound_sources,
            replaced: Vec::new(),
            snapshot: None,
        }
    }

    fn append_record(&mut self, mut record: Record, inline: &[Bytes]) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        self.state.check(&record).map_err(|problem| JournalError::Invalid { problem })?;
        if record.number.is_multiple_of(SNAPSHOT_EVERY) {
            // There, so that the state in it is made by the same rules as the one outside.
            record.snapshot = Some(Box::default());
            let mut after = self.state.clone();
            after.apply(&record, 0);
            record.snapshot = Some(Box::new(after));
        }
        let framed = encode(&record, inline);
        self.broken = true;
        self.create(record.number, &framed)?;
        self.broken = false;
        self.state.apply(&record, framed.digest);
        Ok(())
    }

    /// Creates the entry, or finds that it is there with these very bytes.
    fn create(&self, number: u64, framed: &Framed) -> Result<(), JournalError> {
        fail::fail_point!("commit-before");
        let object = entry_object(number);
        let mut waits = RETRIES_AFTER.iter();
        loop {
            let result = self.journal.store().create(&object, framed.bytes.clone());
            let found = match result {
                Ok(Created::Yes) => break,
                Ok(Created::Exists) => self.journal.store().get(&object).map(Some),
                // It may exist nevertheless.
                Err(error) => match self.journal.store().get(&object) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(_) => Err(error),
                },
            };
            match (found, waits.next()) {
                (Ok(Some(bytes)), _) if bytes == framed.bytes => break,
                (Ok(_), _) => return Err(JournalError::Fenced { entry: number }),
                (Err(error), None) => return Err(error),
                (Err(error), Some(wait)) => {
                    tracing::warn!(%error, object, "an append is tried again");
                    std::thread::sleep(*wait);
                }
            }
        }
        fail::fail_point!("commit-after");
        Ok(())
    }
}

fn part_ref(number: u64, part: NewPart, first: u64, last: u64, offset: &mut u64, inline: &mut Vec<Bytes>) -> PartRef {
    match part {
        NewPart::Stored { name, bytes, rows, removals, raw_bytes, digest } => PartRef {
            object: format!("parts/{name}"),
            first,
            last,
            offset: 0,
            bytes,
            rows,
            removals,
            raw_bytes,
            digest,
        },
        NewPart::Inline(part) => {
            let object = format!("{}#{}", entry_object(number), inline.len());
            let bytes = part.bytes.len() as u64;
            let at = *offset;
            *offset += bytes;
            inline.push(part.bytes);
            let (rows, removals, raw_bytes, digest) = (part.rows, part.removals, part.raw_bytes, part.digest);
            PartRef { object, first, last, offset: at, bytes, rows, removals, raw_bytes, digest }
        }
    }
}
