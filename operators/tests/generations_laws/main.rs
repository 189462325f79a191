//! The laws of `generations`, against a brute-force oracle, at 1, 2 and 3 workers: also when it starts in the middle, and when
//! it hides epochs.

mod model;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use flowstone_operators::table::TableStart;
use model::*;
use oracle::oracle;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// At every epoch there is what the oracle says, whatever the number of workers.
    #[test]
    fn what_is_shown_is_the_newest_complete_operation(history in history(), workers in 1..=3usize) {
        let out = table(workers, live(&history), TableStart::default(), FOR_EVER);
        let mut refused = Vec::new();
        for epoch in 0..history.len() {
            let (rows, expected) = oracle(history[..=epoch].iter());
            prop_assert_eq!(sum(&out, 0..=epoch as u64), rows, "epoch {}", epoch);
            refused.extend(refused_of(&out, epoch as u64));
            prop_assert_eq!(refused.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
            prop_assert_eq!(refused.len(), expected.len(), "each once");
        }
    }

    /// In the end there is the same if all came at once, or cut into epochs in any way, rows before what is said of their
    /// operations or behind.
    #[test]
    fn the_cut_into_epochs_does_not_matter(
        history in history(), workers in 1..=3usize, places in proptest::collection::vec(1..9usize, 120),
    ) {
        let (expected, _) = oracle(std::iter::once(&history.concat()));
        let mut cut = vec![Vec::new(); 9];
        let mut places = places.into_iter();
        let mut last = 1;
        for record in history.concat() {
            // What is said of operations stays in its order.
            let place = places.next().expect("there are fewer records");
            last = if record.id.is_none() { last.max(place.min(last + 1)) } else { last };
            cut[if record.id.is_none() { last } else { place }].push(record);
        }
        let out = table(workers, live(&cut), TableStart::default(), FOR_EVER);
        prop_assert_eq!(sum(&out, 0..=8), expected);
    }

    /// A table that starts from a journal says at every later epoch what one says that has seen all records; and a replay
    /// says at its epochs what was said there.
    #[test]
    fn a_restart_changes_nothing(
        history in history(), before in 1..=3usize, after in 1..=3usize, cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        remember in prop::sample::select(vec![1, 3, u64::MAX]), ticks in ticks(), keep in proptest::option::of(0..6u64),
    ) {
        let last = history.len() as u64 - 1;
        let (through, hydrate_at) = (cut.0.index(history.len()) as u64, cut.1.index(history.len()) as u64);
        let hydrate_at = hydrate_at.min(through);
        let rules = Rules { remember, keep };
        let whole = table(before, tick(live(&history), &ticks), TableStart::default(), rules);
        let mut input = sealed(&whole, history.len(), hydrate_at, through);
        for (at, records) in tick(live(&history), &ticks).into_iter().enumerate().skip(through as usize + 1) {
            input[at].extend(records);
        }
        let again = table(after, input, TableStart { hydrate_at, hidden_from: None }, rules);
        prop_assert_eq!(sum(&again, 0..=hydrate_at), sum(&whole, 0..=hydrate_at));
        for epoch in hydrate_at + 1..=last {
            prop_assert_eq!(rows_of(&again, epoch), rows_of(&whole, epoch), "epoch {}", epoch);
        }
        // When a deletion is forgotten that belongs to no operation depends on which worker has something to do.
        // And that nothing is left of a key is said by the key: a deletion that is forgotten in the epoch in which a row comes
        // and goes by its time may be what is named, or that row.
        let named = |record: Record| if record.what == Nothing { Record { offset: 0, ..record } } else { record };
        let of_operations = |changes: Vec<Record>| {
            changes.into_iter().filter(|record| record.operation.is_some()).map(named).collect::<Vec<_>>()
        };
        for epoch in 0..=last {
            let (changes, refused) = (changes_of(&again, epoch), refused_of(&again, epoch));
            if epoch <= through {
                prop_assert!(changes.is_empty() && refused.is_empty(), "what is sealed is not journalled again");
            } else {
                prop_assert_eq!(of_operations(changes), of_operations(changes_of(&whole, epoch)), "epoch {}", epoch);
                prop_assert_eq!(refused, refused_of(&whole, epoch));
            }
        }
    }

    /// Epochs that were hidden when they were first there are repeated as one, whatever the order in which they are read.
    #[test]
    fn repeated_epochs_may_be_shown_as_one(
        history in history(), before in 1..=3usize, after in 1..=3usize, cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ticks in ticks(), keep in proptest::option::of(0..6u64),
    ) {
        let (through, hydrate_at) = (cut.0.index(history.len()) as u64, cut.1.index(history.len()) as u64);
        let hydrate_at = hydrate_at.min(through);
        let rules = Rules { keep, ..FOR_EVER };
        let whole = table(before, tick(live(&history), &ticks), TableStart::default(), rules);
        let mut input = sealed(&whole, history.len(), hydrate_at, through);
        let later = input.split_off(hydrate_at as usize + 1).concat();
        input.resize(history.len(), Vec::new());
        input[through as usize].extend(later.into_iter().rev());
        for (at, records) in tick(live(&history), &ticks).into_iter().enumerate().skip(through as usize + 1) {
            input[at].extend(records);
        }
        let again = table(after, input, TableStart { hydrate_at, hidden_from: None }, rules);
        prop_assert_eq!(sum(&again, 0..=hydrate_at), sum(&whole, 0..=hydrate_at));
        if through > hydrate_at {
            prop_assert_eq!(rows_of(&again, through), sum(&whole, hydrate_at + 1..=through));
        }
        for epoch in through + 1..history.len() as u64 {
            prop_assert_eq!(rows_of(&again, epoch), rows_of(&whole, epoch), "epoch {}", epoch);
        }
    }

    /// Hidden epochs are journalled as ever, and their net change is shown at the reveal; also if a restart comes between.
    #[test]
    fn hidden_epochs_are_shown_as_one(
        history in history(), workers in 1..=3usize, cut in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(),
        mut ticks in ticks(), keep in proptest::option::of(0..6u64),
    ) {
        let rules = Rules { keep, ..FOR_EVER };
        let mut points = [cut.0, cut.1, cut.2].map(|index| index.index(history.len()) as u64);
        points.sort_unstable();
        let [first, sealed_through, reveal] = points;
        let first = first.max(1);
        let (sealed_through, reveal) = (sealed_through.max(first), reveal.max(first));
        let last = history.len() as u64 - 1;
        ticks[first as usize..reveal as usize].fill(false);
        let whole = table(1, tick(live(&history), &ticks), TableStart::default(), rules);
        let mut uncut = tick(live(&history), &ticks);
        uncut[reveal as usize].push(In::Reveal);
        let mut restarted = sealed(&whole, history.len(), first - 1, sealed_through.min(reveal));
        for (at, records) in uncut.iter().enumerate() {
            let is_live = at as u64 > sealed_through.min(reveal);
            restarted[at].extend(records.iter().filter(|item| is_live || **item == In::Reveal).cloned());
        }
        for input in [uncut, restarted] {
            let start = TableStart { hydrate_at: first - 1, hidden_from: Some(first) };
            let out = table(workers, input, start, rules);
            prop_assert_eq!(sum(&out, 0..=first - 1), sum(&whole, 0..=first - 1));
            for epoch in first..reveal {
                prop_assert!(rows_of(&out, epoch).is_empty());
            }
            prop_assert_eq!(rows_of(&out, reveal), sum(&whole, first..=reveal));
            for epoch in reveal + 1..=last {
                prop_assert_eq!(rows_of(&out, epoch), rows_of(&whole, epoch));
            }
        }
    }
}

fn of(number: u64, id: u64, value: u8) -> Record {
    Record { operation: Some((0, number)), id: Some(id), offset: id, what: row(value) }
}

fn said(number: u64, offset: u64, what: What) -> Record {
    Record { operation: Some((0, number)), id: None, offset, what }
}

/// How many rows of which operation are shown after each epoch; no epoch shows rows of two.
fn shown(history: &[Vec<Record>]) -> Vec<Option<(u64, usize)>> {
    let runs = (1..=3).map(|workers| {
        let out = table(workers, live(history), TableStart::default(), FOR_EVER);
        let after = |epoch: usize| {
            let rows = sum(&out, 0..=epoch as u64);
            assert!(rows.values().all(|count| *count == 1), "{rows:?}");
            let numbers: BTreeSet<u64> = rows.keys().map(|((operation, _), _)| operation.expect("of one").1).collect();
            assert!(numbers.len() <= 1, "rows of {numbers:?}");
            numbers.first().map(|number| (*number, rows.len()))
        };
        (0..history.len()).map(after).collect::<Vec<_>>()
    });
    let runs: Vec<_> = runs.collect();
    assert!(runs.windows(2).all(|pair| pair[0] == pair[1]), "whatever the number of workers");
    runs[0].clone()
}

/// The first run of a model finds 500 objects, the second 600.
#[test]
fn capability_15_the_500_are_shown_until_the_600_are_there() {
    let run = |number, ids: std::ops::Range<u64>| ids.map(|id| of(number, id, number as u8)).collect::<Vec<_>>();
    let history = [
        vec![said(1, 1, Started)],
        run(1, 0..250),
        run(1, 250..500),
        vec![said(1, 2, Finished(0))],
        vec![said(2, 3, Started)],
        run(2, 0..599),
        vec![said(2, 4, Finished(600))],
        run(2, 599..600),
    ];
    let first = Some((1, 500));
    assert_eq!(shown(&history), [None, None, None, first, first, first, first, Some((2, 600))]);
    let mut canceled = history;
    canceled[6] = vec![said(2, 4, Canceled)];
    canceled.iter_mut().skip(7).for_each(|epoch| epoch.push(said(2, 5, Finished(0))));
    assert_eq!(shown(&canceled), [None, None, None, first, first, first, first, first]);
}

#[test]
fn what_comes_after_the_end_of_an_operation_is_shown_if_it_is_the_newest() {
    let history = [
        vec![of(1, 0, 1), said(1, 1, Finished(0))],
        vec![said(3, 2, Finished(0))],
        vec![of(3, 0, 1), of(3, 1, 1)],
        vec![of(2, 0, 1), of(1, 9, 1), said(2, 3, Finished(0))],
        vec![Record { what: Deletion, offset: 9, ..of(3, 0, 1) }],
        vec![of(4, 0, 1), said(4, 4, Canceled), of(4, 1, 1)],
        vec![of(4, 2, 1)],
    ];
    let [two, one] = [Some((3, 2)), Some((3, 1))];
    assert_eq!(shown(&history), [Some((1, 1)), None, two, two, one, one, one]);
}

/// While rows are not shown they are counted, however old they are; when they come to be shown, those go that are too old.
#[test]
fn rows_go_with_their_time_once_they_are_shown() {
    let at = |number, id, time| Record { what: What::Row { value: 0, time }, ..of(number, id, 0) };
    let history = [
        vec![at(1, 0, 0), at(1, 1, 9), at(1, 2, 2)],
        vec![said(1, 1, Finished(3))],
        vec![said(2, 2, Finished(2)), at(2, 3, 0)],
        vec![at(1, 4, 0)],
        vec![],
        vec![at(2, 5, 0)],
        vec![at(2, 6, 9)],
    ];
    let rules = Rules { keep: Some(1), ..FOR_EVER };
    for workers in 1..=3 {
        let ticks = [true; 7];
        let out = table(workers, tick(live(&history), &ticks), TableStart::default(), rules);
        let ids = |epoch| sum(&out, 0..=epoch).into_keys().map(|((_, id), _)| id.unwrap()).collect::<Vec<_>>();
        assert_eq!([1, 2, 3, 4].map(ids), [vec![1, 2], vec![1, 2], vec![1], vec![1]], "0 is too old, 4 comes too late");
        assert_eq!([5, 6].map(ids), [vec![], vec![6]], "both are in, and both too old");
    }
}

/// How an operation has ended is known for a while after, and forgotten by the journal as well.
#[test]
fn old_ends_are_forgotten_after_a_while() {
    let history = [
        vec![said(1, 1, Finished(0)), said(2, 2, Canceled)],
        vec![said(3, 3, Finished(0))],
        vec![said(1, 4, Canceled), said(2, 5, Finished(0))],
        vec![],
        vec![said(1, 6, Canceled), said(2, 7, Finished(0))],
        vec![said(1, 8, Finished(0))],
    ];
    let rules = Rules { remember: 4, keep: None };
    let out = table(2, live(&history), TableStart::default(), rules);
    let refused = |epoch| refused_of(&out, epoch).into_iter().map(|(record, _)| record.offset).collect::<Vec<_>>();
    assert_eq!([2, 4, 5].map(refused), [vec![4, 5], vec![], vec![8]], "after that, what is said first counts");
    let whats = |epoch| changes_of(&out, epoch).into_iter().map(|record| record.what).collect::<Vec<_>>();
    assert_eq!([2, 4].map(whats), [vec![], vec![Canceled, Finished(0)]], "what comes instead is kept");
    let shorter = table(2, live(&history[..4]), TableStart::default(), rules);
    let mut input = sealed(&shorter, 7, 3, 3);
    input[4].push(In::Live(said(3, 9, Started)));
    let start = TableStart { hydrate_at: 3, hidden_from: None };
    let forgotten: Vec<Key> = changes_of(&table(1, input, start, rules), 4).iter().map(Record::key).collect();
    assert_eq!(forgotten, [(Some((0, 1)), None), (Some((0, 2)), None)]);
}

/// The journal is told of each row that a swap replaces, shown or not: else it would keep all operations that ever were.
#[test]
fn what_a_swap_replaces_leaves_the_journal() {
    let rows = |number, count: u64| {
        (0..count).map(move |id| Record {
            operation: Some((0, number)),
            id: Some(id),
            offset: 10 * number + id,
            what: row(1),
        })
    };
    // The second one ends after the third: it is never shown.
    let history = [
        rows(1, 3).chain([said(1, 1, Finished(0))]).collect(),
        rows(2, 2).chain(rows(3, 4)).collect::<Vec<_>>(),
        vec![said(3, 2, Finished(0))],
    ];
    for workers in 1..=3 {
        let out = table(workers, live(&history), TableStart::default(), FOR_EVER);
        let mut kept = BTreeMap::new();
        for record in (0..=history.len() as u64).flat_map(|epoch| changes_of(&out, epoch)) {
            kept.insert(record.key(), record.what);
        }
        let kept: Vec<Key> =
            kept.into_iter().filter(|(_, what)| matches!(what, What::Row { .. })).map(|(key, _)| key).collect();
        assert_eq!(kept, (0..4).map(|id| (Some((0, 3)), Some(id))).collect::<Vec<_>>());
    }
}

/// Run with `cargo test --release -p flowstone-operators --test generations_laws -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_rows_and_swaps_take() {
    let series = 300;
    let rows = |number: u64, count: u64| {
        let of_series = move |of: u64| {
            (0..count).map(move |id| Record {
                operation: Some((of, number)),
                id: Some(of << 32 | id),
                offset: id,
                what: row(number as u8),
            })
        };
        (0..series).flat_map(of_series).collect::<Vec<_>>()
    };
    let ends = |number| {
        (0..series).map(|of| Record { operation: Some((of, number)), id: None, offset: 0, what: Finished(0) }).collect()
    };
    let timed = |history: &[Vec<Record>]| {
        let start = std::time::Instant::now();
        let out = table(1, live(history), TableStart::default(), FOR_EVER);
        assert!(out.values().map(Vec::len).sum::<usize>() > 0);
        start.elapsed().as_secs_f64()
    };
    let first = vec![rows(1, 3000), ends(1)];
    let second = [first.clone(), vec![rows(2, 3300)]].concat();
    let swapped = [second.clone(), vec![ends(2)]].concat();
    let [one, two, three] = [&first, &second, &swapped].map(|history| timed(history));
    eprintln!(
        "{} rows shown: {one:.2} s; {} more, not shown: {:.2} s; swapped: {:.2} s",
        3000 * series,
        3300 * series,
        two - one,
        three - two
    );
}
