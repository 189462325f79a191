//! The thread that reads a worker's share of a source's partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use timely::scheduling::SyncActivator;

use super::catalog::Catalog;
use super::metrics::SourceMetrics;
use super::{PartitionReader, Progress, RawBatch, SourceError};

/// Bytes asked for at a time: large enough that costs a batch do not show, small enough to spread over workers.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for the worker.
const BATCHES: usize = 16;
/// How long a thread with nothing to read waits before it looks again.
const POLL_DELAY: Duration = Duration::from_millis(5);
/// How often new partitions are looked for.
const DISCOVERY_DELAY: Duration = Duration::from_secs(1);

/// Records of one partition, on their way into the dataflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition of that source.
    pub partition: u32,
    /// The records.
    pub raw: RawBatch,
}

/// What a feeder says.
pub enum Fed {
    /// Records.
    Batch(Batch),
    /// Everything that was present at the start has been handed over, and more may follow.
    CaughtUp,
    /// Everything has been handed over.
    Ended,
    /// The source can not be read.
    Failed(SourceError),
}

/// What a feeder reads.
pub struct Share {
    /// The source's number.
    pub source: u16,
    /// Its partitions.
    pub catalog: Catalog,
    /// Which of `peers` workers this is; it reads the partitions with numbers equal to it, modulo `peers`.
    pub index: usize,
    /// How many workers there are.
    pub peers: usize,
    /// Whether to end where the present input ends.
    pub bounded: bool,
    /// What is counted.
    pub metrics: Arc<SourceMetrics>,
}

/// Starts the thread. It ends with the source, or when the receiver is dropped.
pub fn start(share: Share, activator: SyncActivator) -> Receiver<Fed> {
    let (sender, receiver) = sync_channel(BATCHES);
    let feeder = Feeder { share, sender, activator, opened: 0, open: BTreeMap::new(), caught_up: false };
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || feeder.run())
        .expect("the system can start a thread");
    receiver
}

struct Feeder {
    share: Share,
    sender: SyncSender<Fed>,
    activator: SyncActivator,
    /// Partitions below this number have been opened, if they are ours.
    opened: usize,
    open: BTreeMap<u32, Reading>,
    caught_up: bool,
}

struct Reading {
    reader: Box<dyn PartitionReader>,
    caught_up: bool,
    read_bytes: u64,
}

/// Why a feeder ends before its partitions do.
enum Stop {
    /// The receiver is gone: the run is over.
    Gone,
    Failed(SourceError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Stop::Failed(error)
    }
}

impl Feeder {
    fn run(mut self) {
        let end = match self.read() {
            Ok(()) => Fed::Ended,
            Err(Stop::Gone) => return,
            Err(Stop::Failed(error)) => Fed::Failed(error),
        };
        let _ = self.send(end);
    }

    fn read(&mut self) -> Result<(), Stop> {
        let mut looked = Instant::now();
        self.open_new()?;
        loop {
            let mut idle = true;
            let partitions: Vec<u32> = self.open.keys().copied().collect();
            for partition in partitions {
                idle &= !self.poll(partition)?;
            }
            if self.open.is_empty() && (self.share.bounded || !self.share.catalog.is_unbounded()) {
                return Ok(());
            }
            if !self.caught_up && self.open.values().all(|r| r.caught_up) {
                self.caught_up = true;
                self.send(Fed::CaughtUp)?;
            }
            if idle {
                std::thread::sleep(POLL_DELAY);
            }
            if !self.share.bounded && looked.elapsed() >= DISCOVERY_DELAY {
                looked = Instant::now();
                if self.share.catalog.is_unbounded() {
                    self.share.catalog.discover()?;
                    self.open_new()?;
                }
            }
        }
    }

    /// Opens the partitions of our share that were found since the last call.
    fn open_new(&mut self) -> Result<(), SourceError> {
        let found = self.share.catalog.len();
        for partition in self.opened..found {
            if partition % self.share.peers != self.share.index {
                continue;
            }
            let partition = u32::try_from(partition).expect("fewer than 2^32 partitions");
            let reader = self.share.catalog.open_partition(partition)?;
            self.share.metrics.total_bytes.fetch_add(reader.total_bytes().unwrap_or(0), Relaxed);
            self.share.metrics.partitions.fetch_add(1, Relaxed);
            self.open.insert(partition, Reading { reader, caught_up: false, read_bytes: 0 });
        }
        self.opened = found;
        Ok(())
    }

    /// Reads one batch of a partition; says whether there was something.
    fn poll(&mut self, partition: u32) -> Result<bool, Stop> {
        let reading = self.open.get_mut(&partition).expect("polled while open");
        let mut raw = RawBatch::default();
        let progress = reading.reader.poll(&mut raw, BATCH_BYTES)?;
        let read_bytes = reading.reader.read_bytes();
        self.share.metrics.read_bytes.fetch_add(read_bytes.saturating_sub(reading.read_bytes), Relaxed);
        reading.read_bytes = read_bytes;
        reading.caught_up |= progress != Progress::More;
        if progress == Progress::End || (self.share.bounded && reading.caught_up) {
            self.open.remove(&partition);
        }
        let found = !raw.records.is_empty();
        if found {
            self.send(Fed::Batch(Batch { source: self.share.source, partition, raw }))?;
        }
        Ok(found || progress == Progress::More)
    }

    /// Send, *then* wake: the other way round is a lost wake-up. Waits while the worker is behind.
    fn send(&self, fed: Fed) -> Result<(), Stop> {
        self.sender.send(fed).map_err(|_| Stop::Gone)?;
        // An error means that the worker is gone, which the next send notices.
        let _ = self.activator.activate();
        Ok(())
    }
}
