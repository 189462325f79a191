//! Merging: several parts become one, without what no restart will ask for.
//!
//! Which versions of a row may go is decided by [`Rules`], a plain struct; the rest is a k-way merge whose memory does not
//! depend on the size of the parts.

mod cursor;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::error::JournalError;
use crate::journal::Journal;
use crate::manifest::{PartRef, Replaced, State};
use crate::output::{Output, Stored};
use crate::part::{KEY_GROUPS, PartReader};
use cursor::Cursors;
pub(crate) use policy::choose;
pub(crate) use rules::Rules;

/// Bytes fetched ahead, over all inputs.
const FETCH_BYTES: u64 = 32 << 20;

/// What one merge is to do.
pub(crate) struct Job {
    pub(crate) inputs: Vec<PartRef>,
    pub(crate) rules: Rules,
    /// The output's name, without the folder.
    pub(crate) name: String,
    /// Inputs whose bytes are at hand, by object.
    pub(crate) at_hand: BTreeMap<String, Bytes>,
}

impl Job {
    pub(crate) fn new(state: &State, inputs: Vec<PartRef>, name: String) -> Self {
        Job { rules: Rules::new(state, &inputs), inputs, name, at_hand: BTreeMap::new() }
    }

    /// Merges; the output is durable when it returns, and no entry names it yet. `None`: `cancel` was set.
    pub(crate) fn run(&self, journal: &Journal, cancel: &AtomicBool) -> Result<Option<Replaced>, JournalError> {
        fail::fail_point!("merge-before");
        let request_bytes = (FETCH_BYTES / self.inputs.len().max(1) as u64).clamp(256 << 10, 4 << 20);
        let open = |part: &PartRef| match self.at_hand.get(&part.object) {
            Some(bytes) => PartReader::in_memory(part, bytes.clone()),
            None => Ok(journal.open_part(part)?.with_request_bytes(request_bytes)),
        };
        let readers: Vec<_> = self.inputs.iter().map(open).collect::<Result<_, _>>()?;
        let mut cursors = Cursors::new(readers.iter().map(|reader| reader.blocks(0..KEY_GROUPS)).collect())?;
        let mut output = Output::new(journal, &self.name);
        let mut survivors = self.rules.survivors();
        let mut rows = 0u32;
        while let Some(change) = cursors.current() {
            survivors.push(&change, |change| output.push(change));
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(1 << 10) && cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            output.hand_over()?;
            cursors.advance()?;
        }
        survivors.finish(|change| output.push(change));
        let inputs = self.inputs.iter().map(PartRef::id).collect();
        let outputs = output.finish()?.map(|part| self.reference(part)).into_iter().collect();
        fail::fail_point!("merge-after");
        Ok(Some(Replaced { inputs, outputs }))
    }

    fn reference(&self, part: Stored) -> PartRef {
        let Stored { bytes, rows, removals, raw_bytes, digest } = part;
        let first = self.inputs.iter().map(|part| part.first).min().unwrap_or_default();
        let last = self.inputs.iter().map(|part| part.last).max().unwrap_or_default();
        let object = format!("parts/{}", self.name);
        PartRef { object, first, last, offset: 0, bytes, rows, removals, raw_bytes, digest }
    }
}
