//! What Kafka's source and sink share: options of librdkafka, its log, its errors.

mod context;
pub mod options;

pub(crate) use context::{Context, Problem, cause};

use std::time::Duration;

/// How long a broker may take to answer a question.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// The same at the start, when why they do not answer is soon known.
pub(crate) const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// How long brokers are asked at the start of a run until one answers.
pub(crate) const CONNECT: Duration = Duration::from_secs(30);
