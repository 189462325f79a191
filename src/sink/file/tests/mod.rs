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
mod ranges;

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

#[test]
fn errors_of_the_system_say_who_must_act() {
    for (code, expected) in [(28, "no space is left"), (122, "quota"), (30, "read-only"), (13, "permissions")] {
        let error = explain("write to", "file sink \"x\"", io::Error::from_raw_os_error(code));
        assert_eq!(error.to_string(), "could not write to file sink \"x\"");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected), "{code}: {cause}");
    }
}
