//! A table of Cassandra or ScyllaDB: a row a key, exactly what the collection holds as of the sink's upper.
//!
//! Each write has its epoch as its timestamp, in microseconds, and an `epoch` column. So nothing depends on order: of two
//! writes of a row the servers keep that of the newer epoch, whichever comes last, and a repeated one changes nothing. Rows
//! are deleted one by one, never by partition or range, which would take with them what the same epoch inserts. Many requests
//! are on their way at once; neighbouring rows of one partition share one, up to a size. An epoch is acknowledged when
//! each of its rows has a final outcome. Readers may see half an epoch, and never an older row in the place of a newer one.
//!
//! | file | what it owns |
//! |---|---|
//! | this one | the writer: which rows go together, and what is acknowledged |
//! | `table` | columns and statements |
//! | `cell` | values, taken from rows and documents |
//! | `session` | the cluster: connecting, and what its errors mean |
//! | `tls` | encrypted connections |
//! | `sender` | rows until each has its outcome: retries, splitting, back-off |
//! | `store` | the table: made or checked, its identity, its upper |
//! | `sweep` | deleting what a fill has not written |

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::time::{Duration, Instant, SystemTime};

use fail::fail_point;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset};
use tokio::runtime::Runtime;

use self::cell::{Cell, Taken};
use self::sender::{Action, Delivered, Item, Sender};
use self::session::Cluster;
use self::store::{Memory, Store, micros};
use self::sweep::Walk;
use self::table::Table;
use super::epochs::Epochs;
use super::refused::{Refusal, Refusals, Remedy};
use super::{Change, Opened, Place, SinkError, StoreState, Sweep, Writer};
use crate::pipeline::remote::CassandraSink;
use crate::record::{Renderer, Row};

mod cell;
mod sender;
mod session;
mod store;
mod sweep;
mod table;
mod tls;

/// How far above an epoch the bound is set that all epochs in the table are below: once in so many milliseconds it is
/// written anew.
const AHEAD: u64 = 10_000;

/// How often the upper is remembered with the table, while it grows.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often the writer looks at what was answered while it has nothing else to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Beyond the time after which a sink is detached, its thread need not try for ever.
const AFTER_DETACHING: Duration = Duration::from_secs(60);

/// Rows that are on their way, in bytes.
const MOST_BYTES: usize = 32 << 20;

/// Opens the table that `spec` describes; makes what is missing if it says so.
///
/// # Errors
/// [`SinkError::Mismatch`] if the table exists and is another one than is needed, or is missing; [`SinkError::Store`] if
/// the cluster can not be reached or refuses.
pub(crate) fn open(place: &Place<'_>, spec: &CassandraSink) -> Result<Opened, SinkError> {
    let nodes = spec.nodes.as_slice().join(", ");
    let object = format!("cassandra sink {:?} (table \"{}.{}\" at {nodes})", place.name, spec.keyspace, spec.table);
    let table = Table::of(spec, place.layout)
        .map_err(|difference| SinkError::Mismatch { object: object.clone(), difference })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(format!("requests {}", place.name))
        .enable_all()
        .build()
        .map_err(|error| SinkError::store("open", &object, error))?;
    let tls = spec.tls.as_ref().map(|tls| tls::of(tls, place.base)).transpose();
    let tls = tls.map_err(|error| SinkError::store("read the certificates of", &object, error))?;
    let (cluster, found, insert, delete, scan) = runtime.block_on(async {
        let cluster = Cluster::connect(&object, spec, tls.as_ref()).await?;
        let found = store::open(&cluster, spec, &table).await?;
        let insert = cluster.prepare(&table.insert()).await?;
        let delete = cluster.prepare(&table.delete()).await?;
        let scan = cluster.prepare(&table.scan()).await?;
        Ok::<_, SinkError>((cluster, found, insert, delete, scan))
    })?;
    let refusals_path = super::refused::path(place.dead_letters, place.name);
    let refusals = Refusals::new(place.name, &object, refusals_path, spec.on_refused, spec.max_refused);
    let patience = place.detach.map(|limit| limit.saturating_add(AFTER_DETACHING));
    let store::Found { store, memory, is_populated } = found;
    let (answers, answered) = channel();
    let (state, above) = (StoreState { id: store.id.clone(), upper: memory.upper }, memory.above.max(memory.upper));
    let writer = CassandraWriter {
        object,
        runtime,
        sender: Arc::new(Sender::new(cluster, insert, delete, spec.in_flight, patience)),
        store,
        table,
        scan,
        answers,
        answered,
        in_flight: 0,
        in_flight_bytes: 0,
        batch: Vec::new(),
        batch_bytes: 0,
        most_batch_bytes: usize::try_from(spec.batch.0).unwrap_or(usize::MAX),
        epochs: Epochs::new(memory.upper),
        refusals,
        durable_upper: memory.upper,
        told: memory,
        told_at: Instant::now(),
        opened_above: above,
        is_populated,
        renderer: Renderer::default(),
    };
    Ok(Opened { writer: Box::new(writer), above, store: Some(state) })
}

type Answered = Result<Delivered, SinkError>;

struct CassandraWriter {
    /// The sink and the store, for errors.
    object: String,
    runtime: Runtime,
    sender: Arc<Sender>,
    store: Store,
    table: Table,
    scan: PreparedStatement,
    answers: Channel<Answered>,
    answered: Receiver<Answered>,
    /// Requests on their way.
    in_flight: usize,
    in_flight_bytes: usize,
    /// Rows of one partition that go together.
    batch: Vec<Item>,
    batch_bytes: usize,
    most_batch_bytes: usize,
    epochs: Epochs,
    refusals: Refusals,
    durable_upper: u64,
    told: Memory,
    told_at: Instant,
    /// All epochs of earlier runs are below.
    opened_above: u64,
    /// Whether the table may hold rows of earlier epochs.
    is_populated: bool,
    renderer: Renderer,
}

impl CassandraWriter {
    /// Adds a row to those that go together, after these if it is of another partition or they are enough.
    fn add(&mut self, item: Item) -> Result<(), SinkError> {
        let fits = self.batch_bytes + item.bytes <= self.most_batch_bytes;
        if self.batch.first().is_some_and(|first| !fits || !self.same_partition(first, &item)) {
            self.submit()?;
        }
        self.batch_bytes += item.bytes;
        self.batch.push(item);
        Ok(())
    }

    fn same_partition(&self, one: &Item, other: &Item) -> bool {
        let partition = |item: &Item| {
            let first = usize::from(item.action == Action::Delete);
            first..first + self.table.partition_columns()
        };
        one.cells[partition(one)].iter().zip(&other.cells[partition(other)]).all(|(a, b)| match (a, b) {
            (MaybeUnset::Set(a), MaybeUnset::Set(b)) => a == b,
            _ => false,
        })
    }

    /// Puts the rows that go together on their way, once there is room.
    fn submit(&mut self) -> Result<(), SinkError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.in_flight >= self.sender.limit() || (self.in_flight_bytes >= MOST_BYTES && self.in_flight > 0) {
            self.wait()?;
        }
        let (batch, sender, answers) = (std::mem::take(&mut self.batch), self.sender.clone(), self.answers.clone());
        self.in_flight += 1;
        self.in_flight_bytes += std::mem::take(&mut self.batch_bytes);
        self.runtime.spawn(async move {
            // Without a receiver the writer is gone.
            let _ = answers.send(sender.deliver(batch).await);
        });
        Ok(())
    }

    fn wait(&mut self) -> Result<(), SinkError> {
        let answered = self.answered.recv().expect("the writer has a sender itself");
        self.take(answered)
    }

    /// Takes what was answered.
    fn look(&mut self) -> Result<(), SinkError> {
        while let Ok(answered) = self.answered.try_recv() {
            self.take(answered)?;
        }
        self.advance();
        Ok(())
    }

    fn take(&mut self, answered: Answered) -> Result<(), SinkError> {
        self.in_flight -= 1;
        let Delivered { epochs, bytes, refused } = answered?;
        self.in_flight_bytes -= bytes;
        for (refusal, item) in refused {
            if item.action == Action::Delete {
                let said = format!("it refuses to delete the row {}: {}", refusal.key, refusal.reason);
                return Err(SinkError::store("write to", &self.object, said));
            }
            if self.refusals.take(&refusal)? == Remedy::Delete {
                self.epochs.again(item.epoch);
                let Item { epoch, key, cells, .. } = item;
                let timestamp = bigint(micros(epoch));
                let keys = cells.into_iter().take(self.table.key_columns());
                let cells = std::iter::once(timestamp).chain(keys).collect();
                self.submit_alone(Item { epoch, key, action: Action::Delete, cells, bytes: 64 });
            }
        }
        for (epoch, count) in epochs {
            self.epochs.acknowledged(epoch, count);
        }
        Ok(())
    }

    /// A request of one row, which may be one more than are allowed.
    fn submit_alone(&mut self, item: Item) {
        self.in_flight += 1;
        self.in_flight_bytes += item.bytes;
        let (sender, answers) = (self.sender.clone(), self.answers.clone());
        self.runtime.spawn(async move {
            let _ = answers.send(sender.deliver(vec![item]).await);
        });
    }

    fn advance(&mut self) {
        self.durable_upper = self.durable_upper.max(self.epochs.upper());
        self.refusals.finished(self.durable_upper);
    }

    /// Sends everything and waits for all of it.
    fn drain(&mut self) -> Result<(), SinkError> {
        self.submit()?;
        while self.in_flight > 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn tell(&mut self, memory: Memory) -> Result<(), SinkError> {
        let sender = &self.sender;
        self.runtime.block_on(self.store.remember(&sender.cluster, memory, sender.patience))?;
        (self.told, self.told_at) = (memory, Instant::now());
        Ok(())
    }

    /// Before anything of an epoch is written, it is known that there may be timestamps so high.
    fn reserve(&mut self, epoch: u64) -> Result<(), SinkError> {
        if epoch >= self.told.above {
            self.tell(Memory { upper: self.durable_upper, above: epoch.saturating_add(AHEAD) })?;
        }
        Ok(())
    }

    fn item(&mut self, epoch: u64, change: &Change, document: &mut Vec<u8>) -> Result<Option<Item>, SinkError> {
        let row = change.row();
        let mut key = Vec::new();
        row.write_key(&mut key);
        let key = String::from_utf8(key).expect("a key is JSON text");
        document.clear();
        self.renderer.document(row, document);
        let (action, columns) = match change {
            Change::Upsert(_) | Change::Replace(_) => (Action::Insert, self.table.columns.len()),
            Change::Delete(_) => (Action::Delete, self.table.key_columns()),
        };
        match self.cells(row, &key, document, epoch, columns) {
            Ok(mut cells) => {
                let timestamp = bigint(micros(epoch));
                match action {
                    Action::Insert => cells.push(timestamp),
                    Action::Delete => cells.insert(0, timestamp),
                }
                let bytes = cells.iter().map(cell::bytes).sum();
                Ok(Some(Item { epoch, key: key.into(), action, cells, bytes }))
            }
            // It never was in the table.
            Err(_) if action == Action::Delete => Ok(None),
            Err(reason) => {
                self.refusals.take(&Refusal { key, epoch, reason, document: document.clone() }).map(|_| None)
            }
        }
    }

    /// The values of the first columns, or why the row has no place in the table.
    fn cells(&self, row: &Row, key: &str, document: &[u8], epoch: u64, columns: usize) -> Result<Vec<Cell>, String> {
        let document = std::str::from_utf8(document).map_err(|error| format!("its document is not UTF-8: {error}"))?;
        let taken = Taken { row, key, document, epoch: i64::try_from(epoch).unwrap_or(i64::MAX) };
        let key_columns = self.table.key_columns();
        let columns = self.table.columns.iter().take(columns).enumerate();
        columns
            .map(|(n, column)| match taken.value(&column.source, column.kind) {
                None if n < key_columns => {
                    Err(format!("it has no value for the column {:?} of the primary key", column.name))
                }
                // Nothing is there that it would have to take the place of.
                None if !self.is_populated => Ok(MaybeUnset::Unset),
                value => Ok(MaybeUnset::Set(value)),
            })
            .collect()
    }

    /// Deletes rows of older epochs than `epoch`.
    fn sweep(&mut self, epoch: u64) -> Result<(), SinkError> {
        fail_point!("sink-sweep");
        let mut walk = Walk::new(self.scan.clone());
        while let Some(items) = self.runtime.block_on(walk.next(&self.sender, epoch))? {
            self.epochs.wrote(epoch, items.len());
            for item in items {
                self.add(item)?;
            }
            self.look()?;
        }
        self.drain()
    }
}

impl Writer for CassandraWriter {
    fn write(&mut self, epoch: u64, changes: &mut Vec<Change>) -> Result<(), SinkError> {
        self.reserve(epoch)?;
        let mut document = Vec::new();
        for change in changes.drain(..) {
            if let Some(item) = self.item(epoch, &change, &mut document)? {
                self.epochs.wrote(epoch, 1);
                self.add(item)?;
            }
        }
        self.look()
    }

    fn close(&mut self, epoch: u64, sweep: Sweep) -> Result<(), SinkError> {
        self.reserve(epoch)?;
        if sweep == Sweep::Older {
            self.drain()?;
            if self.is_populated {
                self.sweep(epoch)?;
            }
        }
        self.epochs.close(epoch);
        if sweep == Sweep::Older {
            self.advance();
            fail_point!("sink-before-commit");
            self.tell(Memory { upper: self.durable_upper, above: self.told.above })?;
            fail_point!("sink-after-commit");
        }
        self.is_populated = true;
        self.look()
    }

    fn durable_upper(&self) -> u64 {
        self.durable_upper
    }

    /// What is remembered with the table: it is told later.
    fn mark(&self) -> Option<String> {
        Some(self.told.upper.to_string())
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        self.submit()?;
        self.look()?;
        if self.in_flight > 0 {
            return Ok(Some(LOOK_EVERY));
        }
        if self.durable_upper == self.told.upper {
            return Ok(None);
        }
        let passed = self.told_at.elapsed();
        if passed < TELL_EVERY {
            return Ok(Some(TELL_EVERY - passed));
        }
        self.tell(Memory { upper: self.durable_upper, above: self.told.above })?;
        Ok(None)
    }

    /// What was not closed is left: it is written again, with the same timestamps.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.drain()?;
        self.advance();
        // Only above what earlier runs may have written is known what is there.
        let above = Some(self.epochs.above()).filter(|above| *above >= self.opened_above);
        let above = above.map_or(self.told.above, |above| above.min(self.told.above));
        let memory = Memory { upper: self.durable_upper, above };
        if memory == self.told { Ok(()) } else { self.tell(memory) }
    }
}

fn bigint(value: i64) -> Cell {
    MaybeUnset::Set(Some(CqlValue::BigInt(value)))
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
