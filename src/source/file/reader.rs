//! Reads one file, batch by batch.

use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::follow::Following;
use super::input::{Format, Input};
use super::lines::Lines;
use super::mark::Disk;
use super::marks::Marks;
use crate::source::{PartitionReader, Progress, RawBatch, SourceError};

/// One poll takes in at most this much without a line's end, so that a stop is noticed in time.
const LONG_LINE_BYTES: u64 = 16 << 20;

/// No read is larger, whatever batch size the caller wants: the ranges of a batch have 32 bits.
const MAX_READ_BYTES: usize = 64 << 20;

/// What is asked for beyond the size that a file had: enough to see its end.
const END_PROBE_BYTES: u64 = 4 << 10;

pub(super) struct Reader {
    path: PathBuf,
    format: Format,
    input: Input,
    lines: Lines,
    following: Option<Following>,
    /// Its size when it was opened; `None` if it is no regular file, such as a pipe.
    size_bytes: Option<u64>,
    /// What stopped the last poll after it had found records.
    failed: Option<SourceError>,
    ended: bool,
    marks: Marks,
}

impl Reader {
    pub(super) fn new(
        path: PathBuf,
        format: Format,
        input: Input,
        lines: Lines,
        metadata: &Metadata,
        following: Option<Following>,
        marks: Marks,
    ) -> Self {
        let size_bytes = metadata.is_file().then_some(metadata.len());
        Reader { path, format, input, lines, following, size_bytes, failed: None, ended: false, marks }
    }

    fn error(&self, source: io::Error) -> SourceError {
        let action = if self.format == Format::Plain { "read" } else { "decompress" };
        SourceError::Io { action, path: self.path.clone(), source }
    }

    /// What a compressed file that has ended looks like on disk.
    fn disk(&self) -> Result<Option<Disk>, SourceError> {
        if self.format == Format::Plain || self.size_bytes.is_none() {
            return Ok(None);
        }
        let disk = File::open(&self.path).and_then(|mut file| Disk::of(&mut file));
        match disk {
            Ok(disk) => Ok(Some(disk)),
            // Deleted as soon as it was read: nothing is left to compare.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SourceError::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    /// How much there is to read now; `None` if the file was cut.
    fn available_bytes(&mut self) -> Result<Option<u64>, SourceError> {
        let (Some(following), Some(file)) = (&mut self.following, self.input.plain()) else {
            return Ok(Some(u64::MAX));
        };
        let position = self.input.disk_position();
        match file.metadata() {
            Ok(metadata) => Ok(following.available_bytes(&self.path, metadata.len(), position)),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Reads until about `max_bytes` were read and a line has ended. Whether that was all there is.
    fn fill(&mut self, batch: &mut RawBatch, max_bytes: usize, available_bytes: u64) -> Result<bool, SourceError> {
        let mut taken_bytes = 0;
        while taken_bytes < available_bytes {
            let to_end = available_bytes - taken_bytes;
            let piece = max_bytes - (taken_bytes % max_bytes as u64) as usize;
            let read = match self.input.append(&mut batch.buffer, self.useful_bytes(to_end).min(piece as u64) as usize)
            {
                Ok(0) => return Ok(true),
                Ok(read) => read,
                Err(error) if batch.records.is_empty() => return Err(self.error(error)),
                Err(error) => {
                    self.failed = Some(self.error(error));
                    return Ok(false);
                }
            };
            let from = batch.buffer.len() - read;
            if let Err(reason) = self.marks.read(&batch.buffer[from..]) {
                let (path, offset) = (self.path.clone(), self.marks.opened_at);
                return Err(SourceError::Changed { path, offset, reason });
            }
            self.lines.scan(batch, from);
            taken_bytes += read as u64;
            let enough = taken_bytes >= max_bytes as u64 && self.lines.line_ended();
            if enough || taken_bytes >= LONG_LINE_BYTES.max(max_bytes as u64) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part of `bytes` that it makes sense to have space for.
    fn useful_bytes(&self, bytes: u64) -> u64 {
        match (self.format, self.size_bytes) {
            (Format::Plain, Some(size)) if self.following.is_none() => {
                bytes.min(size.saturating_sub(self.input.disk_position()) + END_PROBE_BYTES)
            }
            _ => bytes,
        }
    }

    /// Adds the next lines to the batch.
    fn advance(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<Progress, SourceError> {
        let Some(available_bytes) = self.available_bytes()? else { return Ok(Progress::End) };
        let before = self.input.disk_position();
        let at_end = self.fill(batch, max_bytes, available_bytes)?;
        let position = self.input.disk_position();
        let Some(following) = &mut self.following else {
            return Ok(if at_end { Progress::End } else { Progress::More });
        };
        if position == before && following.is_over(self.input.plain(), Instant::now()) {
            return Ok(Progress::End);
        }
        Ok(following.progress(before, position))
    }
}

impl PartitionReader for Reader {
    fn poll(&mut self, batch: &mut RawBatch, max_bytes: usize) -> Result<Progress, SourceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.lines.resume(batch);
        let progress =
            if self.ended { Progress::End } else { self.advance(batch, max_bytes.clamp(1, MAX_READ_BYTES))? };
        if progress == Progress::End {
            self.lines.finish(batch);
            if !self.ended {
                self.ended = true;
                self.marks.end(self.disk()?);
            }
        }
        self.lines.suspend(batch);
        batch.mark = self.marks.at(batch.next_offset);
        Ok(progress)
    }

    fn total_bytes(&self) -> Option<u64> {
        self.size_bytes.map(|size| size.max(self.read_bytes()))
    }

    fn read_bytes(&self) -> u64 {
        self.input.disk_position()
    }
}
