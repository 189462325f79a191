//! The law of `lateness`, against an oracle, at 1, 2 and 3 workers.

use std::collections::BTreeMap;

use flowstone_operators::lateness::{Divided, LatenessInput, LatenessOptions, Progress, lateness};
use flowstone_operators::testing::run;
use proptest::prelude::*;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, ToStream};

/// The partition, and the time.
type Event = (u8, i64);

const UNTIL: i64 = 10;
const IDLE: u64 = 2;

/// Of each epoch, its events in order, and which are late.
type Found = BTreeMap<u64, Vec<(Event, bool)>>;

fn oracle(epochs: &[Vec<Event>], sealed: &[Progress<u8>]) -> Found {
    let mut partitions: BTreeMap<u8, (i64, u64)> = BTreeMap::new();
    let (mut watermark, mut found) = (i64::MIN, Found::new());
    for progress in sealed {
        match progress {
            Progress::Partition(partition, time) => _ = partitions.insert(*partition, (*time, 0)),
            Progress::Watermark { time, .. } => watermark = *time,
        }
    }
    for (epoch, events) in (0..).zip(epochs) {
        for (partition, time) in events {
            let is_late = *time < watermark.saturating_sub(UNTIL);
            found.entry(epoch).or_default().push(((*partition, *time), is_late));
        }
        for (partition, time) in events {
            let (reached, last) = partitions.entry(*partition).or_insert((*time, epoch));
            (*reached, *last) = ((*reached).max(*time), epoch);
        }
        // Nothing is said of an epoch without events.
        if !events.is_empty() {
            let counting = partitions.values().filter(|(_, last)| epoch - last <= IDLE).map(|(time, _)| *time);
            watermark = counting.min().map_or(watermark, |least| watermark.max(least));
        }
    }
    found.values_mut().for_each(|events| events.sort());
    found
}

fn divided(workers: usize, epochs: &[Vec<Event>], sealed: &[Progress<u8>]) -> Found {
    let sealed = sealed.to_vec();
    run(workers, epochs.to_vec(), move |live| {
        let scope = live.scope();
        let sealed = sealed.clone().into_iter().filter(|_| scope.index() == 0).collect::<Vec<_>>();
        let sealed = sealed.to_stream(scope).container::<Vec<_>>();
        let reveals = None::<()>.to_stream(scope).container::<Vec<_>>();
        let restored = Box::new(|_| ());
        let options = LatenessOptions { until: UNTIL, idle: IDLE, first_epoch: 0, hidden: false, restored };
        let input = LatenessInput { live, sealed, reveals };
        let Divided { on_time, late, .. } = lateness(input, options, |event| Some(*event));
        on_time.map(|event| (event, false)).concat(late.map(|event| (event, true)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_event_is_late_by_the_watermark_of_the_epoch_before(
        epochs in prop::collection::vec(prop::collection::vec((0..4u8, -50..200i64), 0..8), 1..9),
        restored in prop::option::of(-50..100i64),
    ) {
        let sealed: Vec<Progress<u8>> = restored.into_iter().flat_map(|time| {
            [Progress::Partition(0, time), Progress::Partition(1, time + 5), Progress::Watermark { time, since: 0 }]
        }).collect();
        let expected = oracle(&epochs, &sealed);
        for workers in 1..=3 {
            let found: Found = divided(workers, &epochs, &sealed).into_iter().filter(|(_, events)| !events.is_empty()).collect();
            prop_assert_eq!(&found, &expected, "{} workers", workers);
        }
    }
}
