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
use crate::part::{KEY_GROUPS, PartEncoder, PartReader};
use crate::store::Upload;
use cursor::Cursors;
pub(crate) use policy::choose;
pub(crate) use rules::Rules;

/// Bytes fetched ahead, over all inputs.
const FETCH_BYTES: u64 = 32 << 20;
/// Output is handed to the store in pieces of this size.
const PIECE_BYTES: usize = 8 << 20;

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
        let mut output = Output { journal, name: &self.name, encoder: PartEncoder::default(), upload: None };
        let mut survivors = self.rules.survivors();
        let mut rows = 0u32;
        while let Some(change) = cursors.current() {
            survivors.push(&change, |change| output.encoder.push(change));
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(1 << 10) && cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            output.hand_over()?;
            cursors.advance()?;
        }
        survivors.finish(|change| output.encoder.push(change));
        let inputs = self.inputs.iter().map(PartRef::id).collect();
        let outputs = output.finish(&self.inputs)?.into_iter().collect();
        fail::fail_point!("merge-after");
        Ok(Some(Replaced { inputs, outputs }))
    }
}

/// The part that a merge writes: small ones at once, large ones in pieces.
struct Output<'a> {
    journal: &'a Journal,
    name: &'a str,
    encoder: PartEncoder,
    upload: Option<(Upload, u64)>,
}

impl Output<'_> {
    fn object(&self) -> String {
        format!("parts/{}", self.name)
    }

    fn hand_over(&mut self) -> Result<(), JournalError> {
        if self.encoder.ready() < PIECE_BYTES {
            return Ok(());
        }
        let piece = self.encoder.take();
        self.write(piece)
    }

    fn write(&mut self, piece: Bytes) -> Result<(), JournalError> {
        if self.upload.is_none() {
            self.upload = Some((self.journal.store().upload(&self.object())?, 0));
        }
        let (upload, written) = self.upload.as_mut().expect("it was made above");
        *written += piece.len() as u64;
        upload.write(piece)
    }

    /// Makes it durable. `None` if there is nothing in it.
    fn finish(mut self, inputs: &[PartRef]) -> Result<Option<PartRef>, JournalError> {
        let rest = std::mem::take(&mut self.encoder).finish();
        let (object, rows, removals) = (self.object(), rest.rows, rest.removals);
        let (raw_bytes, digest) = (rest.raw_bytes, rest.digest);
        let mut bytes = rest.bytes.len() as u64;
        if rows == 0 {
            return Ok(None);
        }
        match self.upload.is_some() {
            false => self.journal.put_part(self.name, rest.bytes)?,
            true => {
                self.write(rest.bytes)?;
                if let Some((upload, written)) = self.upload.take() {
                    bytes = written;
                    upload.finish()?;
                }
            }
        }
        let first = inputs.iter().map(|part| part.first).min().unwrap_or_default();
        let last = inputs.iter().map(|part| part.last).max().unwrap_or_default();
        Ok(Some(PartRef { object, first, last, offset: 0, bytes, rows, removals, raw_bytes, digest }))
    }
}
