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
use std::time::{Duration, Instant, SystemTime};

use fail::fail_point;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset};

use self::cell::{Cell, Taken};
use self::sender::{Action, Delivered, Item, Sender};
use self::session::Cluster;
use self::store::{Store, micros};
use self::sweep::Walk;
use self::table::Table;
use super::ledger::{Ledger, Told, Turn};
use super::refused::{Refusal, Refusals, Remedy};
use super::requests::{LOOK_EVERY, Requests, patience};
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
    let requests = Requests::new(place.name).map_err(|error| SinkError::store("open", &object, error))?;
    let tls = spec.tls.as_ref().map(|tls| tls::of(tls, place.base)).transpose();
    let tls = tls.map_err(|error| SinkError::store("read the certificates of", &object, error))?;
    let (cluster, found, insert, delete, scan) = requests.block_on(async {
        let cluster = Cluster::connect(&object, spec, tls.as_ref()).await?;
        let found = store::open(&cluster, spec, &table).await?;
        let insert = cluster.prepare(&table.insert()).await?;
        let delete = cluster.prepare(&table.delete()).await?;
        let scan = cluster.prepare(&table.scan()).await?;
        Ok::<_, SinkError>((cluster, found, insert, delete, scan))
    })?;
    let refusals_path = super::refused::path(place.dead_letters, place.name);
    let refusals = Refusals::new(place.name, &object, refusals_path, spec.on_refused, spec.max_refused);
    let store::Found { store, told, is_populated } = found;
    let (state, ledger) = (StoreState { id: store.id.clone(), upper: told.upper }, Ledger::new(told));
    let above = ledger.opened_above();
    let writer = CassandraWriter {
        object,
        requests,
        sender: Arc::new(Sender::new(cluster, insert, delete, spec.in_flight, patience(place.detach))),
        store,
        table,
        scan,
        in_flight_bytes: 0,
        batch: Vec::new(),
        batch_bytes: 0,
        most_batch_bytes: usize::try_from(spec.batch.0).unwrap_or(usize::MAX),
        ledger,
        refusals,
        is_populated,
        renderer: Renderer::default(),
    };
    Ok(Opened { writer: Box::new(writer), above, store: Some(state) })
}

type Answered = Result<Delivered, SinkError>;

struct CassandraWriter {
    /// The sink and the store, for errors.
    object: String,
    requests: Requests<Answered>,
    sender: Arc<Sender>,
    store: Store,
    table: Table,
    scan: PreparedStatement,
    in_flight_bytes: usize,
    /// Rows of one partition that go together.
    batch: Vec<Item>,
    batch_bytes: usize,
    most_batch_bytes: usize,
    ledger: Ledger,
    refusals: Refusals,
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
        while self.requests.on_their_way() >= self.sender.limit()
            || (self.in_flight_bytes >= MOST_BYTES && self.requests.on_their_way() > 0)
        {
            self.wait()?;
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.send(batch);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), SinkError> {
        let answered = self.requests.wait();
        self.take(answered)
    }

    /// Takes what was answered.
    fn look(&mut self) -> Result<(), SinkError> {
        while let Some(answered) = self.requests.look() {
            self.take(answered)?;
        }
        self.advance();
        Ok(())
    }

    fn take(&mut self, answered: Answered) -> Result<(), SinkError> {
        let Delivered { epochs, bytes, refused } = answered?;
        self.in_flight_bytes -= bytes;
        for (refusal, item) in refused {
            if item.action == Action::Delete {
                let said = format!("it refuses to delete the row {}: {}", refusal.key, refusal.reason);
                return Err(SinkError::store("write to", &self.object, said));
            }
            if self.refusals.take(&refusal)? == Remedy::Delete {
                self.ledger.epochs.again(item.epoch);
                let Item { epoch, key, cells, .. } = item;
                let timestamp = bigint(micros(epoch));
                let keys = cells.into_iter().take(self.table.key_columns());
                let cells = std::iter::once(timestamp).chain(keys).collect();
                // It may be one request more than are allowed.
                self.send(vec![Item { epoch, key, action: Action::Delete, cells, bytes: 64 }]);
            }
        }
        for (epoch, count) in epochs {
            self.ledger.epochs.acknowledged(epoch, count);
        }
        Ok(())
    }

    fn send(&mut self, items: Vec<Item>) {
        self.in_flight_bytes += items.iter().map(|item| item.bytes).sum::<usize>();
        let sender = self.sender.clone();
        self.requests.send(async move { sender.deliver(items).await });
    }

    fn advance(&mut self) {
        self.refusals.finished(self.ledger.advance());
    }

    /// Sends everything and waits for all of it.
    fn drain(&mut self) -> Result<(), SinkError> {
        self.submit()?;
        while self.requests.on_their_way() > 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn tell(&mut self, told: Told) -> Result<(), SinkError> {
        let sender = &self.sender;
        self.requests.block_on(self.store.remember(&sender.cluster, told, sender.patience))?;
        self.ledger.was_told(told);
        Ok(())
    }

    /// Before anything of an epoch is written, it is known that there may be timestamps so high.
    fn reserve(&mut self, epoch: u64) -> Result<(), SinkError> {
        self.ledger.before(epoch).map_or(Ok(()), |told| self.tell(told))
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
        while let Some(items) = self.requests.block_on(walk.next(&self.sender, epoch))? {
            self.ledger.epochs.wrote(epoch, items.len());
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
                self.ledger.epochs.wrote(epoch, 1);
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
        self.ledger.epochs.close(epoch);
        if sweep == Sweep::Older {
            self.advance();
            fail_point!("sink-before-commit");
            self.tell(self.ledger.after_fill())?;
            fail_point!("sink-after-commit");
        }
        self.is_populated = true;
        self.look()
    }

    fn durable_upper(&self) -> u64 {
        self.ledger.durable_upper()
    }

    /// What is remembered with the table: it is told later.
    fn mark(&self) -> Option<String> {
        Some(self.ledger.told().upper.to_string())
    }

    fn idle(&mut self) -> Result<Option<Duration>, SinkError> {
        self.submit()?;
        self.look()?;
        if self.requests.on_their_way() > 0 {
            return Ok(Some(LOOK_EVERY));
        }
        match self.ledger.turn(Instant::now()) {
            Turn::Nothing => Ok(None),
            Turn::In(left) => Ok(Some(left)),
            Turn::Tell(told) => self.tell(told).map(|()| None),
        }
    }

    /// What was not closed is left: it is written again, with the same timestamps.
    fn finish(&mut self) -> Result<(), SinkError> {
        self.drain()?;
        self.advance();
        self.ledger.at_the_end().map_or(Ok(()), |told| self.tell(told))
    }
}

fn bigint(value: i64) -> Cell {
    MaybeUnset::Set(Some(CqlValue::BigInt(value)))
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
