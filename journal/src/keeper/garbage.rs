//! Which objects no durable entry needs.

use std::collections::BTreeSet;

use crate::manifest::{SNAPSHOT_EVERY, State, entry_object};

/// Of `entries`, all that are there: those that neither the state needs, nor the fencing of runs that were overtaken. They
/// are taken out of `entries`.
///
/// Needed are the newest snapshot and what follows it; entries that carry parts; and the first entry of every run. A run
/// that is overtaken while it stands still wants, when it goes on, the very number with which the next run opened: every
/// run takes numbers without a gap, so the first one that is not its own is an opening. If that entry were gone, its
/// creation would succeed, and the zombie would believe that it owns the journal.
pub(super) fn entries(state: &State, entries: &mut BTreeSet<u64>) -> Vec<String> {
    let Some(last) = state.next_entry.checked_sub(1) else { return Vec::new() };
    let snapshot = last - last % SNAPSHOT_EVERY;
    let openings: BTreeSet<_> = state.openings.iter().map(|opening| opening.number).collect();
    let carriers: BTreeSet<_> = state.parts.iter().filter(|part| part.is_inline()).map(|part| part.file()).collect();
    let gone = |number: &u64| {
        *number < snapshot && !openings.contains(number) && !carriers.contains(entry_object(*number).as_str())
    };
    let doomed: Vec<_> = entries.iter().copied().filter(gone).collect();
    entries.retain(|number| !gone(number));
    doomed.into_iter().map(entry_object).collect()
}

/// Of `objects`: those that no part of the state is in.
pub(super) fn unnamed(state: &State, objects: impl IntoIterator<Item = String>) -> Vec<String> {
    let named: BTreeSet<_> = state.parts.iter().map(|part| part.file()).collect();
    objects.into_iter().filter(|object| !named.contains(object.as_str())).collect()
}

/// The run that stored a part, from its name.
pub(super) fn run_of(object: &str) -> Option<u64> {
    object.strip_prefix("parts/")?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Opening, PartRef, Record};

    const DAY_MS: u64 = 24 * 3600 * 1000;

    /// Openings go after 30 days, but never the one of the run itself: an older zombie wants just that number. Nor do
    /// entries go that carry a part.
    #[test]
    fn old_openings_go_with_a_snapshot_and_carriers_stay() {
        let opening = |number, day: u64| Opening { number, written_unix_ms: day * DAY_MS };
        let carried = PartRef {
            object: format!("{}#0", entry_object(66)),
            first: 1,
            last: 1,
            offset: 32,
            bytes: 100,
            rows: 1,
            removals: 0,
            raw_bytes: 40,
            digest: 0,
        };
        let mut state = State {
            run: 70,
            next_entry: 128,
            parts: vec![carried],
            openings: vec![opening(0, 0), opening(9, 20), opening(70, 5)],
            ..State::default()
        };
        let mut there: BTreeSet<u64> = [0, 9].into_iter().chain(64..=128).collect();
        let record = |snapshot: Option<Box<State>>| {
            let (number, run, written_unix_ms) = (128, 70, 40 * DAY_MS);
            Record { number, run, written_unix_ms, previous: Some(0), snapshot, ..Record::default() }
        };
        state.apply(&record(None), 0);
        assert_eq!(state.openings.len(), 3);
        state.apply(&record(Some(Box::default())), 0);
        let doomed = entries(&state, &mut there);
        assert!(doomed.contains(&entry_object(0)) && doomed.contains(&entry_object(127)));
        assert_eq!(there.into_iter().collect::<Vec<_>>(), [9, 66, 70, 128]);
    }

    #[test]
    fn parts_tell_their_run() {
        assert_eq!(run_of("parts/93-0-17"), Some(93));
        assert_eq!(run_of("parts/93-merged-0"), Some(93));
        assert_eq!(run_of("parts/notes.txt"), None);
    }
}
