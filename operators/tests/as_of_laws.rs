//! The laws of `as_of`, against an oracle, at 1, 2 and 3 workers: also when it starts in the middle, and when epochs are hidden.

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use differential_dataflow::input::InputSession;
use flowstone_operators::join::{AsOfInput, AsOfOptions, Looked, as_of};
use flowstone_operators::table::{TableChange, TableInput, TableOptions, TableStart, Versioned, upsert};
use flowstone_operators::testing::{accumulate, run_held};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Exchange, Input, Probe};

/// What comes in: changes of the left side (an id, what it is looked up by) and of the right side (a key, its value), states
/// that were sealed, and the reveal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum In {
    Left((u8, u16), u64, isize),
    Right((u8, i8), u64, isize),
    Sealed(u64, Kept),
    Reveal,
}

/// What a table keeps: what a left row has found, if it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Kept {
    id: u16,
    epoch: u64,
    found: Option<Option<i8>>,
}

impl Versioned for Kept {
    fn route(&self) -> u64 {
        flowstone_operators::route::Route::route(&self.id)
    }
    fn same_key(&self, other: &Self) -> bool {
        self.id == other.id
    }
    fn is_after(&self, other: &Self) -> bool {
        (self.epoch, self.found.is_some()) > (other.epoch, other.found.is_some())
    }
    fn is_deletion(&self) -> bool {
        self.found.is_none()
    }
    fn is_remembered(&self) -> bool {
        false
    }
    fn same_row(&self, other: &Self) -> bool {
        self.found == other.found
    }
    fn is_ambiguous_with(&self, _: &Self) -> bool {
        false
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Out {
    Row(u16, Option<i8>, isize),
    Change(Kept),
}

/// By id: what is looked up, and what was found.
type Results = BTreeMap<u16, Option<i8>>;

/// A step of a history: what a left id or a right key stands for from now on.
#[derive(Clone, Copy, Debug)]
enum Step {
    Left(u16, Option<u8>),
    Right(u8, Option<i8>),
}

fn kept(workers: usize, epochs: Vec<Vec<In>>, options: AsOfOptions) -> BTreeMap<u64, Vec<Out>> {
    let (hydrate_at, first) = (options.known_through, options.known_through + 1);
    let start = TableStart { hydrate_at, hidden_from: options.is_hidden.then_some(first) };
    run_held(workers, epochs, move |input| {
        let peers = input.scope().peers();
        let left =
            input.clone().flat_map(|item| if let In::Left(row, at, n) = item { Some((row, at, n)) } else { None });
        let right =
            input.clone().flat_map(|item| if let In::Right(row, at, n) = item { Some((row, at, n)) } else { None });
        let reveals = input.clone().flat_map(|item| (item == In::Reveal).then_some(())).broadcast();
        let sealed = input.flat_map(|item| if let In::Sealed(at, kept) = item { Some((at, kept)) } else { None });
        let sealed = sealed.exchange(move |(_, kept)| flowstone_operators::route::owner(kept.route(), peers));
        let both = AsOfInput { left: left.as_collection(), right: right.as_collection(), reveals: reveals.clone() };
        let live = as_of(both, options.clone(), |epoch, _: &u8, looked: Looked<'_, u16, i8>| match looked {
            Looked::Gone(id) => Some(Kept { id: *id, epoch, found: None }),
            Looked::Came(id, found) => Some(Kept { id: *id, epoch, found: Some(found.copied()) }),
        });
        let options = TableOptions { start, journalled: true, ..TableOptions::default() };
        let (rows, changes) = upsert(TableInput { live, sealed, reveals, ticks: None }, options);
        let rows = rows.inner.map(|(kept, _, diff)| Out::Row(kept.id, kept.found.expect("a row"), diff));
        rows.concat(changes.map(|change| match change {
            TableChange::Set(kept) => Out::Change(kept),
            TableChange::Remove(kept) => Out::Change(Kept { found: None, ..kept }),
        }))
    })
}

#[derive(Default)]
struct World {
    left: BTreeMap<u16, u8>,
    right: BTreeMap<u8, i8>,
    results: Results,
}

impl World {
    /// Makes an epoch's steps; answers the changes of both sides at the epoch that shows them.
    fn step(&mut self, steps: &[Step], at: u64) -> Vec<In> {
        let mut changes = Vec::new();
        for step in steps {
            match *step {
                Step::Left(id, key) => {
                    let old = match key {
                        Some(key) => self.left.insert(id, key),
                        None => self.left.remove(&id),
                    };
                    changes.extend(old.map(|key| In::Left((key, id), at, -1)));
                    changes.extend(key.map(|key| In::Left((key, id), at, 1)));
                }
                Step::Right(key, value) => {
                    let old = match value {
                        Some(value) => self.right.insert(key, value),
                        None => self.right.remove(&key),
                    };
                    changes.extend(old.map(|value| In::Right((key, value), at, -1)));
                    changes.extend(value.map(|value| In::Right((key, value), at, 1)));
                }
            }
        }
        changes
    }

    /// Looks up what has changed since `before` was the left side.
    fn look(&mut self, before: &BTreeMap<u16, u8>) {
        self.results.retain(|id, _| self.left.contains_key(id));
        for (id, key) in self.left.iter().filter(|(id, key)| before.get(id) != Some(key)) {
            self.results.insert(*id, self.right.get(key).copied());
        }
    }
}

fn rows_of(out: &BTreeMap<u64, Vec<Out>>, through: u64) -> Results {
    let rows = out.range(..=through).flat_map(|(_, out)| out);
    let rows =
        rows.filter_map(|out| if let Out::Row(id, found, n) = out { Some(((*id, *found), 0, *n)) } else { None });
    let sum = accumulate(rows);
    assert!(sum.values().all(|n| *n == 1), "{sum:?}");
    sum.into_keys().collect()
}

fn changes_of(out: &BTreeMap<u64, Vec<Out>>, epoch: u64) -> Vec<Kept> {
    let changes = out.get(&epoch).into_iter().flatten();
    changes.filter_map(|out| if let Out::Change(kept) = out { Some(kept.clone()) } else { None }).collect()
}

/// All that changes both sides up to an epoch, as one epoch.
fn loaded(left: &BTreeMap<u16, u8>, right: &BTreeMap<u8, i8>, at: u64) -> Vec<In> {
    let left = left.iter().map(|(id, key)| In::Left((*key, *id), at, 1));
    left.chain(right.iter().map(|(key, value)| In::Right((*key, *value), at, 1))).collect()
}

fn histories() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let left = (0..20u16, prop::option::weighted(0.8, 0..5u8)).prop_map(|(id, key)| Step::Left(id, key));
    let right = (0..5u8, prop::option::weighted(0.7, -3..4i8)).prop_map(|(key, value)| Step::Right(key, value));
    prop::collection::vec(prop::collection::vec(prop_oneof![3 => left, 2 => right], 0..10), 1..8)
}

/// The history as it comes in, and the results after each epoch.
fn shown(history: &[Vec<Step>]) -> (Vec<Vec<In>>, Vec<World>) {
    let (mut world, mut input, mut worlds) = (World::default(), Vec::new(), Vec::new());
    for (epoch, steps) in (0..).zip(history) {
        let before = world.left.clone();
        input.push(world.step(steps, epoch));
        world.look(&before);
        let World { left, right, results } = &world;
        worlds.push(World { left: left.clone(), right: right.clone(), results: results.clone() });
    }
    (input, worlds)
}

/// A journal must be able to seal epochs that are hidden, though the tables show nothing of them.
#[test]
fn what_is_told_does_not_wait_for_rows_while_epochs_are_hidden() {
    timely::execute_directly(|worker| {
        let (mut left, mut right) =
            (InputSession::<u64, (u8, u16), isize>::new(), InputSession::<u64, (u8, i8), isize>::new());
        let (mut reveals, probe) = worker.dataflow(|scope| {
            let (reveals, stream) = scope.new_input::<Vec<()>>();
            let both =
                AsOfInput { left: left.to_collection(scope), right: right.to_collection(scope), reveals: stream };
            let options = AsOfOptions { known_through: 9, is_hidden: true, ..AsOfOptions::default() };
            let told = as_of(both, options, |epoch, _: &u8, _: Looked<'_, u16, i8>| Some(epoch));
            (reveals, told.probe().0)
        });
        let mut told_below = |epoch: u64| {
            (0..100).for_each(|_| _ = worker.step());
            !probe.less_than(&epoch)
        };
        left.advance_to(10);
        right.advance_to(10);
        left.flush();
        right.flush();
        reveals.advance_to(10);
        assert!(told_below(10), "what is known is not told");
        reveals.advance_to(15);
        assert!(told_below(15) && !told_below(16), "no hidden epoch up to there is the reveal");
        reveals.send(());
        reveals.close();
        assert!(!told_below(16), "the reveal waits for the rows");
        left.update_at((1, 7), 15, 1);
        left.advance_to(17);
        left.flush();
        assert!(!told_below(16));
        right.advance_to(18);
        right.flush();
        assert!(told_below(17) && !told_below(18), "and so does what comes after it");
        left.close();
        right.close();
        assert!(told_below(u64::MAX));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The first epoch is known, and nothing happens in it.
    #[test]
    fn a_row_stays_with_what_it_found_when_it_came(history in histories()) {
        let history: Vec<_> = std::iter::once(Vec::new()).chain(history).collect();
        let (input, worlds) = shown(&history);
        for workers in 1..=3 {
            let out = kept(workers, input.clone(), AsOfOptions::default());
            for (epoch, world) in (0..).zip(&worlds) {
                prop_assert_eq!(&rows_of(&out, epoch), &world.results, "epoch {}, {} workers", epoch, workers);
            }
        }
    }

    /// What was journalled of the epochs up to one, both sides as they are there, and the epochs after it: whatever else the right
    /// side was in between, and whatever workers there are.
    #[test]
    fn a_run_that_starts_in_the_middle_goes_on_with_what_was_found(history in histories(), cut in any::<prop::sample::Index>(), first in 1..=3usize) {
        let history: Vec<_> = std::iter::once(Vec::new()).chain(history).collect();
        let (input, worlds) = shown(&history);
        let whole = kept(first, input.clone(), AsOfOptions::default());
        let through = cut.index(history.len()) as u64;
        let mut rest = vec![Vec::new(); through as usize];
        let sealed = (0..=through).flat_map(|epoch| changes_of(&whole, epoch).into_iter().map(move |kept| In::Sealed(epoch, kept)));
        let world = &worlds[through as usize];
        rest.push(loaded(&world.left, &world.right, through).into_iter().chain(sealed).collect());
        rest.extend(input[through as usize + 1..].iter().cloned());
        for workers in 1..=3 {
            let options = AsOfOptions { known_through: through, ..AsOfOptions::default() };
            let out = kept(workers, rest.clone(), options);
            prop_assert!(changes_of(&out, through).is_empty(), "what is sealed is not journalled again");
            for (epoch, world) in (0..).zip(&worlds).skip(through as usize) {
                prop_assert_eq!(&rows_of(&out, epoch), &world.results, "epoch {}, {} workers", epoch, workers);
            }
        }
    }

    /// Of a run that catches up; with what is new, all rows that were there before are looked up as well.
    #[test]
    fn hidden_epochs_are_looked_up_as_one(history in histories(), more in histories(), is_new in any::<bool>()) {
        let before: Vec<_> = std::iter::once(Vec::new()).chain(history).collect();
        let (_, worlds) = shown(&before);
        let mut world = worlds.into_iter().next_back().unwrap();
        let through = before.len() as u64 - 1;
        let sealed: Vec<In> = world.results.iter().map(|(id, found)| {
            In::Sealed(through, Kept { id: *id, epoch: through, found: Some(*found) })
        }).collect();
        let mut input = vec![Vec::new(); through as usize];
        input.push(loaded(&world.left, &world.right, through));
        let mut looked = world.left.clone();
        if is_new {
            (looked, world.results) = Default::default();
        } else {
            input[through as usize].extend(sealed);
        }
        // Tables show hidden epochs at the reveal.
        let reveal = through + more.len() as u64;
        let (hidden, shown_later) = more.split_at(more.len().div_ceil(2));
        input.extend(hidden.iter().map(|_| Vec::new()));
        input.resize(reveal as usize, Vec::new());
        let mut revealed: Vec<In> = hidden.iter().flat_map(|steps| world.step(steps, reveal)).collect();
        revealed.push(In::Reveal);
        input.push(revealed);
        world.look(&looked);
        let mut expected = vec![(reveal, world.results.clone())];
        for steps in shown_later {
            let (before, at) = (world.left.clone(), input.len() as u64);
            input.push(world.step(steps, at));
            world.look(&before);
            expected.push((at, world.results.clone()));
        }
        for workers in 1..=3 {
            let options = AsOfOptions { known_through: through, is_new, is_hidden: true, ..AsOfOptions::default() };
            let out = kept(workers, input.clone(), options);
            prop_assert!((through..reveal).all(|epoch| changes_of(&out, epoch).is_empty()));
            for (epoch, results) in &expected {
                prop_assert_eq!(&rows_of(&out, *epoch), results, "epoch {}, {} workers", epoch, workers);
            }
        }
    }
}
