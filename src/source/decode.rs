//! The dataflow shell of decode: batches of bytes become records, or what else is taken from them, and dead letters.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::RawRecord;
use super::feeder::Batch;
use super::metrics::TableMetrics;
use crate::record::{
    DeadLetter, DecodeSpec, Decoder, Key, OperationDecoder, OperationsSpec, Position, Record, Row, RowDiff, Scalar,
};

/// Bytes of a payload that a dead letter keeps.
const KEPT_BYTES: usize = 64 << 10;

/// Takes from records what a table needs of them.
pub trait Take: 'static {
    /// What it takes.
    type Taken: 'static;

    /// Calls `give` with what it takes from a record; says what the record is.
    ///
    /// # Errors
    /// The first reason why the record can not be processed, for people. Nothing was given then.
    fn take(&mut self, raw: &Raw<'_>, give: impl FnMut(Self::Taken)) -> Result<Kind, String>;

    /// Gives what it has held back of the records of a message.
    fn flush(&mut self, _give: impl FnMut(Self::Taken)) {}
}

/// What a record is to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A row.
    Row,
    /// A row is deleted.
    Deletion,
    /// It says how an operation stands.
    Operation,
}

/// A record as it came.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Its bytes; a tombstone has none.
    pub payload: Option<&'a [u8]>,
    /// The key of its message, if it has one.
    pub key: Option<&'a [u8]>,
    /// Where it came from, in numbers,
    pub position: Position,
    /// and in names: the source
    pub source: &'a Arc<str>,
    /// and the partition.
    pub partition: &'a Arc<str>,
}

impl Raw<'_> {
    /// The key of a row that has no other: where it came from.
    pub fn origin(&self) -> Key {
        let (source, partition) = (Scalar::from(&**self.source), Scalar::from(&**self.partition));
        Key::Composite(vec![source, partition, Scalar::unsigned(self.position.offset)].into())
    }
}

/// Makes records, of rows or of operations.
pub enum ToRecords {
    /// Of rows, and of deletions of rows.
    Rows(Box<Decoder>),
    /// Of what is said about operations.
    Operations(Box<OperationDecoder>),
}

impl ToRecords {
    /// Of rows.
    pub fn rows(spec: &DecodeSpec) -> Self {
        ToRecords::Rows(Box::new(Decoder::new(spec)))
    }

    /// Of what is said about operations.
    pub fn operations(spec: &OperationsSpec) -> Self {
        ToRecords::Operations(Box::new(OperationDecoder::new(spec)))
    }
}

impl Take for ToRecords {
    type Taken = Record;

    fn take(&mut self, raw: &Raw<'_>, mut give: impl FnMut(Record)) -> Result<Kind, String> {
        let (kind, record) = match (self, raw.payload) {
            (ToRecords::Operations(decoder), Some(payload)) => {
                (Kind::Operation, decoder.decode(payload, raw.position)?)
            }
            (ToRecords::Operations(_), None) => {
                return Err("a record without a value says nothing of an operation".to_owned());
            }
            (ToRecords::Rows(decoder), None) => {
                let key = raw.key.ok_or("deletion without a key")?;
                (Kind::Deletion, decoder.decode_deletion(key, raw.position)?)
            }
            (ToRecords::Rows(decoder), Some(payload)) => {
                let record = if decoder.is_by_message() {
                    let key = Decoder::key_of_message(raw.key)?;
                    decoder.decode(payload, raw.position, || key)?
                } else {
                    decoder.decode(payload, raw.position, || raw.origin())?
                };
                (if record.is_deletion() { Kind::Deletion } else { Kind::Row }, record)
            }
        };
        give(record);
        Ok(kind)
    }
}

/// Takes from the batches of all sources that feed a table what `of` takes. The second output has the dead letters.
///
/// Batches are spread over the workers, whoever read them: that moves a pointer, and one large file keeps all busy.
/// `sources` are the names of all sources of the pipeline, by number.
pub fn decode<'scope, T: Take>(
    batches: StreamVec<'scope, u64, Batch>,
    table: &str,
    mut of: T,
    sources: Vec<Arc<str>>,
    metrics: Arc<TableMetrics>,
) -> (StreamVec<'scope, u64, T::Taken>, StreamVec<'scope, u64, RowDiff>) {
    let mut builder = OperatorBuilder::new(format!("Decode {table}"), batches.scope());
    let spread = |batch: &Batch| {
        let at = (u64::from(batch.source) << 32 | u64::from(batch.partition), batch.raw.next_offset);
        flowstone_operators::route::Route::route(&(at.0 ^ at.1.rotate_left(32)))
    };
    let mut input = builder.new_input(batches, Exchange::new(spread));
    builder.set_notify_for(0, FrontierInterest::Never);
    let (taken, taken_stream) = builder.new_output();
    let (letters, letter_stream) = builder.new_output();
    let mut taken = OutputBuilder::<_, CapacityContainerBuilder<Vec<T::Taken>>>::from(taken);
    let mut letters = OutputBuilder::<_, CapacityContainerBuilder<Vec<RowDiff>>>::from(letters);

    builder.build(move |_| {
        move |_| {
            let (mut taken, mut letters) = (taken.activate(), letters.activate());
            input.for_each_time(|time, data| {
                let (mut taken, mut letters) = (taken.session(&time), letters.session(&time));
                for batch in data.flat_map(|d| d.drain(..)) {
                    let mut counts = Counts::default();
                    let source = &sources[usize::from(batch.source)];
                    for raw in &batch.raw.records {
                        let found = match raw.oversized_bytes {
                            Some(bytes) => Err(format!("record of {bytes} bytes is longer than max_record_bytes")),
                            None => of.take(&of_batch(&batch, raw, source), |record| taken.give(record)),
                        };
                        counts.add(&found);
                        if let Err(reason) = found {
                            let letter = refused(&batch, raw, source, reason);
                            letters.give((Row::DeadLetter(Arc::new(letter)), *time.time(), 1));
                        }
                    }
                    counts.report(&metrics);
                }
                of.flush(|record| taken.give(record));
            });
        }
    });
    (taken_stream, letter_stream)
}

/// What the records of a batch were.
#[derive(Default)]
struct Counts {
    rows: u64,
    deletions: u64,
    operations: u64,
    dead: u64,
}

impl Counts {
    #[inline]
    fn add(&mut self, found: &Result<Kind, String>) {
        *match found {
            Ok(Kind::Row) => &mut self.rows,
            Ok(Kind::Deletion) => &mut self.deletions,
            Ok(Kind::Operation) => &mut self.operations,
            Err(_) => &mut self.dead,
        } += 1;
    }

    fn report(&self, metrics: &TableMetrics) {
        let Counts { rows, deletions, operations, dead } = self;
        metrics.records.fetch_add(rows + deletions + operations + dead, Relaxed);
        metrics.applied.fetch_add(*rows, Relaxed);
        metrics.deletions.fetch_add(*deletions, Relaxed);
        metrics.operations.fetch_add(*operations, Relaxed);
        metrics.dead_letters.fetch_add(*dead, Relaxed);
    }
}

fn of_batch<'a>(batch: &'a Batch, raw: &RawRecord, source: &'a Arc<str>) -> Raw<'a> {
    let position = Position { source: batch.source, partition: batch.partition, offset: raw.offset };
    Raw { payload: batch.raw.payload(raw), key: batch.raw.key(raw), position, source, partition: &batch.name }
}

/// The dead letter of a record of a batch.
fn refused(batch: &Batch, raw: &RawRecord, source: &Arc<str>, reason: String) -> DeadLetter {
    let payload = batch.raw.payload(raw).unwrap_or_default();
    let letter = letter(source.clone(), batch.name.clone(), raw.offset, reason, payload);
    DeadLetter { payload_bytes: raw.oversized_bytes.unwrap_or(letter.payload_bytes), ..letter }
}

/// The dead letter of a record that was read from a partition of a source.
pub fn letter(source: Arc<str>, partition: Arc<str>, offset: u64, reason: String, payload: &[u8]) -> DeadLetter {
    DeadLetter {
        node: source,
        origin: partition,
        offset,
        reason,
        payload: payload[..payload.len().min(KEPT_BYTES)].into(),
        payload_bytes: payload.len() as u64,
    }
}
