//! What it means that a store can not be written any more.

use std::io::{self, ErrorKind};

use super::draft::Workshop;
use crate::sink::SinkError;
pub(super) use crate::sink::advice::explain;

/// [`explain`] for a store that is open: the cause may be that another run has opened it since.
pub(super) fn explain_open(action: &'static str, object: &str, workshop: &Workshop, error: io::Error) -> SinkError {
    let is_taken = match error.kind() {
        // What a run publishes is above all that was there when it opened the store.
        ErrorKind::AlreadyExists => true,
        ErrorKind::NotFound => workshop.is_taken_over(),
        _ => false,
    };
    if is_taken { SinkError::Fenced { object: object.to_owned() } } else { explain(action, object, error) }
}
