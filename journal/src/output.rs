//! Parts on their way to the store: small ones at once, large ones in pieces, so that memory does not depend on their size.

use bytes::Bytes;

use crate::error::JournalError;
use crate::journal::Journal;
use crate::manifest::NewPart;
use crate::part::{BuiltPart, Change, PartBuilder, PartEncoder};
use crate::store::Upload;

/// Output is handed to the store in pieces of this size.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

/// What is known of a part that is stored.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    /// Size of the object.
    pub(crate) bytes: u64,
    /// Changes in it.
    pub(crate) rows: u64,
    /// Those of them that say that a row is gone.
    pub(crate) removals: u64,
    /// Bytes before compression.
    pub(crate) raw_bytes: u64,
    /// Checksum over everything.
    pub(crate) digest: u32,
}

/// A part that is being written.
pub(crate) struct Output<'a> {
    journal: &'a Journal,
    name: &'a str,
    encoder: PartEncoder,
    upload: Option<(Upload, u64)>,
}

impl<'a> Output<'a> {
    /// A part of this name, without the folder.
    pub(crate) fn new(journal: &'a Journal, name: &'a str) -> Self {
        Output { journal, name, encoder: PartEncoder::default(), upload: None }
    }

    /// Adds a change, which must come after the last one in [`Change::order`].
    pub(crate) fn push(&mut self, change: &Change<'_>) {
        self.encoder.push(change);
    }

    /// Hands over what has become large enough. To be called after every few changes.
    pub(crate) fn hand_over(&mut self) -> Result<(), JournalError> {
        if self.encoder.ready() < PIECE_BYTES {
            return Ok(());
        }
        let piece = self.encoder.take();
        self.write(piece)
    }

    fn write(&mut self, piece: Bytes) -> Result<(), JournalError> {
        if self.upload.is_none() {
            fail::fail_point!("part-before");
            self.upload = Some((self.journal.store().upload(&format!("parts/{}", self.name))?, 0));
        }
        let (upload, written) = self.upload.as_mut().expect("it was made above");
        *written += piece.len() as u64;
        upload.write(piece)
    }

    /// Makes it durable. `None`, and nothing is stored, if there is nothing in it.
    pub(crate) fn finish(mut self) -> Result<Option<Stored>, JournalError> {
        let rest = std::mem::take(&mut self.encoder).finish();
        let BuiltPart { rows, removals, raw_bytes, digest, bytes: last } = rest;
        if rows == 0 {
            return Ok(None);
        }
        let mut bytes = last.len() as u64;
        match self.upload.is_some() {
            false => self.journal.put_part(self.name, last)?,
            true => {
                self.write(last)?;
                if let Some((upload, written)) = self.upload.take() {
                    bytes = written;
                    upload.finish()?;
                }
                fail::fail_point!("part-after");
            }
        }
        Ok(Some(Stored { bytes, rows, removals, raw_bytes, digest }))
    }
}

impl Journal {
    /// Stores a part; durable when it returns. What it gives is what an entry says of it. `None`: there is nothing in it.
    ///
    /// The name must not be another part's: begin it with the run's number. Memory: some of 8 MiB, whatever the size.
    ///
    /// # Errors
    /// Those of the store; part of it may have been stored nevertheless, which nobody will read.
    pub fn store_part(&self, name: &str, part: PartBuilder<'_>) -> Result<Option<NewPart>, JournalError> {
        let mut output = Output::new(self, name);
        for change in part.sorted() {
            output.push(&change);
            output.hand_over()?;
        }
        let Some(Stored { bytes, rows, removals, raw_bytes, digest }) = output.finish()? else { return Ok(None) };
        Ok(Some(NewPart::Stored { name: name.to_owned(), bytes, rows, removals, raw_bytes, digest }))
    }
}
