//! The marks that a reader gives out, and those of partitions without a file.

use super::follow::Identity;
use super::mark::{Disk, Mark, Trace};
use crate::source::{Bookmark, PartitionReader, Progress, RawBatch, SourceError};

/// Makes the marks of a reader's bookmarks.
pub(super) struct Marks {
    /// The offset that the reader started from.
    pub(super) opened_at: u64,
    trace: Trace,
    mark: Mark,
    /// The last one given out, and its offset.
    last: Option<(u64, String)>,
    /// What is left of an unterminated line that was taken as a record when the file ended: it must have been all of it.
    unterminated: Option<Unterminated>,
}

#[derive(Clone, Copy)]
enum Unterminated {
    /// A line ending must follow.
    Line,
    /// A carriage return has followed.
    CarriageReturn,
}

impl Marks {
    pub(super) fn new(offset: u64, trace: Trace, id: Option<Identity>) -> Self {
        // A bookmark stands behind a line feed, unless the file ended there.
        let is_unterminated = trace.last().is_some_and(|last| last != b'\n');
        let unterminated = is_unterminated.then_some(Unterminated::Line);
        Marks { opened_at: offset, trace, mark: Mark { id, ..Mark::default() }, last: None, unterminated }
    }

    /// Takes in what was read; `Err` if it goes on with a line that was taken as a record.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<(), String> {
        if let Some(unterminated) = self.unterminated {
            self.unterminated = match (unterminated, piece) {
                (_, []) => Some(unterminated),
                (_, [b'\n', ..]) | (Unterminated::Line, [b'\r', b'\n', ..]) => None,
                (Unterminated::Line, [b'\r']) => Some(Unterminated::CarriageReturn),
                _ => {
                    return Err(
                        "its last line had no end and was taken as a whole record when the file was read to its \
                        end; now more was appended to that line"
                            .to_owned(),
                    );
                }
            };
        }
        self.trace.read(piece);
        Ok(())
    }

    /// Everything was read, and nobody waits for more.
    pub(super) fn end(&mut self, disk: Option<Disk>) {
        self.trace.finish();
        self.mark.ended = true;
        self.mark.disk = disk;
        self.last = None;
    }

    /// The mark of a bookmark at `offset`, which is where the unfinished line starts.
    pub(super) fn at(&mut self, offset: u64) -> String {
        if let Some((_, mark)) = self.last.as_ref().filter(|(at, _)| *at == offset) {
            return mark.clone();
        }
        self.mark.head = self.trace.head_hash(offset);
        self.mark.tail = self.trace.tail_hash();
        self.last.insert((offset, self.mark.to_json())).1.clone()
    }
}

/// A partition that has no file any more, or one that is known to be unchanged: nothing follows.
pub(super) struct Over {
    pub(super) bookmark: Bookmark,
}

impl PartitionReader for Over {
    fn poll(&mut self, batch: &mut RawBatch, _: usize) -> Result<Progress, SourceError> {
        batch.next_offset = self.bookmark.offset;
        batch.mark.clone_from(&self.bookmark.mark);
        Ok(Progress::End)
    }

    fn total_bytes(&self) -> Option<u64> {
        Some(0)
    }

    fn read_bytes(&self) -> u64 {
        0
    }
}
