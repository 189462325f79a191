//! How much waits between operators and stores: what must pause the sources when a store is slow (law L10).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::Change;
use crate::record::Row;

/// Counts, for the whole process, the bytes that wait at gates and in shells, estimated as rendered.
///
/// Full from its limit on until less than three quarters of that are left, so that sources do not stop and go with every
/// buffer. It only counts: nothing is refused, because what waits must get through for anything to become less.
#[derive(Debug)]
pub struct Gauge {
    limit_bytes: u64,
    held_bytes: AtomicU64,
    most_bytes: AtomicU64,
    /// As of the last question.
    full: AtomicBool,
}

impl Gauge {
    /// One that is full at so many bytes.
    pub fn new(limit_bytes: u64) -> Self {
        Gauge { limit_bytes, held_bytes: 0.into(), most_bytes: 0.into(), full: false.into() }
    }

    /// So many bytes more wait.
    pub fn add(&self, bytes: u64) {
        let held = self.held_bytes.fetch_add(bytes, SeqCst) + bytes;
        self.most_bytes.fetch_max(held, SeqCst);
    }

    /// So many bytes, which were added, wait no more.
    pub fn sub(&self, bytes: u64) {
        let before = self.held_bytes.fetch_sub(bytes, SeqCst);
        assert!(before >= bytes, "what waits no more was added before: {bytes} of {before} bytes");
    }

    /// Adds bytes that are taken off again when the result is dropped.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Held {
        self.add(bytes);
        Held { gauge: self.clone(), bytes }
    }

    /// How many bytes wait now.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(SeqCst)
    }

    /// The most that ever waited.
    pub fn most_bytes(&self) -> u64 {
        self.most_bytes.load(SeqCst)
    }

    /// Whether sources should pause.
    ///
    /// Decided here and not where bytes are added and taken off: two threads that did both at once could leave it full for
    /// ever, with nothing waiting.
    pub fn is_full(&self) -> bool {
        let held = self.held_bytes();
        let border = if self.full.load(SeqCst) { self.limit_bytes - self.limit_bytes / 4 } else { self.limit_bytes };
        let full = held >= border;
        self.full.store(full, SeqCst);
        full
    }
}

/// What a process counts of that which its sinks have still to write.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// All that waits at gates and in shells: sources pause.
    pub waiting: Arc<Gauge>,
    /// That in shells alone. It becomes less as soon as a store is written, whatever else waits: operators may pause for it.
    pub writing: Arc<Gauge>,
}

#[cfg(test)]
impl Gauges {
    pub(super) fn without_limits() -> Self {
        let free = || Arc::new(Gauge::new(u64::MAX));
        Gauges { waiting: free(), writing: free() }
    }
}

/// Bytes that a [`Gauge`] counts as long as this lives.
#[derive(Debug)]
pub struct Held {
    gauge: Arc<Gauge>,
    bytes: u64,
}

impl Held {
    /// How many they are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many of the bytes, or all if there are fewer, as something of its own.
    pub fn split(&mut self, bytes: u64) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Held { gauge: self.gauge.clone(), bytes }
    }

    /// Both as one. They are of the same gauge.
    pub fn join(&mut self, mut other: Held) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}

/// What a change that waits is counted as.
pub fn change_bytes(change: &Change) -> u64 {
    match change {
        Change::Upsert(row) | Change::Delete(row) => row_bytes(row),
        Change::Replace(rows) => row_bytes(&rows.before) + row_bytes(&rows.after),
    }
}

/// What a waiting row is counted as: about the length of its document.
pub fn row_bytes(row: &Row) -> u64 {
    match row {
        Row::Moment(fused) => fused.bytes.into(),
        Row::Record(record) => record.payload().map_or(0, <[u8]>::len) as u64,
        Row::Group(group) => group.document.len() as u64,
        Row::Rejected(rejected) => rejected.reason.len() as u64,
        Row::DeadLetter(letter) => (letter.payload.len() + letter.reason.len()) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::row;

    #[test]
    fn it_is_full_from_its_limit_until_three_quarters_of_that() {
        let gauge = Gauge::new(100);
        gauge.add(99);
        assert!(!gauge.is_full());
        gauge.add(1);
        assert!(gauge.is_full());
        gauge.sub(25);
        assert!(gauge.is_full(), "75 are not less than three quarters");
        gauge.sub(1);
        assert!(!gauge.is_full());
        gauge.add(25);
        assert!(!gauge.is_full(), "on the way up only the limit counts");
        assert_eq!((gauge.held_bytes(), gauge.most_bytes()), (99, 100));
    }

    #[test]
    fn a_gauge_without_a_limit_is_never_full() {
        let gauge = Gauge::new(u64::MAX);
        gauge.add(1 << 60);
        assert!(!gauge.is_full());
    }

    #[test]
    fn what_is_held_is_given_back_when_it_is_dropped() {
        let gauge = Arc::new(Gauge::new(100));
        let (first, second) = (gauge.hold(70), gauge.hold(30));
        assert!(gauge.is_full());
        drop(first);
        assert_eq!(gauge.held_bytes(), 30);
        drop(second);
        assert_eq!((gauge.held_bytes(), gauge.most_bytes(), gauge.is_full()), (0, 100, false));
    }

    #[test]
    fn what_is_held_can_be_split_and_joined() {
        let gauge = Arc::new(Gauge::new(100));
        let mut all = gauge.hold(70);
        let part = all.split(20);
        let rest = all.split(1_000);
        drop(all);
        assert_eq!(gauge.held_bytes(), 70);
        drop(part);
        assert_eq!(gauge.held_bytes(), 50);
        let mut joined = gauge.hold(5);
        joined.join(rest);
        assert_eq!(gauge.held_bytes(), 55);
        drop(joined);
        assert_eq!(gauge.held_bytes(), 0);
    }

    #[test]
    #[should_panic(expected = "was added before")]
    fn taking_off_more_than_was_added_is_a_bug() {
        let gauge = Gauge::new(100);
        gauge.add(1);
        gauge.sub(2);
    }

    #[test]
    fn a_row_counts_as_its_document() {
        assert_eq!(row_bytes(&row("a", "{\"n\":12345}")), 11);
    }
}
