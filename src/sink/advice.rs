//! What the system's errors mean for the person who has to act.

use std::io::{self, ErrorKind};

use super::SinkError;

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
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only; make it writable, or name another path, and start again"
        }
        ErrorKind::PermissionDenied => {
            "it may not be written; change its permissions, or those of its directory, and start again"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_say_who_must_act() {
        for (code, expected) in [(28, "no space is left"), (122, "quota"), (30, "read-only"), (13, "permissions")] {
            let error = explain("write to", "file sink \"x\"", io::Error::from_raw_os_error(code));
            assert_eq!(error.to_string(), "could not write to file sink \"x\"");
            let cause = std::error::Error::source(&error).expect("what the system said").to_string();
            assert!(cause.contains(expected), "{code}: {cause}");
        }
    }
}
