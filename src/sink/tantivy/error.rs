//! What the index library's errors mean for the person who has to act.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tantivy::TantivyError;
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenWriteError};

use crate::sink::SinkError;
use crate::sink::advice::explain;

/// Looks like a file of the library's own: should it stay, it is none that somebody else has put there.
const PROBE: &str = ".tantivy-flowstone-probe.tmp";

/// Enough to notice that a disk is full.
const PROBE_BYTES: usize = 1 << 20;

/// A [`SinkError`] of `error`, which says who must act where that is known or can be found out in `dir`.
pub(super) fn explain_index(action: &'static str, object: &str, dir: &Path, error: TantivyError) -> SinkError {
    if let Some(cause) = cause(&error) {
        let cause = cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error);
        return explain(action, object, cause);
    }
    // The library's threads say only that they have failed. What they could not do this one can not either.
    match (&error, probe(dir)) {
        (TantivyError::ErrorInThread(_), Err(cause)) => explain(action, object, cause),
        (TantivyError::ErrorInThread(_), Ok(())) => {
            let advice = "a thread of the index library failed, and its directory can be written now; start again, what was \
                not committed is written anew";
            SinkError::store(action, object, format!("{advice} ({error})"))
        }
        (TantivyError::DataCorruption(_), _) => {
            let advice = "the index is damaged; remove its directory, or restore a copy, and start again to fill it";
            SinkError::store(action, object, format!("{advice} ({error})"))
        }
        _ => SinkError::store(action, object, error),
    }
}

fn cause(error: &TantivyError) -> Option<&Arc<io::Error>> {
    match error {
        TantivyError::IoError(cause)
        | TantivyError::LockFailure(LockError::IoError(cause), _)
        | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: cause, .. })
        | TantivyError::OpenDirectoryError(OpenDirectoryError::IoError { io_error: cause, .. }) => Some(cause),
        _ => None,
    }
}

/// Tries what the library does: makes a file, writes it, and removes it.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE);
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    // Nobody is helped by an error about it.
    drop(fs::remove_file(&path));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(dir: &Path, error: TantivyError) -> String {
        let error = explain_index("commit", "search index \"x\"", dir, error);
        let cause = std::error::Error::source(&error).unwrap();
        format!("{error}: {cause}")
    }

    #[test]
    fn a_full_disk_is_named_however_the_library_says_it() {
        let dir = tempfile::tempdir().unwrap();
        let full = || Arc::new(io::Error::from_raw_os_error(28));
        let filepath = dir.path().join("x.store");
        for error in [
            TantivyError::IoError(full()),
            TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: full(), filepath }),
        ] {
            let said = said(dir.path(), error);
            assert!(said.starts_with("could not commit search index \"x\": no space is left"), "{said}");
        }
    }

    #[test]
    fn a_failed_thread_is_explained_by_the_state_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let failed = || TantivyError::ErrorInThread("Worker thread failed.".to_owned());
        let text = said(dir.path(), failed());
        assert!(text.contains("start again") && text.contains("Worker thread failed"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is removed");
        let text = said(&dir.path().join("gone"), failed());
        assert!(text.contains("removed or moved while it was in use"), "{text}");
    }
}
