//! What the system's errors mean for the person who has to act.

use std::io::{self, ErrorKind};

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
            "no space is left on its disk (or in its quota); free some and start again"
        }
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only; make it writable, or name another path",
        ErrorKind::PermissionDenied => "it may not be written; change its permissions, or those of its directory",
        ErrorKind::NotFound => "something of it was removed while it was in use; is another run writing to it?",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            "a file stands where a directory should be, or the reverse"
        }
        _ => return SinkError::store(action, object, error),
    };
    SinkError::store(action, object, Advised { advice, source: error })
}
