//! The rules of both file sinks, on real directories.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::record::DeadLetter;
use crate::sink::testing::{delete, epoch, upsert};

mod documents;
pub(in crate::sink) mod ranges;

const HOUR: Duration = Duration::from_secs(3600);

/// The names in a directory, in order; the drafts of a workshop as `DRAFT`.
fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".tmp") {
            names.extend(fs::read_dir(entry.path()).unwrap().map(|_| "DRAFT".to_owned()));
        } else if name != ID {
            names.push(name);
        }
    }
    names.sort();
    names
}
