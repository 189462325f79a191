//! The search index of moments: a Tantivy index, one index document a moment.
//!
//! ```text
//!  moment ──▶ documents: key, epoch, asset, range, the JSON document, one value a child
//!             terms:     type · (type, label) · (type, word)     each of one child: types never answer for each other
//!  epoch closed ──▶ delete (key, older epoch)   ──▶ commit {store, upper} every `commit:`, 64 MiB, and at the end
//! ```
//!
//! Terms find candidates; which child they came from is not in them, so [`crate::query`] checks each candidate against
//! its children. A commit holds whole epochs, and its payload says below which one everything is in.

use std::path::Path;

use crate::pipeline::model::TantivySink;
use crate::sink::{Opened, SinkError, StoreState};

mod annotation;
mod document;
mod error;
mod schema;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod words;
mod writer;

pub use annotation::Annotation;
pub(crate) use annotation::Paths;
pub(crate) use document::LARGE;
pub(crate) use schema::Fields;
pub(crate) use words::words;

/// Opens the index of the sink `name` in `dir` for writing; creates what is missing.
///
/// # Errors
/// [`SinkError::Mismatch`] if the directory holds something else than a search index of this kind;
/// [`SinkError::Store`] if it can not be opened or another process writes to it.
pub fn open(name: &str, dir: &Path, spec: &TantivySink) -> Result<Opened, SinkError> {
    let object = format!("search index {name:?} ({})", dir.display());
    let store = store::open(&object, dir)?;
    let above = store.payload.upper;
    let state = StoreState { id: store.payload.store.clone(), upper: above };
    let paths = Paths::of(spec);
    let writer = writer::IndexSink::new(object, dir, store, paths, spec.commit.duration());
    Ok(Opened { writer: Box::new(writer), above, store: Some(state) })
}

/// What differs between an index and one of ours, for people.
pub(crate) fn difference(index: &tantivy::Index) -> Option<String> {
    schema::difference(&index.schema())
}
