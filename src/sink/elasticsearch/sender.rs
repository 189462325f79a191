//! Sends a request until each item of it has a final outcome.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use super::batch::{Batch, Item};
use super::client::Client;
use super::index::OwnedIndex;
use super::outcome::{self, Outcome};
use crate::sink::SinkError;
use crate::sink::flow::Flow;
use crate::sink::refused::Refusal;
use crate::sink::retry::Backoff;

/// A server may cut the connection of a request that is too large for it, without a word: after so many failures halves are
/// tried.
const SPLIT_AFTER: u32 = 4;

/// More requests at once help nobody.
const MOST_REQUESTS: u32 = 64;

/// Requests do not become smaller than this because of others that were too large.
const LEAST_BULK_BYTES: usize = 64 << 10;

/// What the requests of a sink share.
pub(super) struct Sender {
    pub client: Client,
    pub index: OwnedIndex,
    flow: Mutex<Flow>,
    /// How large requests should be.
    bulk_bytes: AtomicUsize,
    path: String,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Epochs, and how many items of each are done or refused.
    pub epochs: Vec<(u64, usize)>,
    /// Those that are refused.
    pub refused: Vec<Refused>,
}

/// What the server refuses, and its index if it is not that of the request.
type Refused = (Refusal, Option<String>);

enum Attempt {
    /// These are to be sent again.
    Taken(Vec<usize>),
    Later(String),
    TooLarge(String),
}

impl Sender {
    pub fn new(client: Client, index: OwnedIndex, in_flight: u32, bulk_bytes: u64) -> Self {
        let path = format!("/{}/_bulk?filter_path={}", index.name, outcome::FILTER);
        let bulk_bytes = usize::try_from(bulk_bytes).unwrap_or(usize::MAX).clamp(1, 1 << 30).into();
        Sender { client, index, flow: Mutex::new(Flow::new(in_flight.min(MOST_REQUESTS))), bulk_bytes, path }
    }

    /// How many requests may be on their way.
    pub fn limit(&self) -> usize {
        self.flow.lock().expect("a panic would have ended the process").limit()
    }

    /// How large requests should be.
    pub fn bulk_bytes(&self) -> usize {
        self.bulk_bytes.load(Relaxed)
    }

    /// Sends all of it, in parts if need be.
    pub async fn deliver(&self, batch: Batch) -> Result<Delivered, SinkError> {
        let mut delivered = Delivered::default();
        count(&batch.items, &mut delivered.epochs);
        let (mut parts, mut backoff) = (vec![batch], Backoff::default());
        let (start, mut failures) = (Instant::now(), 0);
        while let Some(batch) = parts.pop() {
            self.index.ensure_owned(&self.client).await?;
            let reason = match self.attempt(&batch, &mut delivered.refused).await? {
                Attempt::Taken(left) if left.is_empty() => {
                    self.taken();
                    (backoff, failures) = (Backoff::default(), 0);
                    continue;
                }
                Attempt::Taken(left) => {
                    parts.push(batch.subset(&left));
                    "it has no room for some documents".to_owned()
                }
                Attempt::TooLarge(reason) if batch.items.len() == 1 => {
                    self.refuse(&batch, &batch.items[0], reason, &mut delivered.refused)?;
                    continue;
                }
                Attempt::TooLarge(_) => {
                    self.bulk_bytes.fetch_min((batch.body.len() / 2).max(LEAST_BULK_BYTES), Relaxed);
                    parts.extend(batch.halves().into_iter().rev());
                    continue;
                }
                Attempt::Later(reason) => {
                    failures += 1;
                    let split = failures >= SPLIT_AFTER && batch.items.len() > 1 && batch.body.len() > LEAST_BULK_BYTES;
                    if split {
                        failures = 0;
                        parts.extend(batch.halves().into_iter().rev());
                    } else {
                        parts.push(batch);
                    }
                    reason
                }
            };
            self.wait(&mut backoff, start.elapsed(), &reason).await?;
        }
        Ok(delivered)
    }

    async fn wait(&self, backoff: &mut Backoff, passed: Duration, reason: &str) -> Result<(), SinkError> {
        if self.index.patience().is_some_and(|patience| passed >= patience) {
            return Err(SinkError::store("write to", self.client.object(), reason));
        }
        self.flow.lock().expect("a panic would have ended the process").refused();
        self.client.trouble(reason);
        backoff.wait().await;
        Ok(())
    }

    fn taken(&self) {
        self.flow.lock().expect("a panic would have ended the process").taken();
        self.client.well();
    }

    async fn attempt(&self, batch: &Batch, refused: &mut Vec<Refused>) -> Result<Attempt, SinkError> {
        let sent = self.client.call(Method::POST, &self.path, "application/x-ndjson", batch.body.clone()).await;
        let answer = match sent {
            Err(reason) => return Ok(Attempt::Later(reason)),
            Ok(answer) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
                return Ok(Attempt::TooLarge(answer.reason()));
            }
            Ok(answer) if answer.is_passing() => return Ok(Attempt::Later(answer.reason())),
            Ok(answer) => self.client.permitted(answer)?,
        };
        if !answer.status.is_success() {
            return Err(self.client.refused("write to", &answer));
        }
        let outcomes = match outcome::outcomes(&answer.body, &batch.items) {
            Ok(outcomes) => outcomes,
            Err(garbled) => return Ok(Attempt::Later(garbled.to_string())),
        };
        let mut later = Vec::new();
        for ((number, item), outcome) in batch.items.iter().enumerate().zip(outcomes) {
            match outcome {
                Outcome::Done => {}
                Outcome::Later(reason) => {
                    if later.is_empty() {
                        self.client.trouble(&reason);
                    }
                    later.push(number);
                }
                Outcome::Refused(reason) => self.refuse(batch, item, reason, refused)?,
                Outcome::Gone(reason) => return Err(self.client.gone(&reason)),
            }
        }
        Ok(Attempt::Taken(later))
    }

    fn refuse(&self, batch: &Batch, item: &Item, reason: String, refused: &mut Vec<Refused>) -> Result<(), SinkError> {
        let key = batch.id(item);
        let is_deletion = batch.document(item).is_empty() || item.amends;
        if is_deletion {
            let said = format!("it refuses to delete the document {key}: {reason}");
            return Err(SinkError::store("write to", self.client.object(), said));
        }
        let refusal = Refusal { key, epoch: item.epoch, reason, document: batch.document(item).to_vec() };
        refused.push((refusal, batch.index(item)));
        Ok(())
    }
}

/// How many items there are of each epoch; items of an epoch are neighbours.
fn count(items: &[Item], epochs: &mut Vec<(u64, usize)>) {
    for item in items {
        match epochs.last_mut() {
            Some((epoch, count)) if *epoch == item.epoch => *count += 1,
            _ => epochs.push((item.epoch, 1)),
        }
    }
}
