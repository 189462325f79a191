//! Sends rows of one partition until each of them has a final outcome.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use scylla::errors::ExecutionError;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;

use super::cell::Cell;
use super::session::{Class, Cluster, class};
use crate::sink::SinkError;
use crate::sink::flow::Flow;
use crate::sink::refused::Refusal;
use crate::sink::retry::Backoff;

/// More requests at once help nobody.
const MOST_REQUESTS: usize = 4_096;

/// One row to be written or deleted.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub epoch: u64,
    /// The row key.
    pub key: Box<str>,
    pub action: Action,
    /// As the statement takes them.
    pub cells: Vec<Cell>,
    /// About how many bytes they are.
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Insert,
    Delete,
}

/// What the requests of a sink share.
pub(super) struct Sender {
    pub cluster: Cluster,
    pub insert: PreparedStatement,
    pub delete: PreparedStatement,
    /// How long the servers may not answer.
    pub patience: Option<Duration>,
    flow: Mutex<Flow>,
}

/// What became of rows.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Epochs, and how many rows of each are done or refused.
    pub epochs: Vec<(u64, usize)>,
    pub bytes: usize,
    /// Those that are refused, and what they were.
    pub refused: Vec<(Refusal, Item)>,
}

impl Sender {
    pub fn new(
        cluster: Cluster,
        insert: PreparedStatement,
        delete: PreparedStatement,
        in_flight: u32,
        patience: Option<Duration>,
    ) -> Self {
        Sender { cluster, insert, delete, patience, flow: Mutex::new(Flow::new(in_flight)) }
    }

    /// How many requests may be on their way: so many for each server, among which the partitions are spread.
    pub fn limit(&self) -> usize {
        let servers = self.cluster.session.get_cluster_state().get_nodes_info().len().max(1);
        self.flow().limit().saturating_mul(servers).min(MOST_REQUESTS)
    }

    fn flow(&self) -> std::sync::MutexGuard<'_, Flow> {
        self.flow.lock().expect("a panic would have ended the process")
    }

    /// Sends all of it, in parts if need be. The rows are of one partition.
    pub async fn deliver(&self, items: Vec<Item>) -> Result<Delivered, SinkError> {
        let mut delivered = Delivered { bytes: items.iter().map(|item| item.bytes).sum(), ..Delivered::default() };
        for item in &items {
            match delivered.epochs.last_mut() {
                Some((epoch, count)) if *epoch == item.epoch => *count += 1,
                _ => delivered.epochs.push((item.epoch, 1)),
            }
        }
        let (mut parts, mut backoff, start) = (vec![items], Backoff::default(), Instant::now());
        while let Some(mut items) = parts.pop() {
            let Err(error) = self.attempt(&items).await else {
                self.flow().taken();
                self.cluster.well();
                continue;
            };
            if class(&error) == Class::Refused {
                match items.len() {
                    // One of them is not taken; the others are.
                    2.. => parts.extend(items.into_iter().map(|item| vec![item])),
                    _ => delivered.refused.extend(items.pop().map(|item| (refusal(&item, &error), item))),
                }
                continue;
            }
            self.cluster.bear("write to", &error, start, self.patience)?;
            self.flow().refused();
            backoff.wait().await;
            parts.push(items);
        }
        Ok(delivered)
    }

    fn statement(&self, action: Action) -> &PreparedStatement {
        match action {
            Action::Insert => &self.insert,
            Action::Delete => &self.delete,
        }
    }

    async fn attempt(&self, items: &[Item]) -> Result<(), ExecutionError> {
        if let [item] = items {
            return self.cluster.session.execute_unpaged(self.statement(item.action), &item.cells).await.map(drop);
        }
        let statements =
            items.iter().map(|item| BatchStatement::PreparedStatement(self.statement(item.action).clone()));
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements.collect());
        batch.set_is_idempotent(true);
        let values: Vec<&[Cell]> = items.iter().map(|item| item.cells.as_slice()).collect();
        self.cluster.session.batch(&batch, values).await.map(drop)
    }
}

fn refusal(item: &Item, error: &ExecutionError) -> Refusal {
    let document = item.cells.iter().filter_map(|cell| match cell {
        scylla::value::MaybeUnset::Set(Some(scylla::value::CqlValue::Text(text))) => Some(text),
        _ => None,
    });
    let document = document.max_by_key(|text| text.len()).map(|text| text.as_bytes().to_vec());
    Refusal {
        key: item.key.to_string(),
        epoch: item.epoch,
        reason: error.to_string(),
        document: document.unwrap_or_default(),
    }
}
