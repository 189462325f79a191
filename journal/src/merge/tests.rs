//! Random histories, random merges: every hydration that a restart may choose, and every replay, stays the same.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::{Job, choose};
use crate::Epoch;
use crate::journal::Journal;
use crate::manifest::{Collapse, PartRef, SinkState, Standing, State, TableInfo};
use crate::part::{KEY_GROUPS, PartBuilder};

const ROWS: u16 = 0;
const TAIL: u16 = 1;
const DROPPED: u16 = 2;

type Key = (u16, u8);
type History = BTreeMap<Key, BTreeMap<Epoch, Option<u8>>>;

/// A journal's past: epochs 1..=24 in parts, some of them collapsed or hidden, and a sink or two somewhere.
#[derive(Clone, Debug)]
struct Past {
    changes: Vec<(Epoch, u16, u8, Option<u8>)>,
    /// Epochs at which a part ends.
    cuts: Vec<Epoch>,
    collapse: Option<(Epoch, Epoch)>,
    catching_up: Option<Epoch>,
    sinks: Vec<(Standing, bool)>,
    /// For each merge, which of the parts that there are then.
    merges: Vec<u32>,
}

const LAST: Epoch = 24;

fn past() -> impl Strategy<Value = Past> {
    let change = (1..=LAST, 0..3u16, 0..6u8, proptest::option::weighted(0.6, any::<u8>()));
    let standing = prop_oneof![
        3 => (0..=LAST + 1).prop_map(Standing::Upper),
        1 => (1..=LAST).prop_map(|at| Standing::Filling { at }),
        2 => Just(Standing::AwaitingReveal),
    ];
    (
        proptest::collection::vec(change, 0..60),
        proptest::collection::vec(1..LAST, 0..12),
        proptest::option::of((1..12u64, 1..8u64).prop_map(|(first, len)| (first, first + len))),
        proptest::option::of(20..=LAST),
        proptest::collection::vec((standing, any::<bool>()), 0..3),
        proptest::collection::vec(any::<u32>(), 1..5),
    )
        .prop_map(|(changes, cuts, collapse, catching_up, sinks, merges)| Past {
            changes,
            cuts,
            collapse,
            catching_up,
            sinks,
            merges,
        })
}

/// Stores the parts, and makes the state that names them.
fn build(journal: &Journal, past: &Past) -> State {
    let info = |name: &str, tail| TableInfo { name: name.into(), tail, awaits_reveal: false };
    let mut state = State {
        sealed: LAST,
        catching_up: past.catching_up,
        collapses: past.collapse.map(|(first, last)| Collapse { first, last }).into_iter().collect(),
        tables: [(ROWS, info("rows", false)), (TAIL, info("tail", true))].into(),
        next_table: 3,
        ..State::default()
    };
    for (i, (standing, stream)) in past.sinks.iter().enumerate() {
        let sink =
            SinkState { standing: standing.clone(), store: None, mark: None, stream: *stream, detached_unix_ms: None };
        state.sinks.insert(i.to_string(), sink);
    }
    let mut cuts = past.cuts.clone();
    cuts.push(LAST);
    cuts.sort_unstable();
    cuts.dedup();
    let mut first = 1;
    for last in cuts {
        let in_part = past.changes.iter().filter(|(epoch, ..)| (first..=last).contains(epoch));
        let changes = in_part.map(|(epoch, table, key, value)| {
            // Rows of a stream are appended, each with a key of its own.
            let key = if *table == TAIL { vec![*key, *epoch as u8] } else { vec![*key] };
            (*epoch, *table, key, value.or((*table == TAIL).then_some(0)))
        });
        let changes: Vec<_> = changes.collect();
        let mut builder = PartBuilder::new();
        for (epoch, table, key, value) in &changes {
            builder.add(*table, u64::from(key[0]) << 60, *epoch, key, value.as_ref().map(std::slice::from_ref));
        }
        let part = builder.finish();
        let name = format!("0-0-{first}");
        journal.put_part(&name, part.bytes.clone()).unwrap();
        state.parts.push(PartRef {
            object: format!("parts/{name}"),
            first,
            last,
            offset: 0,
            bytes: part.bytes.len() as u64,
            rows: part.rows,
            removals: part.removals,
            raw_bytes: part.raw_bytes,
            digest: part.digest,
        });
        first = last + 1;
    }
    state
}

fn history(journal: &Journal, state: &State) -> History {
    let mut history = History::new();
    for part in &state.parts {
        for block in journal.open_part(part).unwrap().blocks(0..KEY_GROUPS) {
            for change in block.unwrap().changes() {
                let key = if change.table == TAIL { change.key[0] ^ change.key[1] << 3 } else { change.key[0] };
                let versions = history.entry((change.table, key)).or_default();
                assert!(versions.insert(change.epoch, change.value.map(|value| value[0])).is_none());
            }
        }
    }
    history
}

/// What can be seen of the journal by any restart: rows at each hydration epoch that is legal, and what is replayed after it.
fn views(history: &History, state: &State) -> Vec<BTreeMap<(Epoch, Epoch, Key), Option<u8>>> {
    let mut views = Vec::new();
    let hidden = state.catching_up.unwrap_or(Epoch::MAX);
    for at in state.floor()..=LAST.min(hidden - 1) {
        if state.collapses.iter().any(|collapse| collapse.first <= at && at < collapse.last) {
            continue;
        }
        let mut view = BTreeMap::new();
        for (key, versions) in history.iter().filter(|(key, _)| key.0 == ROWS) {
            if let Some((_, Some(value))) = versions.range(..=at).next_back() {
                view.insert((at, 0, *key), Some(*value));
            }
            for (epoch, value) in versions.range(at + 1..) {
                // Hidden epochs will be shown at a reveal; to sinks that hold older rows, each on its own until then.
                let shown = if *epoch >= hidden { Epoch::MAX } else { state.visible_at(*epoch) };
                view.insert((at, shown, *key), *value);
            }
            // Sinks that hold nothing of hidden epochs yet see no removal of what they never had.
            if state.hidden_is_one() && !view.contains_key(&(at, 0, *key)) {
                let revealed = (at, Epoch::MAX, *key);
                if view.get(&revealed) == Some(&None)
                    && !view.keys().any(|(_, shown, k)| k == key && *shown < Epoch::MAX)
                {
                    view.remove(&revealed);
                }
            }
        }
        views.push(view);
    }
    views
}

/// Rows of streams that some sink still needs.
fn tail(history: &History, state: &State) -> Vec<(Key, Epoch)> {
    let rows = history.iter().filter(|(key, _)| key.0 == TAIL);
    let all = rows.flat_map(|(key, versions)| versions.keys().map(|epoch| (*key, *epoch)));
    all.filter(|(_, epoch)| *epoch >= state.least_upper()).collect()
}

fn merge(journal: &Journal, state: &mut State, inputs: Vec<PartRef>, name: String) {
    let job = Job::new(state, inputs, name);
    let replaced = job.run(journal, &AtomicBool::new(false)).unwrap().unwrap();
    state.parts.retain(|part| !job.inputs.contains(part));
    state.parts.extend(replaced.outputs);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn merges_change_nothing_that_a_restart_can_see(past in past()) {
        let journal = Journal::in_memory();
        let mut state = build(&journal, &past);
        let before = history(&journal, &state);
        for (i, choice) in past.merges.iter().enumerate() {
            let (_, chosen) = state.parts.iter().enumerate().fold((0, Vec::new()), |(n, mut chosen), (j, part)| {
                if choice >> (j % 32) & 1 == 1 {
                    chosen.push(part.clone());
                }
                (n + 1, chosen)
            });
            merge(&journal, &mut state, chosen, format!("0-m-{i}"));
            let after = history(&journal, &state);
            prop_assert_eq!(views(&before, &state), views(&after, &state));
            prop_assert_eq!(tail(&before, &state), tail(&after, &state));
        }
        // All in one: only what is needed is left.
        let all = state.parts.clone();
        merge(&journal, &mut state, all, "0-m-all".into());
        let after = history(&journal, &state);
        prop_assert_eq!(views(&before, &state), views(&after, &state));
        let (floor, tail_floor) = (state.floor(), state.least_upper());
        for ((table, _), versions) in &after {
            prop_assert_ne!(*table, DROPPED);
            if *table == TAIL {
                prop_assert!(versions.keys().all(|epoch| *epoch >= tail_floor));
            } else {
                let settled: Vec<_> = versions.range(..=floor).collect();
                prop_assert!(settled.len() <= 1 && settled.iter().all(|(_, value)| value.is_some()));
            }
        }
    }
}

/// More than fits one piece, from parts that are more than one request each.
#[test]
fn a_large_merge_is_written_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().to_str().unwrap()).unwrap();
    let mut noise = 1u64;
    let mut value = || {
        let mut next = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise
        };
        (0..128).flat_map(|_| next().to_le_bytes()).collect::<Vec<_>>()
    };
    let mut state = State { sealed: 3, next_table: 0, ..State::default() };
    let mut expected = BTreeMap::new();
    for epoch in 1..=3u64 {
        let rows: Vec<_> = (0..6000).map(|row| (row * epoch, (row * epoch).to_le_bytes(), value())).collect();
        let mut builder = PartBuilder::new();
        for (key, bytes, value) in &rows {
            builder.add(ROWS, key << 48, epoch, bytes, Some(value));
        }
        let part = builder.finish();
        expected.extend(rows.into_iter().map(|(key, _, value)| (key, (epoch, value))));
        let name = format!("0-0-{epoch}");
        journal.put_part(&name, part.bytes.clone()).unwrap();
        let (rows, removals, raw_bytes, digest) = (part.rows, part.removals, part.raw_bytes, part.digest);
        let (object, bytes) = (format!("parts/{name}"), part.bytes.len() as u64);
        let part = PartRef { object, first: epoch, last: epoch, offset: 0, bytes, rows, removals, raw_bytes, digest };
        state.parts.push(part);
    }
    let inputs = state.parts.clone();
    merge(&journal, &mut state, inputs, "0-m-0".into());
    assert_eq!(state.parts.len(), 1);
    assert!(state.parts[0].bytes > crate::output::PIECE_BYTES as u64);
    assert_eq!(std::fs::metadata(dir.path().join("parts/0-m-0")).unwrap().len(), state.parts[0].bytes);
    let reader = journal.open_part(&state.parts[0]).unwrap();
    let mut seen = 0;
    for block in reader.blocks(0..KEY_GROUPS) {
        for change in block.unwrap().changes() {
            let key = u64::from_le_bytes(change.key.try_into().unwrap());
            let (epoch, value) = &expected[&key];
            assert_eq!((change.epoch, change.value), (*epoch, Some(value.as_slice())));
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len());
}

/// What a keeper would do, with sizes only: how much is written in all, and how much is kept.
struct Sizes {
    state: State,
    written: u64,
}

impl Sizes {
    fn new() -> Self {
        Sizes { state: State::default(), written: 0 }
    }

    /// One more part; then merges as long as one is due. `live` limits what a merge of everything leaves.
    fn add(&mut self, bytes: u64, live: u64) {
        self.state.sealed += 1;
        let epoch = self.state.sealed;
        self.push(epoch, epoch, bytes);
        while let Some(inputs) = choose(&self.state) {
            assert!(inputs.len() >= 2);
            let merged: u64 = inputs.iter().map(|part| part.bytes).sum();
            self.state.parts.retain(|part| !inputs.contains(part));
            self.written += merged.min(live);
            let first = inputs.iter().map(|part| part.first).min().unwrap();
            let last = inputs.iter().map(|part| part.last).max().unwrap();
            self.push(first, last, merged.min(live));
            self.state.parts.sort_by_key(|part| part.first);
        }
    }

    fn push(&mut self, first: Epoch, last: Epoch, bytes: u64) {
        let (object, rows) = (format!("parts/{first}-{last}"), bytes / 100);
        let part = PartRef { object, first, last, offset: 0, bytes, rows, removals: 0, raw_bytes: bytes, digest: 0 };
        self.state.parts.push(part);
    }

    fn total(&self) -> u64 {
        self.state.parts.iter().map(|part| part.bytes).sum()
    }
}

#[test]
fn ingesting_writes_each_byte_few_times() {
    let mut sizes = Sizes::new();
    let parts = 10_000u64;
    for _ in 0..parts {
        sizes.add(1 << 20, u64::MAX);
        assert!(sizes.state.parts.len() < 80, "{} parts", sizes.state.parts.len());
    }
    let amplification = sizes.written as f64 / (parts << 20) as f64;
    assert!(amplification < 3.5, "{amplification} bytes written by merges for one ingested");
}

#[test]
fn overwriting_keeps_at_most_twice_what_lives() {
    let (mut sizes, live) = (Sizes::new(), 1 << 30);
    for i in 0..10_000 {
        sizes.add(1 << 20, live);
        let limit = if i < 1024 { u64::MAX } else { 2 * live + (1 << 20) };
        assert!(sizes.total() <= limit, "{} bytes for {live} live ones", sizes.total());
    }
    let amplification = sizes.written as f64 / (10_000u64 << 20) as f64;
    assert!(amplification < 3.5, "{amplification} bytes written by merges for one ingested");
}

#[test]
fn removals_alone_make_a_merge_due() {
    let mut sizes = Sizes::new();
    sizes.push(1, 1, 1 << 30);
    sizes.state.sealed = 10;
    for epoch in 2..=4 {
        sizes.push(epoch, epoch, 1 << 20);
    }
    assert!(choose(&sizes.state).is_none());
    let rows = sizes.state.parts[0].rows;
    sizes.state.parts[2].removals = rows / 2 + 1;
    assert_eq!(choose(&sizes.state).map(|inputs| inputs.len()), Some(4));
}

#[test]
fn a_tail_above_the_floor_is_merged_by_size_only() {
    let mut sizes = Sizes::new();
    let sink =
        SinkState { standing: Standing::Upper(1), store: None, mark: None, stream: false, detached_unix_ms: None };
    sizes.state.sinks.insert("down".into(), sink);
    for _ in 0..5_000 {
        sizes.add(1 << 10, u64::MAX);
        assert!(sizes.state.parts.len() < 64, "{} parts", sizes.state.parts.len());
    }
    assert_eq!(sizes.total(), 5_000 << 10);
}
