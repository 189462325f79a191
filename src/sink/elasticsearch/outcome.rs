//! What the server says of a request and of each item in it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use super::batch::{Action, Item};

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is written, or something newer is there already.
    Done,
    /// The server can not at the moment: to be sent again.
    Later(String),
    /// It will never take it.
    Refused(String),
    /// The index is not there any more.
    Gone(String),
}

/// An answer that does not say what became of each item, such as half a one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Garbled {
    #[error("an answer that is no JSON or only the beginning of it")]
    Json(#[source] sonic_rs::Error),
    #[error("an answer about {found} items to a request of {expected}")]
    Count { expected: usize, found: usize },
    #[error("an answer about other items than those of the request")]
    Others,
}

/// What is asked of an answer; the rest of it need not be sent.
pub(super) const FILTER: &str =
    "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    items: Vec<ItemReply<'a>>,
}

#[derive(Deserialize)]
struct ItemReply<'a> {
    #[serde(borrow)]
    index: Option<Said<'a>>,
    #[serde(borrow)]
    delete: Option<Said<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<ErrorReply<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ErrorReply<'a> {
    #[serde(borrow, rename = "type", default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub reason: Cow<'a, str>,
    #[serde(borrow)]
    pub caused_by: Option<CauseReply<'a>>,
}

#[derive(Deserialize)]
pub(super) struct CauseReply<'a> {
    #[serde(borrow, default)]
    pub reason: Cow<'a, str>,
}

impl fmt::Display for ErrorReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)?;
        match &self.caused_by {
            Some(cause) if !cause.reason.is_empty() => write!(f, ": {}", cause.reason),
            _ => Ok(()),
        }
    }
}

/// The outcome of each item, in their order: one each, or an error.
pub(super) fn outcomes(answer: &[u8], items: &[Item]) -> Result<Vec<Outcome>, Garbled> {
    let reply: Reply<'_> = sonic_rs::from_slice(answer).map_err(Garbled::Json)?;
    if reply.items.len() != items.len() {
        return Err(Garbled::Count { expected: items.len(), found: reply.items.len() });
    }
    let outcome = |(item, reply): (&Item, ItemReply<'_>)| {
        let said = match (item.action, reply) {
            (Action::Index, ItemReply { index: Some(said), delete: None }) => said,
            (Action::Delete, ItemReply { index: None, delete: Some(said) }) => said,
            _ => return Err(Garbled::Others),
        };
        Ok(outcome(item.action, &said))
    };
    items.iter().zip(reply.items).map(outcome).collect()
}

fn outcome(action: Action, said: &Said<'_>) -> Outcome {
    let reason = || said.error.as_ref().map_or_else(|| format!("status {}", said.status), ToString::to_string);
    let kind = said.error.as_ref().map_or("", |error| &error.kind);
    match said.status {
        200..300 => Outcome::Done,
        // A newer version is there.
        409 => Outcome::Done,
        404 if kind == "index_not_found_exception" => Outcome::Gone(reason()),
        // There was nothing to delete. The server remembers the version nevertheless.
        404 if action == Action::Delete => Outcome::Done,
        408 | 429 | 500.. => Outcome::Later(reason()),
        // Read-only for a time: an operator has done it, or a disk that is nearly full.
        403 if kind == "cluster_block_exception" => Outcome::Later(reason()),
        _ => Outcome::Refused(reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Batch, BatchBuilder, Target};
    use super::*;

    /// Two documents and a deletion.
    fn batch() -> Batch {
        let mut builder = BatchBuilder::default();
        let target = |key| Target { index: None, key };
        builder.index(target("a"), 9, |out| out.extend_from_slice(b"{}"));
        builder.index(target("b"), 9, |out| out.extend_from_slice(b"{}"));
        builder.delete(target("c"), 9);
        builder.take()
    }

    fn of(answer: &str) -> Result<Vec<Outcome>, Garbled> {
        outcomes(answer.as_bytes(), &batch().items)
    }

    #[test]
    fn each_item_has_an_outcome_of_its_own() {
        let answer = r#"{"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},
            {"delete":{"status":404}}]}"#;
        let later = Outcome::Later("es_rejected_execution_exception: full".to_owned());
        assert_eq!(of(answer).unwrap(), [Outcome::Done, later, Outcome::Done]);
    }

    #[test]
    fn newer_is_fine_and_what_can_not_be_indexed_is_refused_with_the_reason() {
        let answer = r#"{"items":[{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}},
            {"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:5] no","caused_by":{"reason":"\"why\""}}}},
            {"delete":{"status":200}}]}"#;
        let refused = Outcome::Refused("document_parsing_exception: [1:5] no: \"why\"".to_owned());
        assert_eq!(of(answer).unwrap(), [Outcome::Done, refused, Outcome::Done]);
    }

    #[test]
    fn a_missing_index_is_not_a_refused_document_and_a_block_is_waited_for() {
        let answer = r#"{"items":[{"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}}},
            {"index":{"status":403,"error":{"type":"cluster_block_exception","reason":"read-only"}}},{"delete":{"status":503}}]}"#;
        let found = of(answer).unwrap();
        assert!(matches!(&found[0], Outcome::Gone(_)));
        assert!(matches!(&found[1], Outcome::Later(reason) if reason.contains("read-only")));
        assert!(matches!(&found[2], Outcome::Later(_)));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_never_taken_for_success() {
        let whole = r#"{"items":[{"index":{"status":201}},{"index":{"status":201}},{"delete":{"status":200}}]}"#;
        assert!(of(whole).is_ok());
        for end in 0..whole.len() {
            assert!(of(&whole[..end]).is_err(), "half an answer: {:?}", &whole[..end]);
        }
        let fewer = r#"{"items":[{"index":{"status":201}},{"index":{"status":201}}]}"#;
        assert!(matches!(of(fewer), Err(Garbled::Count { expected: 3, found: 2 })));
        let others = r#"{"items":[{"index":{"status":201}},{"delete":{"status":201}},{"delete":{"status":200}}]}"#;
        assert!(matches!(of(others), Err(Garbled::Others)));
    }
}
