//! What a sink was left with, and whether it is what must be there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use sonic_rs::JsonValueTrait;
use xxhash_rust::xxh3::xxh3_128;

use super::NexmarkError;

/// The hashes of documents, in their order: that of a million of them fits everywhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    hashes: Vec<u128>,
}

fn hash(document: &str) -> u128 {
    xxh3_128(document.as_bytes())
}

impl Contents {
    /// Of the documents that `give` gives.
    pub(super) fn of(give: impl FnOnce(&mut dyn FnMut(&str))) -> Self {
        let mut hashes = Vec::new();
        give(&mut |document| hashes.push(hash(document)));
        hashes.sort_unstable();
        Contents { hashes }
    }

    /// What the change records in the directory of a `file` sink come to.
    pub(super) fn of_sink(directory: &Path) -> Result<Self, NexmarkError> {
        let mut rows: HashMap<Box<[u8]>, u128> = HashMap::new();
        each_change(directory, |key, document| {
            match document {
                Some(document) => rows.insert(key.as_bytes().into(), hash(document)),
                None => rows.remove(key.as_bytes()),
            };
        })?;
        let mut hashes: Vec<u128> = rows.into_values().collect();
        hashes.sort_unstable();
        Ok(Contents { hashes })
    }

    pub(super) fn len(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// One of them that `others` has not, or not as often.
    fn without(&self, others: &Contents) -> Option<u128> {
        let count = |of: &Contents, hash: u128| {
            of.hashes.partition_point(|other| *other <= hash) - of.hashes.partition_point(|other| *other < hash)
        };
        self.hashes.iter().copied().find(|hash| count(self, *hash) > count(others, *hash))
    }
}

/// One of the documents that `expected` has and the sink has not, and one where it is the other way round.
pub(super) fn differing(
    directory: &Path,
    found: &Contents,
    expected: &Contents,
    oracle: impl FnOnce(&mut dyn FnMut(&str)),
) -> Result<(Option<String>, Option<String>), NexmarkError> {
    let (mut missing, mut wrong) = (None, None);
    if let Some(wanted) = expected.without(found) {
        oracle(&mut |document| {
            if hash(document) == wanted {
                missing = Some(document.to_owned());
            }
        });
    }
    if let Some(wanted) = found.without(expected) {
        each_change(directory, |_, document| {
            if let Some(document) = document.filter(|document| hash(document) == wanted) {
                wrong = Some(document.to_owned());
            }
        })?;
    }
    Ok((missing, wrong))
}

/// Calls `each` with the key and the document of each change record, in their order; a deletion has none.
fn each_change(directory: &Path, mut each: impl FnMut(&str, Option<&str>)) -> Result<(), NexmarkError> {
    let failed = |source| NexmarkError::Files { path: directory.to_owned(), source };
    let files = std::fs::read_dir(directory).map_err(failed)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = files.collect::<std::io::Result<_>>().map_err(failed)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
    files.sort_unstable();
    for file in files {
        let mut lines = BufReader::new(File::open(file).map_err(failed)?);
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(failed)? > 0 {
            let member = |name: &str| sonic_rs::get(line.as_str(), [name]).ok();
            let (key, op) = (member("key"), member("op"));
            let (Some(key), Some(op)) = (key, op) else { return Err(failed(std::io::ErrorKind::InvalidData.into())) };
            let document = member("document").filter(|_| op.as_str() == Some("upsert"));
            each(key.as_raw_str(), document.as_ref().map(|document| document.as_raw_str()));
            line.clear();
        }
    }
    Ok(())
}
