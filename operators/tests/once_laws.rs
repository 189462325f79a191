//! The law of `once`, against an oracle, at 1, 2 and 3 workers, and over restarts.

use std::collections::{BTreeMap, BTreeSet};

use flowstone_operators::once::{IdChange, Identified, Once, OnceInput, OnceOptions, once};
use flowstone_operators::route::{Route, owner};
use flowstone_operators::table::{TableChange, Tick};
use flowstone_operators::testing::run;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};
use timely::dataflow::operators::{Concat, Exchange, OkErr, ToStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Event {
    id: u8,
    place: u32,
    time: i64,
}

impl Identified for Event {
    type Id = u8;
    type Place = u32;

    fn id(&self) -> &u8 {
        &self.id
    }

    fn place(&self) -> u32 {
        self.place
    }

    fn time(&self) -> i64 {
        self.time
    }
}

/// Events, and ticks.
type Step = Result<Event, Tick>;

/// Events that count, and changes of ids.
type Said = Result<Event, IdChange<u8>>;

type Found = BTreeMap<u64, Vec<Said>>;

/// Ids are forgotten in spans of so much.
const TOGETHER: i64 = 7;

fn oracle(epochs: &[Vec<Step>], keep: Option<u64>) -> Found {
    let (mut ids, mut found) = (BTreeMap::<u8, i64>::new(), Found::new());
    for (epoch, steps) in (0_u64..).zip(epochs) {
        let bound = keep.map(|keep| epoch.saturating_sub(keep) as i64);
        let mut said = Vec::new();
        let events: BTreeSet<(u32, Event)> = steps.iter().flatten().map(|event| (event.place, *event)).collect();
        for (_, event) in events {
            if ids.get(&event.id).is_none_or(|time| bound.is_some_and(|bound| *time < bound)) {
                let time = if keep.is_some() { epoch as i64 } else { event.time };
                ids.insert(event.id, time);
                said.extend([Ok(event), Err(TableChange::Set((event.id, time)))]);
            }
        }
        if let Some(tick) = steps.iter().filter_map(|step| step.err()).max() {
            let spans = |time: i64| time.div_euclid(TOGETHER);
            let is_over = |time: i64| bound.or(tick.watermark).is_some_and(|bound| spans(time) < spans(bound));
            said.extend(
                ids.iter().filter(|of| is_over(*of.1)).map(|(id, time)| Err(TableChange::Remove((*id, *time)))),
            );
            ids.retain(|_, time| !is_over(*time));
        }
        said.sort();
        found.insert(epoch, said);
    }
    found.retain(|_, said| !said.is_empty());
    found
}

fn said(workers: usize, epochs: Vec<Vec<Step>>, keep: Option<u64>, sealed: Vec<(u64, IdChange<u8>)>) -> Found {
    let mut found = run(workers, epochs, move |steps| {
        let scope = steps.scope();
        let (index, peers) = (scope.index() as u64, scope.peers());
        let (events, ticks) = steps.ok_err(|step| step);
        let live = events.container::<Vec<_>>().exchange(move |event: &Event| owner(event.id.route(), peers));
        let sealed = sealed.clone().to_stream(scope).container::<Vec<_>>();
        let sealed = sealed.filter(move |(_, change)| {
            let (TableChange::Set((id, _)) | TableChange::Remove((id, _))) = change;
            owner(id.route(), peers) == index
        });
        let options = OnceOptions { keep, together: TOGETHER, journalled: true, ..OnceOptions::default() };
        let ticks = ticks.container::<Vec<_>>().broadcast();
        let Once { first, changes } = once(OnceInput { live, sealed, ticks }, options);
        first.map(Ok).concat(changes.map(Err))
    });
    found.retain(|_, said| !said.is_empty());
    found
}

/// What an epoch brings: of each event the id, its place, and how much its time is after the watermark; and how far that moves.
type Drawn = (Vec<(u8, u8, i64)>, Option<i64>);

fn epochs(drawn: &[Drawn]) -> Vec<Vec<Step>> {
    let (mut watermark, mut count) = (-20, 0);
    drawn
        .iter()
        .map(|(events, moves)| {
            // Nothing from before it comes in the epoch of a tick, or later.
            watermark += moves.unwrap_or(0);
            let events = events.iter().map(|(id, place, after)| {
                count += 1;
                Ok(Event { id: *id, place: u32::from(*place) << 16 | count, time: watermark + after })
            });
            events.chain(moves.map(|_| Err(Tick { watermark: Some(watermark) }))).collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_first_event_of_an_id_counts_and_a_restart_changes_nothing(
        drawn in prop::collection::vec(
            (prop::collection::vec((0..10_u8, any::<u8>(), 0..25_i64), 0..8), prop::option::of(0..12_i64)),
            1..14,
        ),
        keep in prop::option::of(0..9_u64),
        restart in 0..14_usize,
        newest_first in any::<bool>(),
    ) {
        let epochs = epochs(&drawn);
        let expected = oracle(&epochs, keep);
        let restart = restart.min(epochs.len());
        let mut sealed: Vec<_> = expected.range(..restart as u64)
            .flat_map(|(epoch, said)| said.iter().filter_map(|said| Some((*epoch, said.clone().err()?))))
            .collect();
        if newest_first {
            sealed.reverse();
        }
        let mut later = epochs.clone();
        later[..restart].iter_mut().for_each(Vec::clear);
        for workers in 1..=3 {
            prop_assert_eq!(&said(workers, epochs.clone(), keep, Vec::new()), &expected, "{} workers", workers);
            let found = said(workers, later.clone(), keep, sealed.clone());
            let expected: Found = expected.range(restart as u64..).map(|(epoch, said)| (*epoch, said.clone())).collect();
            prop_assert_eq!(found, expected, "{} workers go on at {}", workers, restart);
        }
    }
}
