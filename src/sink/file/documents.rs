//! One NDJSON file of documents alone: what dead letters are written to.
//!
//! The file is a log for people: a change of a document is a further line, and the deletion of one leaves its line.
//! Epochs are appended, each whole. Which ones are in it the file does not tell; who remembers that remembers its length,
//! too ([`Writer::mark`]), and the next run cuts it there: what lies beyond comes again.
//!
//! A fill, of runs that remember nothing, replaces the file at once by one with its documents, or removes it if it has
//! none: a file that is there has something to say.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fail::fail_point;

use super::draft::{Draft, Workshop, directory_of, sync_directory_of};
use super::error::{explain, explain_open};
use super::render_document;
use crate::record::Renderer;
use crate::sink::{Change, Opened, SinkError, Sweep, Writer};

/// The end of the file is looked for its last line break in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

/// Opens the file at `path`, which need not exist; makes its directory if that is missing.
///
/// `resume` is the mark that was recorded with the upper at which the run begins; `None` if none ever was. The writer has a
/// mark from the start: recorded before the first epoch is written, it lets a run that ends before the next record leave
/// nothing behind.
///
/// # Errors
/// If the directory can not be made or written, or if something else than a file is there.
pub fn open_documents(path: &Path, resume: Option<&str>) -> Result<Opened, SinkError> {
    // The file holds no epochs: any epoch is above them.
    Ok(Opened { writer: Box::new(DocumentsWriter::open(path, resume)?), above: 0, store: None })
}

pub(super) struct DocumentsWriter {
    /// The file, for errors.
    object: String,
    path: PathBuf,
    /// The documents of the epoch that is being written.
    draft: Option<Draft>,
    workshop: Workshop,
    upper: u64,
    /// The length of the file as of the last closed epoch.
    closed_bytes: u64,
    line: Vec<u8>,
    renderer: Renderer,
}

impl DocumentsWriter {
    pub(super) fn open(path: &Path, resume: Option<&str>) -> Result<Self, SinkError> {
        let object = format!("file {path:?}");
        let failed = |error| explain("open", &object, error);
        fs::create_dir_all(directory_of(path)).map_err(failed)?;
        let path = target(path).map_err(failed)?;
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Before the file is looked at: nobody else adds to it after this.
        let mut workshop = Workshop::open(directory_of(&path), &stem).map_err(failed)?;
        let closed_bytes = restore(&path, resume).map_err(failed)?;
        // Made at once, so that a directory that can not be written is noticed now.
        let draft = Some(workshop.draft().map_err(failed)?);
        Ok(DocumentsWriter {
            object,
            path,
            draft,
            workshop,
            upper: 0,
            closed_bytes,
            line: Vec::new(),
            renderer: Renderer::default(),
        })
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> SinkError {
        move |error| explain_open(action, &self.object, &self.workshop, error)
    }

    fn draft(&mut self) -> io::Result<&mut Draft> {
        if self.draft.is_none() {
            self.draft = Some(self.workshop.draft()?);
        }
        Ok(self.draft.as_mut().expect("made above"))
    }

    fn append(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let (mut line, mut renderer) = (std::mem::take(&mut self.line), std::mem::take(&mut self.renderer));
        let draft = self.draft()?;
        for change in changes.drain(..) {
            if let Some(row) = change.after() {
                line.clear();
                render_document(row, &mut renderer, &mut line);
                line.push(b'\n');
                draft.append(&line)?;
            }
        }
        (self.line, self.renderer) = (line, renderer);
        Ok(())
    }

    fn commit(&mut self, sweep: Sweep) -> io::Result<()> {
        let draft = self.draft.take().filter(|draft| draft.bytes() > 0);
        fail_point!("sink-before-commit");
        match (draft, sweep) {
            (Some(draft), Sweep::Older) => {
                self.closed_bytes = draft.bytes();
                draft.replace(&self.path)?;
            }
            (Some(mut draft), Sweep::Keep) => {
                if self.workshop.is_taken_over() {
                    return Err(ErrorKind::NotFound.into());
                }
                self.closed_bytes = append_draft(&mut draft, &self.path)?;
            }
            (None, Sweep::Older) => {
                self.closed_bytes = 0;
                match fs::remove_file(&self.path) {
                    Ok(()) => sync_directory_of(&self.path)?,
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            (None, Sweep::Keep) => {}
        }
        fail_point!("sink-after-commit");
        Ok(())
    }
}

impl Writer for DocumentsWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        assert!(epoch >= self.upper, "epochs grow: {epoch} is below {}", self.upper);
        self.append(changes).map_err(self.failed("write to"))
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        self.commit(sweep).map_err(self.failed("write to"))?;
        self.upper = epoch + 1;
        Ok(())
    }

    /// The length of the file in bytes.
    fn mark(&self) -> Option<String> {
        Some(self.closed_bytes.to_string())
    }

    fn durable_upper(&self) -> u64 {
        self.upper
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // Of an unfinished epoch nothing is shown.
        self.draft = None;
        Ok(())
    }
}

/// Where the file is: a link is followed, so that it is not replaced itself, and nothing else than a file is.
fn target(path: &Path) -> io::Result<PathBuf> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(e) => return Err(e),
    };
    if fs::metadata(&path)?.is_file() { Ok(path) } else { Err(io::Error::other("it is no regular file")) }
}

/// Adds the draft's lines to the end of the file: all of them, or none. Returns its new length.
fn append_draft(draft: &mut Draft, path: &Path) -> io::Result<u64> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    if let Err(error) = draft.copy(0, &mut file).and_then(|()| file.sync_all()) {
        // What stays if this fails too is cut by the next start.
        drop(file.set_len(before));
        return Err(error);
    }
    if is_new {
        sync_directory_of(path)?;
    }
    Ok(before + draft.bytes())
}

/// Makes the file what it was at the mark, as far as that can be; returns its length.
fn restore(path: &Path, mark: Option<&str>) -> io::Result<u64> {
    let whole_bytes = cut_unfinished_line(path)?;
    let Some(mark) = mark else { return Ok(whole_bytes) };
    let marked_bytes: u64 = mark
        .parse()
        .map_err(|_| io::Error::other(format!("the length {mark:?} that is remembered of it is no number")))?;
    if whole_bytes < marked_bytes {
        tracing::warn!(
            "{path:?} has {whole_bytes} bytes of the {marked_bytes} that were written: some of it was removed; it goes on from here"
        );
        return Ok(whole_bytes);
    }
    if whole_bytes > marked_bytes {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        if end_of_last_line(&mut file, marked_bytes)? != marked_bytes {
            tracing::warn!("{path:?} was changed by someone else since it was written; it goes on from here");
            return Ok(whole_bytes);
        }
        tracing::info!("cutting {} bytes off {path:?}, which come again", whole_bytes - marked_bytes);
        if marked_bytes == 0 {
            fs::remove_file(path)?;
            sync_directory_of(path)?;
        } else {
            file.set_len(marked_bytes)?;
            file.sync_all()?;
        }
    }
    Ok(marked_bytes)
}

/// A crash in the middle of an append leaves a part of a line, of an epoch that was not closed. Returns the file's length,
/// 0 if there is none.
fn cut_unfinished_line(path: &Path) -> io::Result<u64> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let bytes = file.metadata()?.len();
    let whole_bytes = end_of_last_line(&mut file, bytes)?;
    if whole_bytes < bytes {
        tracing::warn!("{path:?} ended in an unfinished line of {} bytes, which was cut", bytes - whole_bytes);
        file.set_len(whole_bytes)?;
    }
    Ok(whole_bytes)
}

/// The position after the last line break before `end`; 0 if there is none.
fn end_of_last_line(file: &mut File, mut end: u64) -> io::Result<u64> {
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE_BYTES);
        piece.clear();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut piece)?;
        if let Some(found) = memchr::memrchr(b'\n', &piece) {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
