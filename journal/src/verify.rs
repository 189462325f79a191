//! Reading everything, to find what is damaged before a restart does.

use std::collections::BTreeSet;

use crate::error::JournalError;
use crate::journal::{Journal, fold};
use crate::manifest::{PartRef, SNAPSHOT_EVERY, State, decode, entry_number, entry_object};
use crate::part::KEY_GROUPS;

/// How often everything is read while something is missing.
const ATTEMPTS: usize = 4;

/// What [`verify`] found.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries of the manifest that were read.
    pub entries: u64,
    /// Parts that were read, those in entries included.
    pub parts: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of all objects, those of no use included.
    pub bytes: u64,
    /// What is wrong, object by object. Empty: a restart will find everything.
    pub problems: Vec<Problem>,
    /// Objects that no entry names: left by a crash, or written by a run just now. The next run removes its predecessors'.
    pub unnamed: Vec<String>,
}

/// An object that a restart would stumble over.
#[derive(Debug)]
pub struct Problem {
    /// The object's name within the journal.
    pub object: String,
    /// What is wrong with it.
    pub error: JournalError,
}

impl Report {
    fn problem(&mut self, object: &str, error: JournalError) {
        self.problems.push(Problem { object: object.to_owned(), error });
    }
}

/// Reads every entry and every part, and checks all their bytes. Writes nothing. On the journal of a run that goes on
/// meanwhile, objects may be removed under its hands: if something is missing, all is read again before it is reported.
///
/// # Errors
/// If the store cannot list its objects. What is wrong with an object is in the report.
pub fn verify(journal: &Journal) -> Result<Report, JournalError> {
    verify_with(journal, &mut |_, _| ())
}

/// As [`verify`]; tells how far it is after each object: the bytes that were read, and those that are to be read in all.
///
/// # Errors
/// As for [`verify`].
pub fn verify_with(journal: &Journal, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, JournalError> {
    let missing = |problem: &Problem| matches!(problem.error, JournalError::Missing { .. });
    for _ in 1..ATTEMPTS {
        let report = verify_once(journal, progress)?;
        if !report.problems.iter().any(missing) {
            return Ok(report);
        }
    }
    verify_once(journal, progress)
}

fn verify_once(journal: &Journal, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, JournalError> {
    let mut report = Report::default();
    let state = verify_manifest(journal, &mut report)?;
    // The entries are a small share, and what is in them is known only now.
    let total = report.bytes + state.parts.iter().map(|part| part.bytes).sum::<u64>();
    let mut done = report.bytes;
    progress(done, total);
    let mut named = BTreeSet::new();
    for part in &state.parts {
        named.insert(part.file());
        match verify_part(journal, part) {
            Ok(rows) => report.rows += rows,
            Err(error) => report.problem(&part.object, error),
        }
        report.parts += 1;
        done += part.bytes;
        progress(done, total);
    }
    for (object, bytes) in journal.store().list("parts")? {
        report.bytes += bytes;
        if !named.contains(object.as_str()) {
            report.unnamed.push(object);
        }
    }
    Ok(report)
}

/// Checks all entries, and folds those that count.
fn verify_manifest(journal: &Journal, report: &mut Report) -> Result<State, JournalError> {
    let mut numbers = BTreeSet::new();
    for (object, bytes) in journal.store().list("manifest")? {
        report.bytes += bytes;
        match entry_number(&object) {
            Some(number) => _ = numbers.insert(number),
            None => report.problem(&object, JournalError::foreign(&object, "it is not named like an entry")),
        }
    }
    let mut state = State::default();
    let Some(last) = numbers.last().copied() else { return Ok(state) };
    let first = last - last % SNAPSHOT_EVERY;
    let mut whole = true;
    for number in numbers.range(..first).copied().chain(first..=last) {
        let object = entry_object(number);
        let checked = journal.store().get(&object).and_then(|bytes| {
            report.entries += 1;
            if number >= first && whole {
                return fold(&mut state, &object, &bytes);
            }
            let (record, _) = decode(&object, &bytes)?;
            let foreign = || JournalError::foreign(&object, format!("it is entry {}", record.number));
            (record.number == number).then_some(()).ok_or_else(foreign)
        });
        if let Err(error) = checked {
            // What follows cannot be folded, but its bytes can be checked.
            whole &= number < first;
            report.problem(&object, error);
        }
    }
    Ok(state)
}

/// Reads a part in full: also what it is not named for.
fn verify_part(journal: &Journal, part: &PartRef) -> Result<u64, JournalError> {
    let all = PartRef { first: 0, last: u64::MAX, ..part.clone() };
    let reader = journal.open_part(&all)?;
    let mut rows = 0;
    for block in reader.blocks(0..KEY_GROUPS) {
        rows += u64::from(block?.rows());
    }
    match rows == part.rows {
        true => Ok(rows),
        false => Err(JournalError::damaged(&part.object, format!("it has {rows} rows, and should have {}", part.rows))),
    }
}
