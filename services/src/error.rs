//! What can go wrong.

use std::path::PathBuf;

/// A service that could not be fetched, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A program that is needed can not be run.
    #[error("could not run {program:?}; install {package}")]
    Program {
        /// The program.
        program: String,
        /// What has it.
        package: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program that ran, and failed.
    #[error("{program} failed while {doing}:\n{output}")]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        doing: String,
        /// The end of what it said.
        output: String,
    },
    /// A file or directory.
    #[error("could not {action} {path:?}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A server that ended while it was started.
    #[error("{name} ended while it was started; the end of its log {log:?}:\n{tail}")]
    Ended {
        /// The server.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The log's end.
        tail: String,
    },
    /// A server that was not ready in time.
    #[error("{name} was not ready after {seconds} s; the end of its log {log:?}:\n{tail}")]
    Slow {
        /// The server.
        name: String,
        /// How long it had.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The log's end.
        tail: String,
    },
    /// No port is free.
    #[error("none of the loopback ports from {first} to {last} is free")]
    Ports {
        /// The first that was tried.
        first: u16,
        /// The last that was tried.
        last: u16,
    },
}

impl ServiceError {
    /// A [`ServiceError::Io`], for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| ServiceError::Io { action, path, source }
    }
}
