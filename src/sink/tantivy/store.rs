//! The directory of an index: creating it, recognising it, and what its commits say about it.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexMeta, IndexWriter, TantivyError};

use super::document::MomentDocument;
use super::error::explain_index;
use super::{schema, words};
use crate::sink::SinkError;
use crate::sink::advice::explain;
use crate::sink::identity::random_id;

/// What each commit carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    /// A random id, given at creation: which store this is.
    pub store: String,
    /// All epochs below are in the commit.
    pub upper: u64,
}

/// An index that is locked for writing.
pub(super) struct Store {
    pub writer: IndexWriter<MomentDocument>,
    pub payload: Payload,
    /// Whether there are documents in it.
    pub populated: bool,
}

/// What the indexing thread buffers before it writes a segment, in bytes.
const BUFFER_BYTES: usize = 64 << 20;

/// Segments with more than this share of deleted documents are merged, which frees them.
const MAX_DELETED_SHARE: f32 = 0.3;

/// Opens the index in `dir` for writing, or creates it. `object` names it in errors.
pub(super) fn open(object: &str, dir: &Path) -> Result<Store, SinkError> {
    let failed = |error| explain_index("open", object, dir, error);
    let index = open_or_create(object, dir)?;
    index.tokenizers().register(words::ANALYZER, words::TypedWords::default());
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(BUFFER_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let mut writer = index.writer_with_options(options).map_err(|error| match error {
        TantivyError::LockFailure(LockError::LockBusy, _) => {
            SinkError::store("open", object, "another process is writing to it; stop that one first")
        }
        error => failed(error),
    })?;
    let mut policy = LogMergePolicy::default();
    policy.set_del_docs_ratio_before_merge(MAX_DELETED_SHARE);
    writer.set_merge_policy(Box::new(policy));

    // What a run left that failed or was killed would otherwise stay until a commit, for which there may be no space.
    writer.garbage_collect_files().wait().map_err(failed)?;
    // Only now: until the lock was ours, another process may have committed.
    let meta = index.load_metas().map_err(failed)?;
    let populated = meta.segments.iter().any(|segment| segment.num_docs() > 0);
    let payload = match payload(object, &meta)? {
        Some(payload) => payload,
        None => {
            let payload = Payload { store: random_id(), upper: 0 };
            commit(&mut writer, &payload).map_err(failed)?;
            payload
        }
    };
    Ok(Store { writer, payload, populated })
}

/// Commits everything that was added and deleted, together with `payload`.
pub(super) fn commit(writer: &mut IndexWriter<MomentDocument>, payload: &Payload) -> tantivy::Result<()> {
    let mut prepared = writer.prepare_commit()?;
    prepared.set_payload(&serde_json::to_string(payload).expect("a string and a number are JSON"));
    prepared.commit()?;
    Ok(())
}

fn open_or_create(object: &str, dir: &Path) -> Result<Index, SinkError> {
    let failed = |error| explain_index("open", object, dir, error);
    let io = |error| explain("open", object, error);
    fs::create_dir_all(dir).map_err(io)?;
    let directory = MmapDirectory::open(dir).map_err(|error| failed(error.into()))?;
    if !Index::exists(&directory).map_err(|error| failed(error.into()))? {
        if let Some(name) = foreign_entry(dir).map_err(io)? {
            let difference = format!("its directory holds {name:?} and no index; choose an empty or a new directory");
            return Err(SinkError::Mismatch { object: object.to_owned(), difference });
        }
        return Index::builder().schema(schema::schema()).open_or_create(directory).map_err(failed);
    }
    let index = Index::open(directory).map_err(|error| match error {
        TantivyError::IncompatibleIndex(reason) => SinkError::Mismatch {
            object: object.to_owned(),
            difference: format!("it was written by another version of the index library: {reason:?}"),
        },
        error => failed(error),
    })?;
    match schema::difference(&index.schema()) {
        Some(difference) => Err(SinkError::Mismatch { object: object.to_owned(), difference }),
        None => Ok(index),
    }
}

/// A file that is not from a creation that was cut short (those are hidden).
fn foreign_entry(dir: &Path) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(".tmp") && !name.starts_with(".tantivy") && name != ".managed.json" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The payload of the last commit; `None` if the index was created and nothing was ever committed.
fn payload(object: &str, meta: &IndexMeta) -> Result<Option<Payload>, SinkError> {
    let mismatch = |difference: String| SinkError::Mismatch { object: object.to_owned(), difference };
    match &meta.payload {
        Some(text) => serde_json::from_str(text)
            .map(Some)
            .map_err(|error| mismatch(format!("its last commit is not one of ours: {text:?}: {error}"))),
        None if meta.segments.is_empty() => Ok(None),
        None => Err(mismatch("its last commit is not one of ours: it carries no payload".to_owned())),
    }
}
