//! What can go wrong with a journal.

/// A journal that could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The location is none that this build can use.
    #[error("journal location \"{location}\" cannot be used: {problem}")]
    Location {
        /// As it was given.
        location: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The directory is not the one that was opened: somebody has removed it, or put another one in its place.
    #[error(
        "the journal's directory {directory:?} was removed or replaced while this run used it; the next run goes on from what is there"
    )]
    Gone {
        /// Where it was.
        directory: std::path::PathBuf,
    },
    /// The store failed; what was attempted did not happen, or its outcome is settled by reading the journal again.
    #[error("could not {action} journal object \"{object}\"")]
    Store {
        /// "read", "write", "list", "remove".
        action: &'static str,
        /// The object's name within the journal.
        object: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// An object that the manifest names, or that must be there to complete it, is not there.
    #[error("journal object \"{object}\" is missing; restore it from a copy, or rebuild from the sources")]
    Missing {
        /// The object's name within the journal.
        object: String,
    },
    /// An object whose bytes are not those that were written. Never read as data.
    #[error("journal object \"{object}\" is damaged: {problem}; restore it from a copy, or rebuild from the sources")]
    Damaged {
        /// The object's name within the journal.
        object: String,
        /// What does not fit.
        problem: String,
    },
    /// A whole object that does not belong where it is.
    #[error("journal object \"{object}\" does not belong here: {problem}; restore the right one from a copy")]
    Foreign {
        /// The object's name within the journal.
        object: String,
        /// What does not fit.
        problem: String,
    },
    /// An object of a format that this build does not know.
    #[error(
        "journal object \"{object}\" has format version {found}, this build reads up to {known}; use a newer build"
    )]
    Version {
        /// The object's name within the journal.
        object: String,
        /// Its format version.
        found: u16,
        /// The newest version that this build reads.
        known: u16,
    },
    /// Another run owns the journal now. This one must stop; what it appended before is durable and read by the other.
    #[error("another run has taken over the journal with entry {entry}; this run must stop, a retry does not help")]
    Fenced {
        /// The number that this run wanted.
        entry: u64,
    },
    /// What was to be appended contradicts the journal. Nothing was written. A mistake of the program, not of its user.
    #[error("the journal refuses an entry: {problem}; this is a bug of the program, nothing was written")]
    Invalid {
        /// The contradiction.
        problem: String,
    },
    /// An earlier append had an unknown outcome, which only a new run can settle.
    #[error("an earlier append to the journal failed; start the run again, it goes on from what is durable")]
    Broken,
}

impl JournalError {
    /// A [`JournalError::Damaged`].
    pub fn damaged(object: &str, problem: impl Into<String>) -> Self {
        JournalError::Damaged { object: object.to_owned(), problem: problem.into() }
    }

    pub(crate) fn foreign(object: &str, problem: impl Into<String>) -> Self {
        JournalError::Foreign { object: object.to_owned(), problem: problem.into() }
    }
}
