//! The law of `accumulate`, against a recomputation of everything, at 1, 2 and 3 workers, and over restarts.

use std::collections::{BTreeMap, BTreeSet};

use flowstone_operators::accumulate::{Accumulated, Accumulation, accumulate, combine};
use flowstone_operators::aggregate::{Accumulator, Bag, Group};
use flowstone_operators::route::{Route, owner};
use flowstone_operators::table::{Keyed, TableChange, TableInput, TableOptions, TableStart, Tick};
use flowstone_operators::testing::run;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Exchange, OkErr, ToStream};

/// A window: the larger ones, of two and four times the length, have a route in common with those that they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Window {
    level: u8,
    number: u32,
}

impl Window {
    fn end(self) -> i64 {
        i64::from((self.number + 1) << self.level)
    }
}

impl Route for Window {
    fn route(&self) -> u64 {
        (self.number >> (LEVELS - 1 - self.level)).route()
    }
}

const LEVELS: u8 = 3;

/// The second level is only a step to the third.
const HIDDEN: u8 = 1;

/// How many events there are; or how many have this value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Piece(Window, Option<i8>, i64);

/// `(window, events, least, greatest, distinct)`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row(Window, i64, Option<i8>, Option<i8>, usize);

impl Keyed for Piece {
    fn key_hash(&self) -> u64 {
        self.0.route()
    }

    fn same_key(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }

    fn same_row(&self, other: &Self) -> bool {
        self == other
    }
}

impl Keyed for Row {
    fn key_hash(&self) -> u64 {
        self.0.route()
    }

    fn same_key(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn same_row(&self, other: &Self) -> bool {
        self == other
    }
}

struct Windows;

impl Accumulation for Windows {
    type Key = Window;
    type Of = Bag<i8>;
    type Piece = Piece;
    type Row = Row;

    fn row(&mut self, key: &Window, Group { rows, of }: &Group<Bag<i8>>) -> Row {
        Row(*key, *rows, of.min().copied(), of.max().copied(), of.distinct())
    }

    fn key_of_row(&self, row: &Row) -> Window {
        row.0
    }

    fn above(&self, key: &Window, larger: &mut Vec<Window>) {
        let above = Window { level: key.level + 1, number: key.number / 2 };
        larger.extend((above.level < LEVELS).then_some(above));
    }

    fn is_kept(&self, key: &Window) -> bool {
        key.level != HIDDEN
    }

    fn final_at(&self, key: &Window) -> Option<i64> {
        Some(key.end())
    }

    fn add(&mut self, key: &Window, group: &mut Group<Bag<i8>>, change: Group<Bag<i8>>, mut note: impl FnMut(Piece)) {
        for (value, times) in change.of.iter() {
            note(Piece(*key, Some(*value), group.of.times(value) + times));
        }
        group.merge(change);
        note(Piece(*key, None, group.rows));
    }

    fn pieces(&mut self, key: &Window, group: &Group<Bag<i8>>, mut note: impl FnMut(Piece)) {
        group.of.iter().for_each(|(value, times)| note(Piece(*key, Some(*value), times)));
        note(Piece(*key, None, group.rows));
    }

    fn is_first(&self, piece: &Piece) -> bool {
        piece.1.is_none()
    }

    fn key_of_piece(&self, piece: &Piece) -> Window {
        piece.0
    }

    fn restore(&mut self, Piece(_, value, times): &Piece, group: &mut Group<Bag<i8>>) {
        match value {
            None => group.rows = *times,
            Some(value) => group.of.add(*value, times - group.of.times(value)),
        }
    }

    fn is_gone(&self, piece: &Piece) -> bool {
        piece.2 == 0
    }
}

/// An event, a tick, or a piece of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Event(u32, i8),
    Tick(i64),
    Sealed(u64, Piece),
}

/// Changes of rows, and of pieces.
type Said = Result<(Row, isize), TableChange<Piece>>;

type Found = BTreeMap<u64, Vec<Said>>;

/// What there is at an epoch: the values of each window.
type State = BTreeMap<Window, Vec<i8>>;

fn row(window: Window, values: &[i8]) -> Row {
    let distinct = values.iter().collect::<BTreeSet<_>>().len();
    Row(window, values.len() as i64, values.iter().min().copied(), values.iter().max().copied(), distinct)
}

fn times(values: &[i8], of: i8) -> i64 {
    values.iter().filter(|value| **value == of).count() as i64
}

/// All pieces of a window that are of these values.
fn pieces(window: Window, values: &[i8], of: &[i8]) -> impl Iterator<Item = Piece> {
    let of: BTreeSet<i8> = of.iter().copied().collect();
    let all = of.into_iter().map(|value| Piece(window, Some(value), times(values, value)));
    all.chain([Piece(window, None, values.len() as i64)]).collect::<Vec<_>>().into_iter()
}

/// What each epoch says, and what there is after it.
fn oracle(epochs: &[Vec<Step>]) -> (Found, Vec<State>) {
    let (mut state, mut states, mut found) = (State::new(), Vec::new(), Found::new());
    for (epoch, steps) in (0..).zip(epochs) {
        let mut added = State::new();
        let mut watermark = None;
        for step in steps {
            match step {
                Step::Event(at, value) => (0..LEVELS).filter(|level| *level != HIDDEN).for_each(|level| {
                    added.entry(Window { level, number: at >> level }).or_default().push(*value);
                }),
                Step::Tick(to) => watermark = watermark.max(Some(*to)),
                Step::Sealed(..) => unreachable!("nothing is sealed before it has happened"),
            }
        }
        let said: &mut Vec<Said> = found.entry(epoch).or_default();
        for (window, values) in added {
            let known = state.entry(window).or_default();
            let before = row(window, known);
            known.extend(&values);
            let now = row(window, known);
            said.extend((before.1 > 0).then_some(Ok((before, -1))));
            said.push(Ok((now, 1)));
            said.extend(pieces(window, known, &values).map(|piece| Err(TableChange::Set(piece))));
        }
        let is_over = |window: &Window| watermark.is_some_and(|watermark| window.end() <= watermark);
        for (window, values) in state.iter().filter(|(window, _)| is_over(window)) {
            said.extend(pieces(*window, values, values).map(|piece| Err(TableChange::Remove(piece))));
        }
        state.retain(|window, _| !is_over(window));
        said.sort();
        states.push(state.clone());
    }
    found.retain(|_, said| !said.is_empty());
    (found, states)
}

fn accumulated(workers: usize, epochs: Vec<Vec<Step>>, hydrate_at: u64) -> Found {
    let mut found = run(workers, epochs, move |steps| {
        let scope = steps.scope();
        let peers = scope.peers();
        let (events, others) = steps.ok_err(|step| match step {
            Step::Event(at, value) => Ok((Window { level: 0, number: at }, value)),
            other => Err(other),
        });
        let (ticks, sealed) = others.container::<Vec<_>>().ok_err(|step| match step {
            Step::Tick(watermark) => Ok(Tick { watermark: Some(watermark) }),
            Step::Sealed(epoch, piece) => Err((epoch, piece)),
            Step::Event(..) => unreachable!("they are elsewhere"),
        });
        let sealed = sealed.container::<Vec<_>>();
        let sealed = sealed.exchange(move |(_, piece): &(u64, Piece)| owner(piece.0.route(), peers));
        let input = TableInput {
            live: combine(events.container::<Vec<_>>()),
            sealed,
            reveals: None::<()>.to_stream(scope).container::<Vec<_>>(),
            ticks: Some(ticks.container::<Vec<_>>().broadcast()),
        };
        let start = TableStart { hydrate_at, hidden_from: None };
        let options = TableOptions { journalled: true, start, ..TableOptions::default() };
        let Accumulated { rows, changes } = accumulate(input, options, Windows);
        rows.inner.map(|(row, _, diff)| Ok((row, diff))).concat(changes.map(Err))
    });
    found.retain(|_, said| !said.is_empty());
    found
}

/// What an epoch brings: of each event how far behind the watermark it is, and its value; and how far the watermark moves.
type Drawn = (Vec<(u32, i8)>, Option<u32>);

fn epochs(drawn: &[Drawn]) -> Vec<Vec<Step>> {
    let mut watermark = 0;
    drawn
        .iter()
        .map(|(events, moves)| {
            // Nothing from before it comes in the epoch of a tick, or later.
            watermark += moves.unwrap_or(0);
            let events = events.iter().map(|(after, value)| Step::Event(watermark + after, *value));
            events.chain(moves.map(|_| Step::Tick(watermark.into()))).collect()
        })
        .collect()
}

/// A run after those that have sealed the epochs before `through`: up to `hydrate_at` at that epoch, later ones at their own.
fn restarted(epochs: &[Vec<Step>], sealed: &Found, hydrate_at: u64, through: u64) -> Vec<Vec<Step>> {
    let mut steps = epochs.to_vec();
    steps[..through as usize].iter_mut().for_each(Vec::clear);
    for (epoch, said) in sealed.range(..through) {
        let pieces = said.iter().filter_map(|said| match said.as_ref().err()? {
            TableChange::Set(piece) => Some(piece.clone()),
            TableChange::Remove(Piece(window, value, _)) => Some(Piece(*window, *value, 0)),
        });
        // The journal is read in any order.
        steps[(*epoch).max(hydrate_at) as usize].extend(pieces.map(|piece| Step::Sealed(*epoch, piece)).rev());
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_of_events_gives_what_the_oracle_gives_and_a_restart_changes_nothing(
        drawn in prop::collection::vec(
            (prop::collection::vec((0..9_u32, -3..4_i8), 0..12), prop::option::of(0..5_u32)),
            2..8,
        ),
        hydrate_at in 0..7_u64,
        replayed in 0..4_u64,
    ) {
        let epochs = epochs(&drawn);
        let (expected, states) = oracle(&epochs);
        let hydrate_at = hydrate_at.min(epochs.len() as u64 - 1);
        let through = (hydrate_at + 1 + replayed).min(epochs.len() as u64);
        // It begins with the rows that there are, journals nothing again, and goes on as if it had not been away.
        let mut later: Found = expected.range(hydrate_at + 1..).map(|(epoch, said)| (*epoch, said.clone())).collect();
        later.iter_mut().filter(|(epoch, _)| **epoch < through).for_each(|(_, said)| said.retain(Result::is_ok));
        let start = states[hydrate_at as usize].iter().map(|(window, values)| Ok((row(*window, values), 1)));
        later.insert(hydrate_at, start.collect());
        later.values_mut().for_each(|said| said.sort());
        later.retain(|_, said| !said.is_empty());
        for workers in 1..=3 {
            prop_assert_eq!(&accumulated(workers, epochs.clone(), 0), &expected, "{} workers", workers);
            let found = accumulated(workers, restarted(&epochs, &expected, hydrate_at, through), hydrate_at);
            prop_assert_eq!(&found, &later, "{} workers go on at {}", workers, through);
        }
    }
}
