//! The dataflow shell of decode: batches of bytes become records and dead letters.

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

/// What the records of a batch are to a table.
#[derive(Clone, Copy, Debug)]
pub enum Spec<'a> {
    /// Rows, and deletions of rows.
    Rows(&'a DecodeSpec),
    /// They say how operations stand.
    Operations(&'a OperationsSpec),
}

/// Decodes the batches of all sources that feed a table, with rows or with operations.
///
/// Batches are spread over the workers, whoever read them: that moves a pointer, and one large file keeps all busy.
/// `sources` are the names of all sources of the pipeline, by number.
pub fn decode<'scope>(
    batches: StreamVec<'scope, u64, Batch>,
    table: &str,
    spec: &Spec<'_>,
    sources: Vec<Arc<str>>,
    metrics: Arc<TableMetrics>,
) -> (StreamVec<'scope, u64, Record>, StreamVec<'scope, u64, RowDiff>) {
    let mut builder = OperatorBuilder::new(format!("Decode {table}"), batches.scope());
    let spread = |batch: &Batch| {
        let at = (u64::from(batch.source) << 32 | u64::from(batch.partition), batch.raw.next_offset);
        flowstone_operators::route::Route::route(&(at.0 ^ at.1.rotate_left(32)))
    };
    let mut input = builder.new_input(batches, Exchange::new(spread));
    builder.set_notify_for(0, FrontierInterest::Never);
    let (records, record_stream) = builder.new_output();
    let (letters, letter_stream) = builder.new_output();
    let mut records = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record>>>::from(records);
    let mut letters = OutputBuilder::<_, CapacityContainerBuilder<Vec<RowDiff>>>::from(letters);
    let decoder = match spec {
        Spec::Rows(spec) => AnyDecoder::Rows(Box::new(Decoder::new(spec))),
        Spec::Operations(spec) => AnyDecoder::Operations(Box::new(OperationDecoder::new(spec))),
    };
    let mut shell = Shell { decoder, sources };

    builder.build(move |_| {
        move |_| {
            let (mut records, mut letters) = (records.activate(), letters.activate());
            input.for_each_time(|time, data| {
                let (mut records, mut letters) = (records.session(&time), letters.session(&time));
                for batch in data.flat_map(|d| d.drain(..)) {
                    let (mut deletions, mut dead) = (0, 0);
                    for raw in &batch.raw.records {
                        match shell.decode(&batch, raw) {
                            Ok(record) => {
                                deletions += u64::from(record.is_deletion());
                                records.give(record);
                            }
                            Err(letter) => {
                                dead += 1;
                                letters.give((Row::DeadLetter(Arc::new(letter)), *time.time(), 1));
                            }
                        }
                    }
                    let count = batch.raw.records.len() as u64;
                    metrics.records.fetch_add(count, Relaxed);
                    metrics.deletions.fetch_add(deletions, Relaxed);
                    metrics.dead_letters.fetch_add(dead, Relaxed);
                    let others = match shell.decoder {
                        AnyDecoder::Rows(_) => &metrics.applied,
                        AnyDecoder::Operations(_) => &metrics.operations,
                    };
                    others.fetch_add(count - deletions - dead, Relaxed);
                }
            });
        }
    });
    (record_stream, letter_stream)
}

enum AnyDecoder {
    Rows(Box<Decoder>),
    Operations(Box<OperationDecoder>),
}

struct Shell {
    decoder: AnyDecoder,
    /// All sources of the pipeline, by number.
    sources: Vec<Arc<str>>,
}

impl Shell {
    fn decode(&mut self, batch: &Batch, raw: &RawRecord) -> Result<Record, DeadLetter> {
        let position = Position { source: batch.source, partition: batch.partition, offset: raw.offset };
        let source = &self.sources[usize::from(batch.source)];
        let origin = || {
            let (source, partition) = (Scalar::Str(source.clone()), Scalar::Str(batch.name.clone()));
            Key::Composite(vec![source, partition, Scalar::unsigned(raw.offset)].into())
        };
        let payload = batch.raw.payload(raw);
        let result = match (payload, raw.oversized_bytes) {
            (_, Some(bytes)) => Err(format!("record of {bytes} bytes is longer than max_record_bytes")),
            (None, _) => match (&mut self.decoder, batch.raw.key(raw)) {
                (AnyDecoder::Rows(decoder), Some(key)) => decoder.decode_deletion(key, position),
                (AnyDecoder::Rows(_), None) => Err("deletion without a key".to_owned()),
                (AnyDecoder::Operations(_), _) => {
                    Err("a record without a value says nothing of an operation".to_owned())
                }
            },
            (Some(payload), None) => match &mut self.decoder {
                AnyDecoder::Rows(decoder) if decoder.is_by_message() => {
                    let key = Decoder::key_of_message(batch.raw.key(raw));
                    key.and_then(|key| decoder.decode(payload, position, || key))
                }
                AnyDecoder::Rows(decoder) => decoder.decode(payload, position, origin),
                AnyDecoder::Operations(decoder) => decoder.decode(payload, position),
            },
        };
        result.map_err(|reason| {
            let payload = payload.unwrap_or_default();
            let letter = letter(source.clone(), batch.name.clone(), raw.offset, reason, payload);
            DeadLetter { payload_bytes: raw.oversized_bytes.unwrap_or(letter.payload_bytes), ..letter }
        })
    }
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
