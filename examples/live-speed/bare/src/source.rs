//! Reads a topic with Flowstone's source and decoder, without what comes after them: a thread polls the partitions, as in a run,
//! and another one decodes.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use flowstone::pipeline::compile::Plan;
use flowstone::record::{Decoder, Key, Position};
use flowstone::source::{Bookmark, PartitionReader, Progress, RawBatch, Source, SourceError, kafka};

use crate::Failure;
use crate::clock::Clock;

/// As in a run.
const BATCH_BYTES: usize = 256 << 10;
const BATCHES: usize = 16;

pub fn main(path: &Path) -> Result<(), Failure> {
    let loaded = flowstone::pipeline::load(path).map_err(|problems| problems.to_string())?;
    let plan = Plan::compile(&loaded.pipeline);
    let (name, spec) = loaded.pipeline.sources.first().ok_or("the pipeline has no source")?;
    let topic = spec.kafka.as_ref().ok_or("the first source is no topic")?;
    let table = plan.tables.first().ok_or("the pipeline has no table")?;

    let messages = kafka::Messages { max_record_bytes: spec.max_record_bytes.0, is_by_message: false };
    let mut source = kafka::open(topic, name, "bare-source", messages)?;
    source.restore(&[], false)?;
    let partitions = source.discover()?;
    let clock = Clock::start();
    let mut readers = Vec::new();
    for partition in &partitions {
        readers.push(source.open(partition, &Bookmark::default())?);
    }
    let (sender, batches) = sync_channel(BATCHES);
    let feeder = std::thread::spawn(move || read(readers, &sender));
    let mut decoder = Decoder::new(&table.decode);
    let (mut count, mut bytes) = (0, 0);
    for (partition, raw) in batches {
        for record in &raw.records {
            let Some(payload) = raw.payload(record) else { continue };
            let position = Position { source: 0, partition, offset: record.offset };
            decoder.decode(payload, position, || Key::Composite(Vec::new().into()))?;
            count += 1;
            bytes += payload.len();
        }
    }
    feeder.join().map_err(|_| "the thread that reads has panicked")??;
    clock.print(count, bytes);
    Ok(())
}

type Batches = SyncSender<(u32, RawBatch)>;

/// Reads all partitions by turns, each to its end.
fn read(readers: Vec<Box<dyn PartitionReader>>, sender: &Batches) -> Result<(), SourceError> {
    let mut open: Vec<(u32, Box<dyn PartitionReader>)> = (0..).zip(readers).collect();
    while !open.is_empty() {
        let mut still_open = Vec::new();
        for (partition, mut reader) in open {
            let mut raw = RawBatch::default();
            let progress = reader.poll(&mut raw, BATCH_BYTES)?;
            if !raw.records.is_empty() && sender.send((partition, raw)).is_err() {
                return Ok(());
            }
            if progress == Progress::More {
                still_open.push((partition, reader));
            }
        }
        open = still_open;
    }
    Ok(())
}
