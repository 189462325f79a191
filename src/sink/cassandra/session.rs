//! The cluster: connecting, asking, and what its errors mean.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::tls::{self, Tls};
use crate::pipeline::remote::{CassandraSink, Consistency, Secret};
use crate::sink::SinkError;
use crate::sink::retry::{Backoff, Trouble};

/// An answer that takes longer is none: the request is sent again.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a run waits for a cluster that does not answer before it has begun.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(30);

/// What an error means for the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// To be sent again later.
    Later,
    /// The servers will never take this row.
    Refused,
    /// Nothing can be written; why, and who must act.
    Fatal(&'static str),
}

pub(super) fn class(error: &ExecutionError) -> Class {
    match error {
        ExecutionError::LastAttemptError(error) => class_of_attempt(error),
        ExecutionError::BadQuery(_) => Class::Refused,
        ExecutionError::PrepareError(_) => Class::Later,
        ExecutionError::EmptyPlan => Class::Fatal("none of its servers is in that data center; check `datacenter`"),
        _ => Class::Later,
    }
}

fn class_of_attempt(error: &RequestAttemptError) -> Class {
    match error {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => Class::Refused,
        RequestAttemptError::DbError(error, message) => class_of_answer(error, message),
        _ => Class::Later,
    }
}

fn class_of_answer(error: &DbError, message: &str) -> Class {
    match error {
        DbError::Invalid if message.contains("unconfigured table") || message.contains("does not exist") => {
            Class::Fatal("its table is gone; it was dropped while it was in use")
        }
        DbError::Invalid => Class::Refused,
        DbError::SyntaxError | DbError::ConfigError | DbError::FunctionFailure { .. } => Class::Fatal(
            "it does not understand what is asked; is it another kind of server, or its table another one?",
        ),
        DbError::AuthenticationError => Class::Fatal("it does not accept the user or the password; check these"),
        DbError::Unauthorized => {
            Class::Fatal("the user may not do that; grant it the right to SELECT and MODIFY the table")
        }
        _ => Class::Later,
    }
}

/// A session, and what is said of it.
pub(super) struct Cluster {
    /// The sink and the store, for errors.
    pub object: String,
    pub session: Session,
    trouble: Mutex<Trouble>,
}

impl Cluster {
    /// Connects; waits for servers that do not answer.
    pub async fn connect(object: &str, spec: &CassandraSink, tls: Option<&Tls>) -> Result<Self, SinkError> {
        let (start, mut backoff, mut trouble) = (Instant::now(), Backoff::default(), Trouble::new(object));
        loop {
            let error = match builder(spec).tls_context(tls.cloned()).build().await {
                Ok(session) => return Ok(Cluster { object: object.to_owned(), session, trouble: Mutex::new(trouble) }),
                Err(error) => error,
            };
            let text = error.to_string();
            if matches!(error, NewSessionError::EmptyKnownNodesList) || is_about_credentials(&text) {
                let advice = "its servers do not accept the user or the password; check these";
                return Err(SinkError::store("use", object, format!("{advice}: {text}")));
            }
            if let Some(advice) = tls::advice(&text, tls.is_some()) {
                return Err(SinkError::store("reach", object, format!("{advice}: {text}")));
            }
            if start.elapsed() >= OPEN_PATIENCE {
                return Err(SinkError::store("reach", object, error));
            }
            trouble.say(&text);
            backoff.wait().await;
        }
    }

    /// A failure that will be tried again; said now and then.
    pub fn trouble(&self, reason: &str) {
        self.trouble.lock().expect("a panic would have ended the process").say(reason);
    }

    /// It answers again.
    pub fn well(&self) {
        self.trouble.lock().expect("a panic would have ended the process").over();
    }

    /// Asks until there is an answer; gives up after `patience`.
    pub async fn ask(
        &self,
        action: &'static str,
        statement: &str,
        values: impl SerializeRow + Clone,
        patience: Option<Duration>,
    ) -> Result<QueryResult, SinkError> {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            let error = match self.session.query_unpaged(statement, values.clone()).await {
                Ok(result) => {
                    self.well();
                    return Ok(result);
                }
                Err(error) => error,
            };
            self.bear(action, &error, start, patience)?;
            backoff.wait().await;
        }
    }

    /// Returns if the same may be asked again.
    pub fn bear(
        &self,
        action: &'static str,
        error: &ExecutionError,
        start: Instant,
        patience: Option<Duration>,
    ) -> Result<(), SinkError> {
        let text = error.to_string();
        match class(error) {
            Class::Fatal(advice) => Err(SinkError::store(action, &self.object, format!("{advice}: {text}"))),
            Class::Refused => Err(SinkError::store(action, &self.object, text)),
            Class::Later if patience.is_some_and(|patience| start.elapsed() >= patience) => {
                Err(SinkError::store(action, &self.object, text))
            }
            Class::Later => {
                self.trouble(&text);
                Ok(())
            }
        }
    }

    /// Prepares a statement that may be repeated.
    pub async fn prepare(&self, statement: &str) -> Result<PreparedStatement, SinkError> {
        let failed = |error: PrepareError| SinkError::store("prepare for", &self.object, error);
        let mut prepared = self.session.prepare(statement).await.map_err(failed)?;
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }
}

fn is_about_credentials(text: &str) -> bool {
    ["Authentication failed", "AuthenticationError", "Provided username", "Missing authentication"]
        .iter()
        .any(|said| text.contains(said))
}

fn builder(spec: &CassandraSink) -> SessionBuilder {
    let consistency = match spec.consistency {
        Consistency::One => scylla::statement::Consistency::One,
        Consistency::Quorum => scylla::statement::Consistency::Quorum,
        Consistency::LocalQuorum => scylla::statement::Consistency::LocalQuorum,
        Consistency::All => scylla::statement::Consistency::All,
    };
    let profile = ExecutionProfile::builder()
        .consistency(consistency)
        .request_timeout(Some(REQUEST_LIMIT))
        .retry_policy(Arc::new(scylla::policies::retry::DefaultRetryPolicy::new()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(spec.nodes.as_slice())
        .connection_timeout(CONNECT_LIMIT)
        .default_execution_profile_handle(profile.into_handle());
    if let Some(user) = &spec.user {
        builder = builder.user(user, spec.password.as_ref().map_or("", Secret::reveal));
    }
    if let Some(datacenter) = &spec.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: DbError, message: &str) -> Class {
        class(&ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, message.to_owned())))
    }

    #[test]
    fn overload_and_time_outs_are_for_later_and_a_row_that_is_too_large_is_refused() {
        let consistency = scylla::statement::Consistency::One;
        for later in [
            DbError::Overloaded,
            DbError::IsBootstrapping,
            DbError::ServerError,
            DbError::Unavailable { consistency, required: 2, alive: 1 },
        ] {
            assert_eq!(of(later, "x"), Class::Later);
        }
        assert_eq!(of(DbError::Invalid, "Mutation of 9437184 bytes is too large"), Class::Refused);
        assert!(
            matches!(of(DbError::Invalid, "unconfigured table moments"), Class::Fatal(why) if why.contains("dropped"))
        );
        assert!(matches!(of(DbError::Unauthorized, "no"), Class::Fatal(why) if why.contains("grant")));
        assert_eq!(class(&ExecutionError::RequestTimeout(Duration::from_secs(1))), Class::Later);
    }
}
