//! Stream-processing operators that fuse overlapping annotations into searchable moments.

pub mod cli;
pub mod generate;
pub mod pipeline;
#[cfg(feature = "tantivy")]
pub mod query;
pub mod record;
pub mod runtime;
pub mod sink;
pub mod source;
