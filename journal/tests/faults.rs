//! A store that fails, before or after it has done what it was asked.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use common::{epoch_entry, read_all, rows_at, settle, sink};
use flowstone_journal::{Entry, Journal, JournalError, Keeper, Seal, Standing};
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How many of the next writes fail, and which way.
#[derive(Debug, Default)]
struct Faults {
    /// Nothing is written.
    before: AtomicU32,
    /// It is written, and the answer is lost.
    after: AtomicU32,
    /// Reads fail.
    reads: AtomicU32,
    /// Parts of this many bytes were written.
    part_bytes: AtomicU32,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    faults: Arc<Faults>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty store")
    }
}

fn due(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

fn fault() -> Error {
    Error::Generic { store: "faulty", source: "injected".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if due(&self.faults.before) {
            return Err(fault());
        }
        if location.as_ref().starts_with("parts") {
            self.faults.part_bytes.fetch_add(payload.content_length() as u32, Ordering::SeqCst);
        }
        let result = self.inner.put_opts(location, payload, options).await;
        if due(&self.faults.after) { Err(fault()) } else { result }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if due(&self.faults.reads) { Err(fault()) } else { self.inner.get_opts(location, options).await }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn faulty() -> (Journal, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let store = Faulty { inner: InMemory::new(), faults: Arc::clone(&faults) };
    (Journal::with_store(Arc::new(store)), faults)
}

fn seal(epoch: u64) -> Entry {
    Entry { seals: vec![Seal { epoch, bindings: Vec::new() }], ..Entry::default() }
}

#[test]
fn a_lost_answer_is_not_taken_for_fencing() {
    let (journal, faults) = faulty();
    faults.after.store(1, Ordering::SeqCst);
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    faults.after.store(1, Ordering::SeqCst);
    keeper.append(seal(1)).unwrap();
    assert_eq!(faults.after.load(Ordering::SeqCst), 0, "the fault was met");
    keeper.append(seal(2)).unwrap();
    assert_eq!(journal.read().unwrap().unwrap(), *keeper.state());
    assert_eq!(keeper.state().next_entry, 3);
}

/// The answer is lost, and it cannot be asked for at once either: the next try finds the entry and knows it.
#[test]
fn a_lost_answer_is_found_by_the_next_try() {
    let (journal, faults) = faulty();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    faults.after.store(1, Ordering::SeqCst);
    faults.reads.store(1, Ordering::SeqCst);
    keeper.append(seal(1)).unwrap();
    assert_eq!(faults.reads.load(Ordering::SeqCst), 0, "the fault was met");
    assert_eq!(journal.read().unwrap().unwrap(), *keeper.state());
}

#[test]
fn a_passing_fault_is_tried_again_and_a_lasting_one_ends_the_run() {
    let (journal, faults) = faulty();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    faults.before.store(2, Ordering::SeqCst);
    keeper.append(seal(1)).unwrap();
    faults.before.store(u32::MAX, Ordering::SeqCst);
    assert!(matches!(keeper.append(seal(2)), Err(JournalError::Store { action: "write", .. })));
    faults.before.store(0, Ordering::SeqCst);
    assert!(matches!(keeper.append(seal(2)), Err(JournalError::Broken)));
    assert!(matches!(keeper.idle(), Ok(None)));
    let next = Keeper::open(journal).unwrap();
    assert_eq!(next.state().sealed, 1);
}

/// Two runs that open at once write entries of one number that differ in nothing but their random number.
#[test]
fn of_two_runs_with_lost_answers_only_one_owns_the_number() {
    let (journal, faults) = faulty();
    let mut first = Keeper::open(journal.clone()).unwrap();
    faults.after.store(1, Ordering::SeqCst);
    let mut second = Keeper::open(journal).unwrap();
    faults.after.store(1, Ordering::SeqCst);
    assert!(matches!(first.append(seal(1)), Err(JournalError::Fenced { entry: 1 })));
    faults.after.store(0, Ordering::SeqCst);
    second.append(seal(1)).unwrap();
}

#[test]
fn a_part_may_be_put_again_after_a_lost_answer() {
    let (journal, faults) = faulty();
    faults.after.store(1, Ordering::SeqCst);
    let part = Bytes::from_static(b"part");
    assert!(journal.put_part("0-0-0", part.clone()).is_err());
    journal.put_part("0-0-0", part).unwrap();
}

/// A merge that fails leaves everything as it was, and the appends of the run go on.
#[test]
fn a_failing_merge_does_not_stop_the_run() {
    let (journal, faults) = faulty();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    for epoch in 1..40 {
        keeper.append(epoch_entry(&keeper, epoch, &[(0, vec![epoch as u8], Some(vec![1; 100]))], false)).unwrap();
    }
    faults.reads.store(1, Ordering::SeqCst);
    keeper.hydrated();
    keeper.idle().unwrap();
    let started = std::time::Instant::now();
    while faults.reads.load(Ordering::SeqCst) > 0 {
        assert!(started.elapsed().as_secs() < 20);
    }
    let waits = loop {
        match keeper.idle().unwrap() {
            Some(wait) if wait.as_secs() > 1 => break wait,
            _ => assert!(started.elapsed().as_secs() < 20),
        }
    };
    assert!(waits.as_secs() <= 30);
    keeper.append(epoch_entry(&keeper, 40, &[(0, vec![40], Some(vec![1]))], true)).unwrap();
    assert_eq!(rows_at(&read_all(&journal, keeper.state()), 40).len(), 40);
}

/// Live rows of 2 MB, overwritten again and again: what merges write stays a small multiple of what came in.
#[test]
fn merging_keeps_the_total_near_what_lives() {
    let (journal, faults) = faulty();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    keeper.hydrated();
    let (keys, per_epoch) = (2000u64, 100);
    let mut ingested = 0;
    let value = |seed: u64| {
        (0..125).flat_map(|i| (seed + i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect::<Vec<_>>()
    };
    for epoch in 1..=400u64 {
        let rows: Vec<_> = (0..per_epoch)
            .map(|i| (0, ((epoch * 7919 + i * 31) % keys).to_le_bytes().to_vec(), Some(value(epoch * 1000 + i))))
            .collect();
        let mut entry = epoch_entry(&keeper, epoch, &rows, false);
        ingested += per_epoch * 1000;
        entry.sinks.insert("store".into(), sink(Standing::Upper(epoch)));
        keeper.append(entry).unwrap();
        settle(&mut keeper);
    }
    let total: u64 = keeper.state().parts.iter().map(|part| part.bytes).sum();
    let live = rows_at(&read_all(&journal, keeper.state()), 400).len() as u64 * 1000;
    assert!(live >= 1_900_000);
    assert!(total <= 2 * live + live / 5, "{total} bytes of parts for {live} bytes of live rows");
    let written = u64::from(faults.part_bytes.load(Ordering::SeqCst));
    assert!(written < 5 * ingested, "{written} bytes written for {ingested}");
}
