//! Cutting a stream of bytes into lines, with bounded memory whatever the length of a line.

use memchr::memchr_iter;

use crate::source::{RawBatch, RawRecord};

/// How much of an oversized record is kept, for its dead letter.
const HEAD_BYTES: usize = 4 << 10;

/// A byte order mark: allowed at the start of a file, and no part of the first record.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The longest record whatever the settings say: the ranges of a [`RawBatch`] have 32 bits.
const MAX_RECORD_BYTES: u64 = 1 << 30;

/// A carried line up to this length is copied into the next batch; the buffer of a longer one changes hands instead.
const COPIED_BYTES: usize = 64 << 10;

/// Cuts lines out of bytes that arrive in pieces.
///
/// For each batch: [`Lines::resume`], then any number of pieces appended to the batch's buffer, each followed by
/// [`Lines::scan`], then [`Lines::finish`] if nothing will follow, then [`Lines::suspend`].
pub(super) struct Lines {
    /// The longest record that is delivered whole.
    max_record_bytes: u64,
    /// Where in the source the unfinished line starts.
    line_offset: u64,
    /// Where in the batch's buffer it starts.
    start: usize,
    /// Its bytes between two batches.
    carry: Vec<u8>,
    /// What the buffer no longer holds of it, if it is too long.
    dropped: Option<Dropped>,
}

/// The middle of an oversized line: read, looked at, and dropped.
struct Dropped {
    bytes: u64,
    blank: bool,
    last: u8,
}

impl Lines {
    /// Starts at `offset`, which is the start of a line.
    pub(super) fn new(offset: u64, max_record_bytes: u64) -> Self {
        let max_record_bytes = max_record_bytes.min(MAX_RECORD_BYTES);
        Lines { max_record_bytes, line_offset: offset, start: 0, carry: Vec::new(), dropped: None }
    }

    /// Puts the unfinished line at the start of an empty batch.
    pub(super) fn resume(&mut self, batch: &mut RawBatch) {
        debug_assert!(batch.buffer.is_empty() && batch.records.is_empty(), "a batch is handed over empty");
        self.start = 0;
        if self.carry.len() <= COPIED_BYTES {
            batch.buffer.extend_from_slice(&self.carry);
            self.carry.clear();
        } else {
            std::mem::swap(&mut batch.buffer, &mut self.carry);
        }
    }

    /// Records the lines that end in what was appended to the buffer after its first `from` bytes.
    pub(super) fn scan(&mut self, batch: &mut RawBatch, from: usize) {
        let RawBatch { buffer, records, .. } = batch;
        for newline in memchr_iter(b'\n', &buffer[from..]) {
            records.extend(self.end_line(buffer, from + newline, 1));
            self.start = from + newline + 1;
        }
        let unfinished_bytes = buffer.len() - self.start;
        if self.dropped.is_some() || unfinished_bytes > self.longest_kept() {
            self.drop_excess(buffer);
        }
    }

    /// Whether a line has ended since [`Lines::resume`].
    pub(super) fn line_ended(&self) -> bool {
        self.start > 0
    }

    /// The source has ended: what remains is the last line.
    pub(super) fn finish(&mut self, batch: &mut RawBatch) {
        if batch.buffer.len() > self.start {
            let end = batch.buffer.len();
            batch.records.extend(self.end_line(&batch.buffer, end, 0));
            self.start = end;
        }
    }

    /// Takes the unfinished line out of the batch again.
    pub(super) fn suspend(&mut self, batch: &mut RawBatch) {
        batch.next_offset = self.line_offset;
        if batch.records.is_empty() {
            batch.buffer.drain(..self.start);
            std::mem::swap(&mut batch.buffer, &mut self.carry);
            batch.buffer.clear();
        } else {
            self.carry.extend_from_slice(&batch.buffer[self.start..]);
            batch.buffer.truncate(self.start);
        }
    }

    /// How much of an unfinished line is kept before it is certain to be oversized. The excess over the limit is what
    /// may turn out not to count: a mark at its start and a carriage return at its end.
    fn longest_kept(&self) -> usize {
        (self.max_record_bytes as usize).max(HEAD_BYTES) + BOM.len() + 1
    }

    fn drop_excess(&mut self, buffer: &mut Vec<u8>) {
        let kept = self.start + HEAD_BYTES + BOM.len();
        let dropped = self.dropped.get_or_insert(Dropped { bytes: 0, blank: true, last: 0 });
        let excess = buffer.get(kept..).unwrap_or_default();
        if let Some(last) = excess.last() {
            dropped.bytes += excess.len() as u64;
            dropped.blank = dropped.blank && is_blank(excess);
            dropped.last = *last;
            buffer.truncate(kept);
        }
    }

    /// The record of the line that ends before `buffer[end]` with `ending` bytes of line ending; none if it is blank.
    fn end_line(&mut self, buffer: &[u8], end: usize, ending: u64) -> Option<RawRecord> {
        let line = &buffer[self.start..end];
        let dropped = self.dropped.take().unwrap_or(Dropped { bytes: 0, blank: true, last: 0 });
        let offset = self.line_offset;
        let line_bytes = dropped.bytes + line.len() as u64;
        self.line_offset += line_bytes + ending;

        let mark = if offset == 0 && line.starts_with(BOM) { BOM.len() } else { 0 };
        if dropped.blank && is_blank(&line[mark..]) {
            return None;
        }
        // Right after the dropped middle, the buffer holds only the head and whatever came with the line's end.
        let tail_was_dropped = dropped.bytes > 0 && line.len() == HEAD_BYTES + BOM.len();
        let last = if tail_was_dropped { Some(dropped.last) } else { line.last().copied() };
        let bytes = line_bytes - mark as u64 - u64::from(last == Some(b'\r'));
        let oversized_bytes = (bytes > self.max_record_bytes).then_some(bytes);
        let payload_bytes = match oversized_bytes {
            Some(bytes) => bytes.min(HEAD_BYTES as u64),
            None => bytes,
        };
        let start = self.start + mark;
        let payload = start as u32..(start + payload_bytes as usize) as u32;
        Some(RawRecord { offset, payload: Some(payload), key: None, oversized_bytes })
    }
}

/// Only JSON's white space.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}
