//! The writer: epochs in, commits out.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fail::fail_point;
use tantivy::query::{BooleanQuery, Query, RangeQuery, TermSetQuery};
use tantivy::{IndexWriter, TantivyError, Term};

use super::annotation::Paths;
use super::document::{MomentDocument, PreparedChild, Waiting};
use super::error::explain_index;
use super::schema::{Fields, bounded};
use super::store::{self, Payload, Store};
use crate::record::{Renderer, Row};
use crate::sink::{Change, SinkError, Sweep, Writer};

/// What was written before a commit that does not wait for its time, in bytes.
const COMMIT_BYTES: u64 = 64 << 20;

/// Writes the epochs of one sink to its index.
///
/// An epoch's documents are added as they come. The documents that they replace are deleted when the epoch is closed, by
/// key and by an older epoch, all in one pass over the index; an epoch with a sweep deletes by the epoch alone.
pub(super) struct IndexSink {
    object: String,
    dir: PathBuf,
    /// Gone only while finishing.
    index: Option<IndexWriter<MomentDocument>>,
    fields: Fields,
    paths: Paths,
    renderer: Renderer,
    waiting: Arc<Waiting>,
    commits: Commits,
    payload: Payload,
    /// The epoch that is being written.
    open: Option<u64>,
    /// The keys that it touched; not kept while nothing in the index can have them.
    touched: PackedKeys,
    /// Whether the index may hold documents of earlier epochs.
    populated: bool,
}

impl IndexSink {
    pub fn new(object: String, dir: &Path, store: Store, paths: Paths, commit_every: Duration) -> Self {
        let fields = Fields::of(&store.writer.index().schema());
        IndexSink {
            object,
            dir: dir.to_owned(),
            index: Some(store.writer),
            fields,
            paths,
            renderer: Renderer::default(),
            waiting: Arc::default(),
            commits: Commits::new(commit_every, store.payload.upper),
            payload: store.payload,
            open: None,
            touched: PackedKeys::default(),
            populated: store.populated,
        }
    }

    fn failed(&self, action: &'static str, error: TantivyError) -> SinkError {
        explain_index(action, &self.object, &self.dir, error)
    }

    fn index(&self) -> &IndexWriter<MomentDocument> {
        self.index.as_ref().expect("finish is the last call")
    }

    fn commit(&mut self) -> Result<(), SinkError> {
        assert!(self.open.is_none(), "half an epoch is never committed");
        self.payload.upper = self.commits.closed_upper;
        let index = self.index.as_mut().expect("finish is the last call");
        fail_point!("sink-before-commit");
        store::commit(index, &self.payload).map_err(|error| self.failed("commit", error))?;
        fail_point!("sink-after-commit");
        self.commits.committed(Instant::now());
        Ok(())
    }

    fn apply(&mut self, epoch: u64, changes: &[Change]) -> Result<(), SinkError> {
        // By address: valid while `changes` keeps the payloads alive.
        let mut children: HashMap<*const u8, Arc<PreparedChild>> = HashMap::new();
        let mut key = Vec::new();
        for change in changes {
            let Row::Moment(fused) = change.row() else {
                return Err(SinkError::store(
                    "write to",
                    &self.object,
                    "it takes the moments of a fuse and nothing else",
                ));
            };
            key.clear();
            change.row().write_key(&mut key);
            let key = std::str::from_utf8(&key).expect("a key is JSON text");
            if self.populated {
                self.touched.push(key);
            }
            let Some(row) = change.after() else { continue };
            let prepare = |child: crate::record::Child<'_>| {
                let prepared = children.entry(child.payload.as_ptr());
                Arc::clone(prepared.or_insert_with(|| Arc::new(PreparedChild::of(&self.paths.annotation(&child)))))
            };
            let children: Vec<_> = row.children().map(prepare).collect();
            let (mut document, mut asset) = (Vec::new(), Vec::new());
            self.renderer.document(row, &mut document);
            fused.moment.key.write_json(&mut asset);
            let bytes = MomentDocument::bytes(&document, &children);
            self.commits.written_bytes += bytes;
            let moment = MomentDocument {
                fields: self.fields,
                key: key.to_owned(),
                id: bounded(key).into_owned(),
                document,
                asset: bounded(std::str::from_utf8(&asset).expect("a scalar is JSON text")).into_owned(),
                start_ns: fused.moment.interval.start_ns(),
                end_ns: fused.moment.interval.end_ns(),
                epoch,
                children,
                _permit: self.waiting.admit(bytes),
            };
            self.index().add_document(moment).map_err(|error| self.failed("write to", error))?;
        }
        Ok(())
    }

    /// The documents of epochs before `epoch`.
    fn older_than(&self, epoch: u64) -> Box<dyn Query> {
        let border = Term::from_field_u64(self.fields.epoch, epoch);
        Box::new(RangeQuery::new(Bound::Unbounded, Bound::Excluded(border)))
    }
}

impl Writer for IndexSink {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        match self.open {
            Some(open) => assert_eq!(open, epoch, "an epoch is closed before the next one is written"),
            None => {
                assert!(epoch >= self.commits.closed_upper, "epochs are written in increasing order");
                if self.commits.due(Instant::now()) {
                    self.commit()?;
                }
                self.open = Some(epoch);
            }
        }
        self.apply(epoch, changes)?;
        changes.clear();
        Ok(())
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        assert!(self.open.is_none_or(|open| open == epoch), "the epoch that is open is closed");
        assert!(epoch >= self.commits.closed_upper, "epochs are closed in increasing order");
        let touched = std::mem::take(&mut self.touched);
        let stale: Option<Box<dyn Query>> = match sweep {
            Sweep::Older if self.populated => Some(self.older_than(epoch)),
            Sweep::Keep if !touched.is_empty() => {
                let terms = touched.iter().map(|key| self.fields.id_term(key));
                let keys: Box<dyn Query> = Box::new(TermSetQuery::new(terms));
                Some(Box::new(BooleanQuery::intersection(vec![keys, self.older_than(epoch)])))
            }
            _ => None,
        };
        if let Some(stale) = stale {
            if sweep == Sweep::Older {
                fail_point!("sink-sweep");
            }
            self.index().delete_query(stale).map_err(|error| self.failed("write to", error))?;
        }
        self.populated = true;
        self.open = None;
        self.commits.closed(epoch);
        if self.commits.due(Instant::now()) {
            self.commit()?;
        }
        Ok(())
    }

    fn durable_upper(&self) -> u64 {
        self.commits.durable_upper
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        let now = Instant::now();
        if self.open.is_none() && self.commits.due(now) {
            self.commit()?;
        }
        // An epoch that is being written is committed after it is closed.
        Ok(self.commits.wait(now).filter(|_| self.open.is_none()))
    }

    /// An epoch that was not closed is left out; what was closed just before it, and not yet committed, with it.
    fn finish(&mut self) -> Result<(), SinkError> {
        if self.open.is_none() && self.commits.pending() {
            self.commit()?;
        }
        let index = self.index.take().expect("finish is the last call");
        if self.open.is_some() {
            drop(index);
            return Ok(());
        }
        // Everything is durable already; few large segments are what makes searches fast.
        index.wait_merging_threads().map_err(|error| self.failed("merge the segments of", error))
    }
}

/// When to commit.
struct Commits {
    every: Duration,
    last: Option<Instant>,
    /// Since the last commit.
    written_bytes: u64,
    /// All epochs below are closed.
    closed_upper: u64,
    /// All epochs below are committed.
    durable_upper: u64,
}

impl Commits {
    fn new(every: Duration, upper: u64) -> Self {
        Commits { every, last: None, written_bytes: 0, closed_upper: upper, durable_upper: upper }
    }

    fn closed(&mut self, epoch: u64) {
        self.closed_upper = epoch + 1;
    }

    fn committed(&mut self, now: Instant) {
        self.durable_upper = self.closed_upper;
        self.written_bytes = 0;
        self.last = Some(now);
    }

    /// Whether an epoch is closed and not committed.
    fn pending(&self) -> bool {
        self.closed_upper > self.durable_upper
    }

    /// How long until a commit is due; `None` if there is nothing to commit.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let passed = self.last.map_or(self.every, |last| now.saturating_duration_since(last));
        let full = self.written_bytes >= COMMIT_BYTES;
        self.pending().then(|| if full { Duration::ZERO } else { self.every.saturating_sub(passed) })
    }

    fn due(&self, now: Instant) -> bool {
        self.wait(now).is_some_and(|wait| wait.is_zero())
    }
}

/// The keys of an epoch in one buffer.
#[derive(Default)]
struct PackedKeys {
    text: String,
    ends: Vec<usize>,
}

impl PackedKeys {
    fn push(&mut self, key: &str) {
        self.text.push_str(key);
        self.ends.push(self.text.len());
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_due_when_its_time_has_come_or_enough_was_written() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut commits = Commits::new(Duration::from_millis(1_000), 0);
        assert_eq!(commits.wait(at(0)), None, "nothing to commit");
        commits.closed(7);
        assert!(commits.due(at(0)), "the first commit does not wait");
        commits.committed(at(0));
        assert_eq!(commits.durable_upper, 8);
        commits.closed(8);
        assert_eq!(commits.wait(at(400)), Some(Duration::from_millis(600)));
        commits.written_bytes = COMMIT_BYTES;
        assert!(commits.due(at(400)));
        commits.written_bytes = 0;
        assert!(commits.due(at(1_000)));
    }

    #[test]
    fn packed_keys_come_out_as_they_went_in() {
        let mut keys = PackedKeys::default();
        for key in ["a", "", "bcd"] {
            keys.push(key);
        }
        assert_eq!(keys.iter().collect::<Vec<_>>(), ["a", "", "bcd"]);
    }
}
