//! What several tests need: a small history of rows, written through a keeper, and what it must read as.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use flowstone_journal::{
    Binding, Change, Entry, Epoch, Journal, KEY_GROUPS, Keeper, PartBuilder, Seal, SinkState, Standing, State,
};

/// A change within an epoch: table, key, value.
pub type Row = (u16, Vec<u8>, Option<Vec<u8>>);
/// (table, key)
pub type Key = (u16, Vec<u8>);
/// Each change of a row, as the journal was told it.
pub type History = BTreeMap<Key, BTreeMap<Epoch, Option<Vec<u8>>>>;
/// Rows at one epoch.
pub type Rows = BTreeMap<Key, Vec<u8>>;

/// Spreads small keys over all key groups.
pub fn route(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub fn sink(standing: Standing) -> Option<SinkState> {
    Some(SinkState { standing, store: None, mark: None, stream: false, detached_unix_ms: None })
}

/// An entry that seals one epoch with one part, carried if `inline`.
pub fn epoch_entry(keeper: &Keeper, epoch: Epoch, rows: &[Row], inline: bool) -> Entry {
    let mut builder = PartBuilder::new();
    for (table, key, value) in rows {
        builder.add(*table, route(key), epoch, key, value.as_deref());
    }
    let mut entry = Entry { seals: vec![Seal { epoch, bindings: Vec::new() }], ..Entry::default() };
    if !builder.is_empty() {
        let part = builder.finish();
        let name = format!("{}-0-{epoch}", keeper.state().run);
        let part = if inline {
            part.inline()
        } else {
            keeper.journal().put_part(&name, part.bytes.clone()).unwrap();
            part.stored(&name)
        };
        entry.parts.push((part, epoch, epoch));
    }
    entry
}

/// Everything in the parts of a state.
pub fn read_all(journal: &Journal, state: &State) -> History {
    let mut history = History::new();
    for part in &state.parts {
        for block in journal.open_part(part).unwrap().blocks(0..KEY_GROUPS) {
            for Change { table, epoch, key, value, .. } in block.unwrap().changes() {
                let versions = history.entry((table, key.to_vec())).or_default();
                let before = versions.insert(epoch, value.map(<[u8]>::to_vec));
                assert!(before.is_none(), "a change is in one part only");
            }
        }
    }
    history
}

/// The rows at the end of epoch `at`.
pub fn rows_at(history: &History, at: Epoch) -> Rows {
    let newest = |versions: &BTreeMap<Epoch, Option<Vec<u8>>>| versions.range(..=at).next_back()?.1.clone();
    history.iter().filter_map(|(key, versions)| Some((key.clone(), newest(versions)?))).collect()
}

/// What is replayed after `hydrated`: at each epoch at which something is shown, the newest change of each key.
pub fn replay(history: &History, state: &State, hydrated: Epoch) -> BTreeMap<(Epoch, Key), Option<Vec<u8>>> {
    let mut changes = BTreeMap::new();
    for (key, versions) in history {
        for (epoch, value) in versions.range(hydrated + 1..) {
            changes.insert((state.visible_at(*epoch), key.clone()), value.clone());
        }
    }
    changes
}

pub fn binding(source: u16, partition: u32, upper: u64) -> Binding {
    Binding { source, partition, upper, mark: String::new() }
}

/// Lets merges and removals finish.
pub fn settle(keeper: &mut Keeper) {
    let started = std::time::Instant::now();
    while let Some(wait) = keeper.idle().unwrap() {
        assert!(started.elapsed().as_secs() < 60, "merging ends");
        std::thread::sleep(wait.min(std::time::Duration::from_millis(1)));
    }
}
