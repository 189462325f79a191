//! What the system's errors mean for the person who has to act.

use std::io::{self, ErrorKind};

use super::draft::Workshop;
use crate::sink::SinkError;

/// An error of the system with advice.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Advised {
    advice: &'static str,
    #[source]
    source: io::Error,
}

/// A [`SinkError`] of `error`, which says who must act where that is known.
pub(super) fn explain(action: &'static str, object: &str, error: io::Error) -> SinkError {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "no space is left on its disk (or in its quota); free some and start again, the unfinished epoch is written anew"
        }
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only; make it writable, or name another path",
        ErrorKind::PermissionDenied => "it may not be written; change its permissions, or those of its directory",
        ErrorKind::NotFound => {
            "it or its directory was removed or moved while it was in use; put it back, or start again to make it anew"
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            "a file stands where a directory should be, or the reverse"
        }
        _ => return SinkError::store(action, object, error),
    };
    SinkError::store(action, object, Advised { advice, source: error })
}

/// The same for a store that is open: the cause may be that another run has opened it since.
pub(super) fn explain_open(action: &'static str, object: &str, workshop: &Workshop, error: io::Error) -> SinkError {
    let is_taken = match error.kind() {
        // What a run publishes is above all that was there when it opened the store.
        ErrorKind::AlreadyExists => true,
        ErrorKind::NotFound => workshop.is_taken_over(),
        _ => false,
    };
    if is_taken { SinkError::Fenced { object: object.to_owned() } } else { explain(action, object, error) }
}
