//! Searching an index of moments.
//!
//! ```text
//!  clauses ──▶ candidates: moments that have the terms ──▶ scan: each clause checked on each child of a candidate
//!                                                            │
//!  hits ◀── rank: --top, order ◀── ranges: adjacent moments put together, exact ranges of the annotations
//! ```
//!
//! A clause is met by *one* annotation: its type, text and confidence together. A moment is found if every `all` clause is
//! met, and at least one of the `any` clauses if there are some.

use std::path::{Path, PathBuf};

use crate::record::Scalar;
pub use crate::sink::tantivy::Annotation;

mod candidates;
mod clause;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
mod found;
mod near;
mod phrase;
mod ranges;
mod rank;
mod scan;
#[cfg(test)]
mod tests;
pub mod timecode;

pub use clause::{Clause, Text};
pub use near::Near;

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Clauses that must all hold at once. Without any clause, all moments are found.
    pub all: Vec<Clause>,
    /// Clauses of which at least one must hold at the same time.
    pub any: Vec<Clause>,
    /// Annotations that must all be there at once, too: close to a vector. Only an index of a server has vectors.
    pub near: Vec<Near>,
    /// Only so many annotations count as close to a vector: the nearest of those in moments that meet everything else.
    pub nearest: Option<usize>,
    /// Annotations that are less like a vector than this, from 0 to 1, are not close to it.
    pub min_similarity: Option<f64>,
    /// Lets the server choose among its vectors by their index (HNSW), rather than compare all of them.
    pub approximate: bool,
    /// Only these assets, strings or integers; all if empty.
    pub assets: Vec<String>,
    /// Only moments and annotations that overlap this time; intersections are cut to it.
    pub window: Window,
    /// Annotations with less confidence, or with none, do not meet a clause.
    pub min_confidence: Option<f64>,
    /// How ranges are made of the annotations found.
    pub mode: Mode,
    /// At most so many hits an asset: the best, see [`Hit::confidence`].
    pub top: Option<usize>,
    /// By how many positions in all the words of a phrase may have been moved; 2 also swaps neighbours.
    pub slop: u32,
    /// How many letters of a word may differ (be inserted, deleted, or replaced); at most 2.
    pub fuzzy: u8,
    /// At most so many hits.
    pub limit: Option<usize>,
}

impl Query {
    /// How many conditions a moment must meet: one for each `all` clause, one for all `any` clauses, one for each vector.
    fn conditions(&self) -> usize {
        self.first_near() + self.near.len()
    }

    /// The number of the first condition that is a vector.
    fn first_near(&self) -> usize {
        self.all.len() + usize::from(!self.any.is_empty())
    }
}

/// A half-open stretch of media time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub from_ns: i64,
    /// Its end.
    pub to_ns: i64,
}

impl Default for Window {
    /// All time.
    fn default() -> Self {
        Window { from_ns: 0, to_ns: i64::MAX }
    }
}

/// How ranges are made of the annotations that meet the clauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Exactly the time during which all clauses hold at once.
    #[default]
    Intersection,
    /// The full span of the annotations that meet the clauses in a moment; spans that overlap or touch become one.
    ///
    /// The moment decides what belongs together: annotations that share a bucket and no time are a union, and have no
    /// intersection.
    Union,
}

/// A range of an asset that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The asset.
    pub asset: Scalar,
    /// Start of the range, in nanoseconds.
    pub start_ns: i64,
    /// End of the range, in nanoseconds; the range is half-open.
    pub end_ns: i64,
    /// How sure the hit is: as sure as its weakest clause, and a clause is as sure as the best annotation that meets it.
    /// Clauses met only by annotations without a confidence are left out; `None` if that leaves none. What is close to a
    /// vector is as sure as it is similar.
    ///
    /// Hits are ranked by this (`None` last), then the longer first, then the earlier first.
    pub confidence: Option<f64>,
    /// The annotations that meet a clause in the range, by type, start, end and key.
    pub annotations: Vec<Annotation>,
}

/// An index that could not be searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is nothing at the path.
    #[error("there is no search index at {0:?}: no such directory")]
    Missing(PathBuf),
    /// There is something else.
    #[error("{path:?} is not a search index of moments: {reason}")]
    NotAnIndex {
        /// The directory.
        path: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// It has no vectors.
    #[error("the index at {0:?} has no vectors; those of a sink are in Elasticsearch: ask with --elasticsearch")]
    NoVectors(PathBuf),
    /// A server could not be asked.
    #[error("could not search {object}")]
    Server {
        /// The index and the server.
        object: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It could not be read.
    #[error("could not search the index at {path:?}")]
    Index {
        /// The directory.
        path: PathBuf,
        /// What the index library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Searches the index in a directory, as of its last commit.
///
/// The hits are ordered by asset and time; with [`Query::top`], by asset and rank.
///
/// # Errors
/// If there is no such index, or it can not be read.
pub fn search(index_dir: &Path, query: &Query) -> Result<Vec<Hit>, QueryError> {
    if !query.near.is_empty() {
        return Err(QueryError::NoVectors(index_dir.to_owned()));
    }
    let index = candidates::IndexReader::open(index_dir)?;
    let found = scan::scan(&index, query).map_err(|source| index.failed(source))?;
    let hits = ranges::hits(query, found);
    Ok(rank::rank(query, hits))
}

/// The annotation types that the index knows, in order.
///
/// # Errors
/// As for [`search`].
pub fn types(index_dir: &Path) -> Result<Vec<String>, QueryError> {
    let index = candidates::IndexReader::open(index_dir)?;
    index.types().map_err(|source| index.failed(source))
}
