//! What a source decides between feeder and dataflow: how far each partition is, what to report, when to pause.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Bookmark;
use super::feeder::Batch;
use super::in_flight::{InFlight, Limits, Pause};
use super::messages::{Binding, Report};

/// Bytes put into the dataflow before other operators get their turn.
const FUEL_BYTES: u64 = 4 << 20;

/// How often a source looks whether its process was asked to stop.
const STOP_DELAY: Duration = Duration::from_millis(50);

/// How often a source that waits for the sinks' gauge looks at it.
const GAUGE_DELAY: Duration = Duration::from_millis(10);

/// The state of a source operator, without its ports and channels.
#[derive(Debug)]
pub(super) struct Intake {
    source: u16,
    limits: Limits,
    in_flight: InFlight,
    pause: Pause,
    is_paused: bool,
    is_full: bool,
    fuel_bytes: u64,
    /// The partitions that moved in the open epoch.
    moved: BTreeMap<u32, Bookmark>,
    /// Where partitions were at the end of epochs that are not in all sinks, in order: (epoch, partition, offset).
    unwritten: VecDeque<(u64, u32, u64)>,
    epoch: u64,
    reports: Vec<Report>,
    has_caught_up: bool,
    has_ended: bool,
    has_stopped: bool,
    /// Whether the end of the open epoch was asked for.
    has_asked: bool,
}

/// When an operator must be scheduled again, if nothing else wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// When the others had their turn.
    Now,
    After(Duration),
    Never,
}

impl Intake {
    pub(super) fn new(source: u16, limits: Limits) -> Self {
        Intake {
            source,
            limits,
            in_flight: InFlight::default(),
            pause: Pause::default(),
            is_paused: false,
            is_full: false,
            fuel_bytes: 0,
            moved: BTreeMap::new(),
            unwritten: VecDeque::new(),
            epoch: 0,
            reports: Vec::new(),
            has_caught_up: false,
            has_ended: false,
            has_stopped: false,
            has_asked: false,
        }
    }

    /// How far the epochs are sealed and written; see [`InFlight::advance`].
    pub(super) fn advance(&mut self, sealed: Option<u64>, written: Option<u64>) {
        self.in_flight.advance(sealed, written);
    }

    /// The partitions of which more is in all sinks than before, and up to where; `written` as for [`Intake::advance`].
    pub(super) fn take_written(&mut self, written: Option<u64>) -> BTreeMap<u32, u64> {
        let mut offsets = BTreeMap::new();
        let is_written = |(epoch, ..): &mut (u64, u32, u64)| written.is_none_or(|written| *epoch < written);
        while let Some((_, partition, offset)) = self.unwritten.pop_front_if(is_written) {
            offsets.insert(partition, offset);
        }
        offsets
    }

    pub(super) fn open(&mut self, epoch: u64, hidden: bool) {
        self.in_flight.open(epoch, hidden);
        self.epoch = epoch;
        self.has_asked = false;
    }

    /// The open epoch closes: its bindings.
    pub(super) fn close(&mut self) -> impl Iterator<Item = Binding> {
        let (source, epoch) = (self.source, self.epoch);
        self.unwritten.extend(self.moved.iter().map(|(partition, at)| (epoch, *partition, at.offset)));
        let binding = move |(partition, at): (u32, Bookmark)| {
            let Bookmark { offset: upper, mark } = at;
            Binding { source, partition, upper, mark }
        };
        std::mem::take(&mut self.moved).into_iter().map(binding)
    }

    /// The operator is scheduled, with an epoch open. Returns for how long it was paused since the last call.
    pub(super) fn schedule(&mut self, stop: bool, is_full: bool, now: Instant) -> Duration {
        if stop && !self.has_stopped {
            self.has_stopped = true;
            self.reports.push(Report::Stop);
        }
        self.fuel_bytes = FUEL_BYTES;
        self.is_full = is_full;
        let paused = self.pause.take(now);
        self.look(now);
        paused
    }

    fn look(&mut self, now: Instant) {
        if self.has_ended {
            return;
        }
        self.is_paused = self.pause.look(&self.in_flight, &self.limits, self.is_full, now);
        // Else what is open could never be sealed, nor written.
        if self.is_paused && !self.has_asked && self.in_flight.is_open_epoch_filled() {
            self.has_asked = true;
            self.reports.push(Report::Full);
        }
    }

    /// Whether to take more from the feeder now.
    pub(super) fn wants_more(&self) -> bool {
        !self.is_paused && self.fuel_bytes > 0
    }

    /// A batch goes into the open epoch. Gives it back if there are records in it.
    pub(super) fn take(&mut self, mut batch: Batch, now: Instant) -> Option<Batch> {
        let mark = std::mem::take(&mut batch.raw.mark);
        self.moved.insert(batch.partition, Bookmark { offset: batch.raw.next_offset, mark });
        if batch.raw.records.is_empty() {
            return None;
        }
        let bytes = batch.raw.buffer.len() as u64;
        self.fuel_bytes = self.fuel_bytes.saturating_sub(bytes);
        self.in_flight.emit(bytes);
        self.look(now);
        Some(batch)
    }

    /// The feeder has handed over everything that was present.
    pub(super) fn caught_up(&mut self) {
        self.has_caught_up = true;
        self.reports.push(Report::CaughtUp);
    }

    /// The feeder has handed over everything.
    pub(super) fn ended(&mut self) {
        if !self.has_caught_up {
            self.caught_up();
        }
        self.has_ended = true;
        self.is_paused = false;
        self.reports.push(Report::Ended);
    }

    /// What to tell the clock. All at once, so that it opens no epoch between the last two.
    pub(super) fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// When to come back; `is_reading` says that the feeder has not ended.
    pub(super) fn wake(&self, is_reading: bool) -> Wake {
        if is_reading && !self.is_paused && self.fuel_bytes == 0 {
            Wake::Now
        } else if is_reading && self.is_paused && self.is_full {
            Wake::After(GAUGE_DELAY)
        } else if !self.has_stopped {
            Wake::After(STOP_DELAY)
        } else {
            Wake::Never
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{RawBatch, RawRecord};

    fn batch(partition: u32, next_offset: u64, bytes: usize) -> Batch {
        let record = RawRecord { offset: 0, payload: Some(0..bytes as u32), key: None, oversized_bytes: None };
        let records = if bytes > 0 { vec![record] } else { Vec::new() };
        let raw = RawBatch { buffer: vec![b'x'; bytes], records, next_offset, mark: format!("m{next_offset}") };
        Batch { source: 7, partition, name: "p".into(), raw }
    }

    fn binding(partition: u32, upper: u64) -> Binding {
        Binding { source: 7, partition, upper, mark: format!("m{upper}") }
    }

    fn open(limits: Limits) -> (Intake, Instant) {
        let (mut intake, now) = (Intake::new(7, limits), Instant::now());
        intake.open(10, false);
        intake.schedule(false, false, now);
        (intake, now)
    }

    #[test]
    fn an_epoch_binds_the_partitions_that_moved_in_it_at_their_last_place() {
        let (mut intake, now) = open(Limits::NONE);
        assert!(intake.take(batch(2, 5, 100), now).is_some());
        assert!(intake.take(batch(1, 9, 0), now).is_none(), "there is nothing to decode");
        assert!(intake.take(batch(2, 6, 1), now).is_some_and(|batch| batch.raw.mark.is_empty()));
        assert_eq!(intake.close().collect::<Vec<_>>(), [binding(1, 9), binding(2, 6)]);
        intake.open(20, false);
        assert_eq!(intake.close().count(), 0);
        assert_eq!(intake.take_written(Some(10)), BTreeMap::new(), "the epoch is not written");
        assert_eq!(intake.take_written(Some(11)), BTreeMap::from([(1, 9), (2, 6)]));
        assert_eq!(intake.take_written(None), BTreeMap::new(), "once is enough");
    }

    #[test]
    fn a_paused_source_asks_once_an_epoch_for_its_end() {
        let (mut intake, now) = open(Limits { unsealed_bytes: 100, ..Limits::NONE });
        intake.take(batch(0, 1, 100), now);
        assert!(!intake.wants_more());
        intake.schedule(false, false, now);
        assert_eq!(intake.take_reports(), [Report::Full]);
        intake.open(20, false);
        intake.schedule(false, false, now);
        assert!(!intake.wants_more());
        assert_eq!(intake.take_reports(), [], "nothing of what it waits for is in this epoch");
        intake.advance(Some(20), Some(10));
        assert_eq!(intake.schedule(false, false, now + GAUGE_DELAY), GAUGE_DELAY);
        assert!(intake.wants_more());
    }

    #[test]
    fn it_wakes_for_what_does_not_wake_it() {
        let (mut intake, now) = open(Limits { unsealed_bytes: 6 << 20, ..Limits::NONE });
        assert_eq!(intake.wake(true), Wake::After(STOP_DELAY));
        intake.take(batch(0, 1, 5 << 20), now);
        assert_eq!((intake.wants_more(), intake.wake(true)), (false, Wake::Now), "the others have their turn");
        intake.schedule(false, true, now);
        assert_eq!((intake.wants_more(), intake.wake(true)), (false, Wake::After(GAUGE_DELAY)));
        intake.schedule(true, false, now);
        assert_eq!(intake.take_reports(), [Report::Full, Report::Stop]);
        intake.schedule(true, false, now);
        assert_eq!((intake.take_reports(), intake.wake(true)), (vec![], Wake::Never), "once is enough");
    }

    #[test]
    fn the_end_is_reported_after_having_caught_up() {
        let (mut intake, _) = open(Limits::NONE);
        intake.ended();
        assert_eq!(intake.take_reports(), [Report::CaughtUp, Report::Ended]);
        let (mut intake, now) = open(Limits::NONE);
        intake.caught_up();
        assert_eq!(intake.take_reports(), [Report::CaughtUp]);
        intake.ended();
        intake.schedule(false, true, now);
        assert_eq!(intake.take_reports(), [Report::Ended], "and nothing pauses any more");
    }
}
