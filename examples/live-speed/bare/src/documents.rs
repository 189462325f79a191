//! Documents that Flowstone has rendered: those of the newest fill of a `file` sink.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// A document and its row key.
pub struct Document {
    /// A compact JSON array.
    pub key: String,
    pub json: String,
}

/// Reads the directory of a `file` sink that nobody writes to.
pub fn read(directory: &Path) -> Result<Vec<Document>, Failure> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".fill.ndjson"));
    let file = files.iter().max().ok_or_else(|| format!("there is no fill in {}", directory.display()))?;
    let text = fs::read_to_string(file)?;
    text.lines().map(document).collect()
}

fn document(line: &str) -> Result<Document, Failure> {
    let field = |name: &str| sonic_rs::get(line, [name]).map(|value| value.as_raw_str().to_owned());
    Ok(Document { key: field("key")?, json: field("document")? })
}
