//! The thread that reads a worker's share of a source's partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use timely::scheduling::SyncActivator;

use super::catalog::Catalog;
use super::metrics::SourceMetrics;
use super::{Bookmark, PartitionReader, Progress, RawBatch, SourceError};

/// Bytes asked for at a time: large enough that costs a batch do not show, small enough to spread over workers.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for the worker.
const BATCHES: usize = 16;
/// How often new partitions are looked for.
const DISCOVERY_DELAY: Duration = Duration::from_secs(1);

/// Records of one partition, on their way into the dataflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The source, in the order of the pipeline file.
    pub source: u16,
    /// The partition of that source.
    pub partition: u32,
    /// The partition's name.
    pub name: Arc<str>,
    /// The records.
    pub raw: RawBatch,
}

/// What a feeder says.
pub enum Fed {
    /// Records, or a partition that has moved without any: there are none in the batch then.
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
    /// Whether it looks for new partitions: one worker of a cluster does, in the process whose catalogue is no replica.
    pub leader: bool,
    /// Whether this process was asked to stop.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What is counted.
    pub metrics: Arc<SourceMetrics>,
}

/// A worker's end of its feeder. The feeder ends when it is dropped.
pub(super) struct Feed {
    partitions: Sender<Vec<u32>>,
    pub(super) fed: Receiver<Fed>,
}

impl Feed {
    /// Opens these partitions, new ones of our share. The feeder begins with the first call, which names the new ones that
    /// were present at the start; those that earlier runs knew it opens by itself.
    pub(super) fn open(&self, partitions: Vec<u32>) {
        // An error means that the feeder has ended; what it says about that waits in the channel.
        let _ = self.partitions.send(partitions);
    }
}

/// Starts the thread. It ends with the source, or when the worker's end is dropped.
pub(super) fn start(share: Share, activator: SyncActivator) -> Feed {
    let (sender, fed) = sync_channel(BATCHES);
    let (partitions, found) = channel();
    let feeder = Feeder { share, sender, activator, found, open: BTreeMap::new(), caught_up: false };
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || feeder.run())
        .expect("the system can start a thread");
    Feed { partitions, fed }
}

struct Feeder {
    share: Share,
    sender: SyncSender<Fed>,
    activator: SyncActivator,
    /// New partitions of our share.
    found: Receiver<Vec<u32>>,
    open: BTreeMap<u32, Reading>,
    caught_up: bool,
}

struct Reading {
    name: Arc<str>,
    reader: Box<dyn PartitionReader>,
    /// Where the worker knows the partition to be.
    at: Bookmark,
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
        let Share { index, peers, .. } = self.share;
        let known = (0..self.share.catalog.known()).filter(|n| *n as usize % peers == index).collect();
        let first = self.found.recv().map_err(|_| Stop::Gone)?;
        self.open(known)?;
        self.open(first)?;
        let mut looked = Instant::now();
        let mut pace = Pace::default();
        loop {
            let round = Instant::now();
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
            if self.share.leader && !self.share.bounded && looked.elapsed() >= DISCOVERY_DELAY {
                looked = Instant::now();
                if self.share.catalog.is_unbounded() {
                    // Opened when the clock has announced them to all workers.
                    self.share.catalog.discover()?;
                }
            }
            let wait = pace.wait(idle, round.elapsed());
            match self.found.recv_timeout(wait) {
                Ok(found) => self.open(found)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stop::Gone),
            }
        }
    }

    fn open(&mut self, partitions: Vec<u32>) -> Result<(), SourceError> {
        let metrics = &self.share.metrics;
        for partition in partitions {
            let (reader, at) = self.share.catalog.open_partition(partition)?;
            let read_bytes = reader.read_bytes();
            let to_read_bytes = reader.total_bytes().unwrap_or(0).saturating_sub(read_bytes);
            metrics.total_bytes.fetch_add(to_read_bytes, Relaxed);
            metrics.partitions.fetch_add(1, Relaxed);
            let name = self.share.catalog.name(partition);
            self.open.insert(partition, Reading { name, reader, at, caught_up: false, read_bytes });
        }
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
        let found = !raw.records.is_empty();
        let moved = raw.next_offset != reading.at.offset || raw.mark != reading.at.mark;
        if moved {
            reading.at = Bookmark { offset: raw.next_offset, mark: raw.mark.clone() };
        }
        let name = reading.name.clone();
        if progress == Progress::End || (self.share.bounded && reading.caught_up) {
            self.open.remove(&partition);
        }
        if found || moved {
            self.send(Fed::Batch(Batch { source: self.share.source, partition, name, raw }))?;
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

/// How long a feeder waits between two looks at its partitions.
///
/// Not at all while there is something to read. When all is quiet, longer and longer, up to a time that does not show in
/// the latency of a growing file; and, with many partitions, so long that looking takes about a hundredth of it.
#[derive(Debug)]
struct Pace {
    quiet_rounds: u32,
    /// What a round without anything to read takes: it grows slowly, because others may have had the processor.
    round: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { quiet_rounds: 0, round: Duration::from_micros(10) }
    }
}

impl Pace {
    const SHORTEST: Duration = Duration::from_millis(2);
    const LONGEST: Duration = Duration::from_millis(20);
    const LONGEST_OF_MANY: Duration = Duration::from_millis(500);
    const ROUNDS_BETWEEN: u32 = 100;

    fn wait(&mut self, idle: bool, round: Duration) -> Duration {
        if !idle {
            self.quiet_rounds = 0;
            return Duration::ZERO;
        }
        self.round = round.min(self.round * 2);
        let backed_off = (Self::SHORTEST * (1 << self.quiet_rounds)).min(Self::LONGEST);
        self.quiet_rounds = (self.quiet_rounds + 1).min(8);
        backed_off.max((self.round * Self::ROUNDS_BETWEEN).min(Self::LONGEST_OF_MANY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quiet_feeder_waits_longer_and_longer_and_a_busy_one_not_at_all() {
        let mut pace = Pace::default();
        let mut idle = |round| pace.wait(true, round);
        let quick = Duration::from_micros(5);
        assert_eq!([0; 6].map(|_| idle(quick).as_millis()), [2, 4, 8, 16, 20, 20]);
        assert_eq!(idle(50 * MS), 20 * MS, "one slow round was somebody else's fault");
        assert_eq!(pace.wait(false, quick), Duration::ZERO);
        assert_eq!(pace.wait(true, quick), 2 * MS);
    }

    #[test]
    fn with_many_partitions_looking_takes_a_hundredth_of_the_time() {
        let mut pace = Pace::default();
        assert_eq!((0..20).map(|_| pace.wait(true, MS)).last(), Some(100 * MS));
        assert_eq!((0..20).map(|_| pace.wait(true, 50 * MS)).last(), Some(500 * MS), "but it must not sleep for ever");
    }
}
