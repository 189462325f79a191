//! The pipeline file, from the outside: what is said of good and bad ones, the commands around it, its reference page; and
//! whether the page about faults names a test for each.

// The cases use all kinds of sources and sinks.
#![cfg(all(
    feature = "kafka",
    feature = "sqlite",
    feature = "tantivy",
    feature = "elasticsearch",
    feature = "cassandra"
))]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

mod cases;
mod commands;
mod faults;
mod mutations;
mod reference;

use std::path::{Path, PathBuf};

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a text with the file that holds what it should be; with `REWRITE=1` writes the file.
fn golden(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, actual).unwrap();
        return Ok(());
    }
    match std::fs::read_to_string(path) {
        Ok(expected) if expected == actual => Ok(()),
        Ok(expected) => Err(format!("{}\nexpected:\n{expected}\nfound:\n{actual}", path.display())),
        Err(error) => Err(format!("{}: {error}\nfound:\n{actual}", path.display())),
    }
}
