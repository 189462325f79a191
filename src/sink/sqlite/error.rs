//! What SQLite's errors mean for the person who has to act.

use rusqlite::{Error, ErrorCode};

use crate::sink::SinkError;

/// An error of SQLite with advice.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Advised {
    advice: &'static str,
    #[source]
    source: Error,
}

/// A [`SinkError`] of `error`, which says who must act where that is known.
pub(super) fn explain(action: &'static str, object: &str, error: Error) -> SinkError {
    match advice(&error) {
        Some(advice) => SinkError::store(action, object, Advised { advice, source: error }),
        None => SinkError::store(action, object, error),
    }
}

/// Whether the cause may pass by itself: another connection holds a lock.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn advice(error: &Error) -> Option<&'static str> {
    Some(match error.sqlite_error_code()? {
        ErrorCode::DiskFull => {
            "no space is left on its disk (or in its quota); free some and start again, the unfinished epoch was rolled back"
        }
        ErrorCode::ReadOnly => "the file, its directory or its file system is read-only; make all of them writable",
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            "check that the path names a file, and that the file and its directory may be read and written"
        }
        ErrorCode::NotADatabase => "the file is no SQLite database; name another path, or remove the file",
        ErrorCode::DatabaseCorrupt => {
            "the file is damaged; remove it (and its -wal and -shm files), or restore a copy, and start again to fill it"
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "another program holds its lock; close that program, or finish its transaction"
        }
        ErrorCode::SystemIoFailure => "the disk reported an error; see the log of the operating system",
        ErrorCode::TooBig => "a document is longer than SQLite can store (1 GB); lower max_document_bytes",
        _ => return None,
    })
}
