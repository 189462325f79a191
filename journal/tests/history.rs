//! Random histories through keepers that merge, stop and start again: what is read is what was told.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{History, epoch_entry, read_all, replay, rows_at, settle, sink};
use flowstone_journal::{Entry, Epoch, Journal, Keeper, Standing, State, TableInfo, verify};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Seals the next epoch with changes of (key, value), carried or stored.
    Seal(Vec<(u8, Option<u8>)>, bool),
    /// The sink has everything but so many of the newest epochs.
    Acknowledge(u64),
    /// Waits for merges.
    Settle,
    /// The next run opens.
    Restart,
    /// Begins to catch up, or reveals.
    CatchUp,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = proptest::collection::vec((0..12u8, proptest::option::weighted(0.7, any::<u8>())), 0..6);
    let step = prop_oneof![
        20 => (changes, proptest::bool::weighted(0.4)).prop_map(|(changes, inline)| Step::Seal(changes, inline)),
        4 => (0..6u64).prop_map(Step::Acknowledge),
        2 => Just(Step::Settle),
        1 => Just(Step::Restart),
        1 => Just(Step::CatchUp),
    ];
    proptest::collection::vec(step, 50..400)
}

/// The journal, and what it was told.
struct Run {
    journal: Journal,
    keeper: Keeper,
    told: History,
    epoch: Epoch,
    upper: Epoch,
}

impl Run {
    fn new() -> Self {
        let journal = Journal::in_memory();
        let mut keeper = Keeper::open(journal.clone()).unwrap();
        keeper.hydrated();
        let table = TableInfo { name: "rows".into(), tail: false, awaits_reveal: false };
        let sinks = [("store".to_owned(), sink(Standing::Upper(1)))].into();
        keeper.append(Entry { new_tables: vec![(0, table)], sinks, ..Entry::default() }).unwrap();
        Run { journal, keeper, told: History::new(), epoch: 0, upper: 1 }
    }

    fn seal(&mut self, changes: &[(u8, Option<u8>)], inline: bool) -> Entry {
        self.epoch += 3;
        let mut rows = std::collections::BTreeMap::new();
        rows.extend(changes.iter().map(|(key, value)| (*key, value.map(|value| vec![value]))));
        for (key, value) in &rows {
            self.told.entry((0, vec![*key])).or_default().insert(self.epoch, value.clone());
        }
        let rows: Vec<_> = rows.into_iter().map(|(key, value)| (0, vec![key], value)).collect();
        epoch_entry(&self.keeper, self.epoch, &rows, inline)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Seal(changes, inline) => {
                let entry = self.seal(changes, *inline);
                self.keeper.append(entry).unwrap();
                self.keeper.idle().unwrap();
            }
            Step::Acknowledge(behind) => {
                // Hidden epochs are shown to nobody.
                let limit = self.keeper.state().catching_up.unwrap_or(self.epoch + 1);
                self.upper = self.upper.max((self.epoch + 1).saturating_sub(3 * behind)).min(limit);
                let sinks = [("store".to_owned(), sink(Standing::Upper(self.upper)))].into();
                self.keeper.append(Entry { sinks, ..Entry::default() }).unwrap();
            }
            Step::Settle => settle(&mut self.keeper),
            Step::Restart => {
                self.keeper = Keeper::open(self.journal.clone()).unwrap();
                self.keeper.hydrated();
            }
            Step::CatchUp if self.keeper.state().catching_up.is_none() => {
                let first = self.epoch + 1;
                self.keeper.append(Entry { catching_up: Some(first), ..Entry::default() }).unwrap();
            }
            Step::CatchUp => {
                let entry = self.seal(&[(3, Some(1))], true);
                self.keeper.append(Entry { reveal: Some(self.epoch), ..entry }).unwrap();
            }
        }
    }

    fn check(&self) {
        let state: State = self.journal.read().unwrap().unwrap();
        assert_eq!(&state, self.keeper.state());
        let read = read_all(&self.journal, &state);
        for at in state.hydrate_at()..=state.sealed {
            if state.visible_at(at) != at || state.catching_up.is_some_and(|first| at >= first) {
                continue;
            }
            assert_eq!(rows_at(&read, at), rows_at(&self.told, at), "rows at {at} of {state:?}");
            assert_eq!(replay(&read, &state, at), replay(&self.told, &state, at), "replay from {at} of {state:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_read_is_what_was_told(steps in steps()) {
        let mut run = Run::new();
        for (i, step) in steps.iter().enumerate() {
            run.step(step);
            if i % 37 == 0 {
                run.check();
            }
        }
        settle(&mut run.keeper);
        run.check();
        // What a run stored after the next one had opened is left to the one after.
        run.step(&Step::Restart);
        run.step(&Step::Restart);
        settle(&mut run.keeper);
        let report = verify(&run.journal).unwrap();
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        prop_assert!(report.unnamed.is_empty(), "{:?}", report.unnamed);
    }
}

/// A first run that catches up: rows that are overwritten while hidden take no space.
#[test]
fn hidden_epochs_are_merged_before_anyone_has_seen_them() {
    let journal = Journal::in_memory();
    let mut keeper = Keeper::open(journal.clone()).unwrap();
    keeper.hydrated();
    let sinks = [("store".to_owned(), sink(Standing::AwaitingReveal))].into();
    let table = TableInfo { name: "rows".into(), tail: false, awaits_reveal: false };
    keeper.append(Entry { catching_up: Some(1), sinks, new_tables: vec![(0, table)], ..Entry::default() }).unwrap();
    for epoch in 1..=2000u64 {
        let key = (epoch % 100) as u8;
        let value = (epoch <= 1900).then(|| vec![key; 50]);
        keeper.append(epoch_entry(&keeper, epoch, &[(0, vec![key], value)], false)).unwrap();
        keeper.idle().unwrap();
    }
    settle(&mut keeper);
    let rows: u64 = keeper.state().parts.iter().map(|part| part.rows).sum();
    assert!(rows < 300, "{rows} rows are kept of 2000 changes of 100 keys");
    let entry = epoch_entry(&keeper, 2001, &[(0, vec![7], Some(vec![9]))], true);
    let filling = [("store".to_owned(), sink(Standing::Filling { at: 2001 }))].into();
    keeper.append(Entry { reveal: Some(2001), sinks: filling, ..entry }).unwrap();
    assert_eq!((keeper.state().hydrate_at(), keeper.state().visible_at(5)), (2001, 2001));
    assert_eq!(rows_at(&read_all(&journal, keeper.state()), 2001), [((0, vec![7]), vec![9])].into());
}
