//! A directory of NDJSON files with change records, one file a range of epochs.
//!
//! ```text
//! {"key":["a7",4000000000],"epoch":1700000000000,"op":"upsert","document":{…}}
//! {"key":["a7",5000000000],"epoch":1700000000000,"op":"delete"}
//! ```
//!
//! `FIRST-LAST.ndjson` holds the changes of the epochs from `FIRST` to `LAST` (numbers of 20 digits), in their order; each key
//! at most once an epoch. `FIRST-LAST.fill.ndjson` holds the whole content as of its epoch. Files appear whole and durable,
//! under their final name, and never change.
//!
//! **To read the state**: list the directory; begin with the newest fill (with nothing, if there is none); apply the ranges
//! after it in the order of their names. Files before the newest fill are removed soon after it has appeared; a reader that
//! finds one missing lists the directory again.
//!
//! `flowstone.id` names the directory's content: one that was made anew has another. Directories `draft.….tmp` belong to the
//! runs that write, one each; opening the sink takes them from all others, which can then publish nothing any more (law L6).
//!
//! Epochs that close within a second of each other share a file, so that short epochs do not make millions of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fail::fail_point;

use self::draft::{Draft, Workshop};
use self::error::{explain, explain_open};
use self::names::Range;
use super::identity::random_id;
use super::{Change, Opened, SinkError, StoreState, Sweep, Writer};
use crate::record::{Renderer, Row};

mod documents;
mod draft;
mod error;
mod names;
#[cfg(test)]
pub(super) mod tests;

pub use documents::open_documents;

/// Files of ordinary epochs appear no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

const DRAFT: &str = "draft";

/// The file that names the content.
const ID: &str = "flowstone.id";

/// Opens the directory `dir`, which is made if it is missing. `name` is the sink's.
///
/// # Errors
/// If the directory can not be made, read or written.
pub fn open(name: &str, dir: &Path) -> Result<Opened, SinkError> {
    let writer = FileWriter::open(name, dir, INTERVAL)?;
    let above = writer.upper;
    let store = StoreState { id: writer.store_id.clone(), upper: above };
    Ok(Opened { writer: Box::new(writer), above, store: Some(store) })
}

struct FileWriter {
    /// The sink and the store, for errors.
    object: String,
    directory: PathBuf,
    interval: Duration,
    /// The changes that are in no file yet.
    draft: Option<Draft>,
    workshop: Workshop,
    store_id: String,
    /// The closed epochs in the draft, first and last.
    closed: Option<(u64, u64)>,
    /// Where in the draft they end.
    closed_bytes: u64,
    /// The epoch after them in the draft.
    writing: Option<u64>,
    /// When the last file appeared.
    published: Option<Instant>,
    /// All epochs below are in files.
    upper: u64,
    line: Vec<u8>,
    renderer: Renderer,
}

impl FileWriter {
    fn open(name: &str, dir: &Path, interval: Duration) -> Result<Self, SinkError> {
        let object = format!("file sink {name:?} ({dir:?})");
        let failed = |error| explain("open", &object, error);
        fs::create_dir_all(dir).map_err(failed)?;
        // Before the directory is listed: nobody else adds to it after this.
        let mut workshop = Workshop::open(dir, DRAFT).map_err(failed)?;
        let store_id = identify(dir, &mut workshop).map_err(failed)?;
        let ranges = Range::list(dir).map_err(failed)?;
        let upper = ranges.iter().map(|range| range.last.saturating_add(1)).max().unwrap_or(0);
        // Made at once, so that a directory that can not be written is noticed now.
        let draft = Some(workshop.draft().map_err(failed)?);
        let writer = FileWriter {
            object,
            directory: dir.to_owned(),
            interval,
            draft,
            workshop,
            store_id,
            closed: None,
            closed_bytes: 0,
            writing: None,
            published: None,
            upper,
            line: Vec::new(),
            renderer: Renderer::default(),
        };
        // A crash may have come between the appearance of a fill and the removal of what it replaces.
        if let Some(fill) = ranges.iter().rfind(|range| range.fill) {
            writer.remove_before(fill.first);
        }
        Ok(writer)
    }

    /// The time until the closed epochs may become a file; zero if they may now.
    fn wait(&self) -> Duration {
        self.published.map_or(Duration::ZERO, |published| self.interval.saturating_sub(published.elapsed()))
    }

    fn draft(&mut self) -> io::Result<&mut Draft> {
        if self.draft.is_none() {
            self.draft = Some(self.workshop.draft()?);
        }
        Ok(self.draft.as_mut().expect("made above"))
    }

    /// Makes the draft, which holds these epochs and nothing else, a file.
    fn publish(&mut self, range: Range) -> io::Result<()> {
        fail_point!("sink-before-commit");
        self.draft()?;
        let draft = self.draft.take().expect("made above");
        draft.publish(&self.directory.join(range.name()))?;
        fail_point!("sink-after-commit");
        self.closed = None;
        self.closed_bytes = 0;
        self.published = Some(Instant::now());
        self.upper = range.last + 1;
        Ok(())
    }

    fn publish_closed(&mut self) -> io::Result<()> {
        match self.closed {
            Some((first, last)) => self.publish(Range { first, last, fill: false }),
            None => Ok(()),
        }
    }

    /// The epoch is the whole content: what the draft holds of earlier ones, and all files before it, do not count any more.
    fn publish_fill(&mut self, epoch: u64) -> io::Result<()> {
        if self.closed.is_some() {
            let mut fill = self.workshop.draft()?;
            let from = self.closed_bytes;
            self.draft()?.copy(from, &mut fill)?;
            self.draft = Some(fill);
        }
        self.publish(Range { first: epoch, last: epoch, fill: true })?;
        fail_point!("sink-sweep");
        self.remove_before(epoch);
        Ok(())
    }

    /// Removes the files of earlier epochs. They do no harm: if one stays, the next fill or start tries again.
    fn remove_before(&self, epoch: u64) {
        let removed = Range::list(&self.directory).and_then(|ranges| {
            let mut older = ranges.iter().filter(|range| range.last < epoch);
            older.try_for_each(|range| fs::remove_file(self.directory.join(range.name())))
        });
        if let Err(error) = removed {
            tracing::warn!("could not remove files before epoch {epoch} of {}: {error}", self.object);
        }
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> SinkError {
        move |error| explain_open(action, &self.object, &self.workshop, error)
    }

    fn append(&mut self, epoch: u64, changes: &mut Vec<Change>) -> io::Result<()> {
        let (mut line, mut renderer) = (std::mem::take(&mut self.line), std::mem::take(&mut self.renderer));
        let draft = self.draft()?;
        for change in changes.drain(..) {
            line.clear();
            render(epoch, &change, &mut renderer, &mut line);
            draft.append(&line)?;
        }
        (self.line, self.renderer) = (line, renderer);
        Ok(())
    }
}

impl Writer for FileWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        if self.writing.is_none() {
            let newest = self.closed.map_or(self.upper, |(_, last)| last + 1);
            assert!(epoch >= newest, "epochs grow: {epoch} is below {newest}");
            if self.wait().is_zero() {
                self.publish_closed().map_err(self.failed("write to"))?;
            }
        }
        assert_eq!(*self.writing.get_or_insert(epoch), epoch, "an epoch is closed before the next one is written");
        self.append(epoch, changes).map_err(self.failed("write to"))
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        self.writing = None;
        let result = if sweep == Sweep::Older {
            self.publish_fill(epoch)
        } else {
            self.closed = Some((self.closed.map_or(epoch, |(first, _)| first), epoch));
            self.closed_bytes = self.draft.as_ref().map_or(0, Draft::bytes);
            if self.wait().is_zero() { self.publish_closed() } else { Ok(()) }
        };
        result.map_err(self.failed("commit to"))
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        let wait = self.wait();
        // An epoch that is being written shares the draft: its close will publish both.
        if self.closed.is_none() || self.writing.is_some() {
            return Ok(None);
        }
        if !wait.is_zero() {
            return Ok(Some(wait));
        }
        self.publish_closed().map(|()| None).map_err(self.failed("commit to"))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let closed_bytes = self.closed_bytes;
        let unfinished = self.writing.take().is_some();
        let cut = match &mut self.draft {
            Some(draft) if unfinished => draft.cut(closed_bytes),
            _ => Ok(()),
        };
        cut.and_then(|()| self.publish_closed()).map_err(self.failed("commit to"))?;
        self.draft = None;
        Ok(())
    }
}

/// What the content is named, given a name if it has none.
fn identify(dir: &Path, workshop: &mut Workshop) -> io::Result<String> {
    let path = dir.join(ID);
    let id = match fs::read_to_string(&path) {
        Ok(id) => id,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let id = format!("{}\n", random_id());
            let mut draft = workshop.draft()?;
            draft.append(id.as_bytes())?;
            draft.publish(&path)?;
            id
        }
        Err(e) => return Err(e),
    };
    match id.trim_ascii() {
        "" => {
            Err(io::Error::other(format!("{path:?}, which names its content, is empty; remove it to give a new name")))
        }
        id => Ok(id.to_owned()),
    }
}

/// Appends a change record and a line feed.
fn render(epoch: u64, change: &Change, renderer: &mut Renderer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    change.row().write_key(out);
    out.extend_from_slice(b",\"epoch\":");
    out.extend_from_slice(itoa::Buffer::new().format(epoch).as_bytes());
    match change.after() {
        None => out.extend_from_slice(b",\"op\":\"delete\""),
        Some(row) => {
            out.extend_from_slice(b",\"op\":\"upsert\",\"document\":");
            render_document(row, renderer, out);
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the row's document on one line. A payload may have come with line breaks: in JSON text they stand between tokens
/// only, where a space does as well.
fn render_document(row: &Row, renderer: &mut Renderer, out: &mut Vec<u8>) {
    let start = out.len();
    renderer.document(row, out);
    let document = &mut out[start..];
    let mut from = 0;
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &document[from..]) {
        document[from + found] = b' ';
        from += found + 1;
    }
}
