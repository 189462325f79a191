//! What librdkafka says, from its threads: logged with a limit, and kept for errors that would not say why.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Statistics};

/// While a broker is down, librdkafka says so twenty times a second.
const WINDOW: Duration = Duration::from_secs(10);
const LINES_A_WINDOW: u32 = 5;

/// Hears what one client of librdkafka says.
pub(crate) struct Context {
    /// The source or sink, for logs.
    owner: String,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    window: Option<Instant>,
    lines: u32,
    /// The last reason why a broker could not be used.
    reason: Option<String>,
    /// Whether trying again can not help.
    is_hopeless: bool,
    /// The end that was last seen of partitions of the topic.
    ends: HashMap<i32, i64>,
    /// Why a record could not be delivered, of the first such one.
    undelivered: Option<KafkaError>,
}

impl Context {
    pub(crate) fn new(owner: impl Into<String>) -> Self {
        Context { owner: owner.into(), heard: Mutex::new(Heard::default()) }
    }

    /// Why brokers refused us for good, if they did: a wrong password, a certificate that is not trusted.
    pub(crate) fn refusal(&self) -> Option<String> {
        let heard = self.heard();
        heard.reason.clone().filter(|_| heard.is_hopeless)
    }

    /// An error with the reason that was last heard.
    pub(crate) fn explain(&self, error: KafkaError) -> Problem {
        let reason = self.heard().reason.clone();
        Problem { error, reason }
    }

    /// Where a partition ended when its end was last reached: everything below was handed over, or is waiting in its queue.
    pub(crate) fn end(&self, partition: i32) -> Option<u64> {
        self.heard().ends.get(&partition).and_then(|end| u64::try_from(*end).ok())
    }

    /// Why a record could not be delivered, if one could not.
    pub(crate) fn undelivered(&self) -> Option<KafkaError> {
        self.heard().undelivered.clone()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, is_warning: bool, text: &str) {
        let mut heard = self.heard();
        let now = Instant::now();
        if heard.window.is_none_or(|window| now.duration_since(window) > WINDOW) {
            let left_out = heard.lines.saturating_sub(LINES_A_WINDOW);
            (heard.window, heard.lines) = (Some(now), 0);
            if left_out > 0 {
                tracing::info!("{}: {left_out} more messages about Kafka were left out", self.owner);
            }
        }
        heard.lines += 1;
        match heard.lines > LINES_A_WINDOW {
            true => {}
            false if is_warning => tracing::warn!("{}: {text}", self.owner),
            false => tracing::info!("{}: {text}", self.owner),
        }
    }

    fn keep(&self, reason: &str, is_hopeless: bool) {
        let mut heard = self.heard();
        // What a broker says of us is kept; that it could not be reached then says less.
        if is_hopeless || !heard.is_hopeless {
            heard.reason = Some(reason.to_owned());
            heard.is_hopeless = is_hopeless;
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        // What goes wrong with connections comes again as an error.
        if fac == "FAIL" && log_message.contains("uthenticat") {
            self.keep(log_message, true);
        }
        match level {
            RDKafkaLogLevel::Debug => tracing::debug!("{}: {fac}: {log_message}", self.owner),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => tracing::debug!("{}: {log_message}", self.owner),
            _ => self.say(true, log_message),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let hopeless = [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::SaslAuthenticationFailed,
            RDKafkaErrorCode::SSL,
            RDKafkaErrorCode::UnsupportedSASLMechanism,
        ];
        // OpenSSL knows which it is; librdkafka does not ask.
        let reason = match reason.contains("certificate verify failed") {
            true => format!("{reason}: the certificate has expired, or nobody trusted has signed it"),
            false => reason.to_owned(),
        };
        self.keep(&reason, code.is_some_and(|code| hopeless.contains(&code)));
        self.say(true, &reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut heard = self.heard();
        for topic in statistics.topics.values() {
            for (partition, state) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
                heard.ends.insert(*partition, state.eof_offset);
            }
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    /// What could not be delivered also fails the transaction, if there is one.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.heard().undelivered.get_or_insert_with(|| error.clone());
        }
    }
}

/// An error of librdkafka, and what it had said before.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", .error, .reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default())]
pub(crate) struct Problem {
    pub(crate) error: KafkaError,
    pub(crate) reason: Option<String>,
}

/// What stands behind an error of librdkafka.
pub(crate) fn cause(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code()
}
