//! All queries find what the oracle finds, and events are by the rules.

use std::sync::Arc;

use super::event::{Event, Kind};
use super::generator::{Generator, count};
use super::settings::{NexmarkError, NexmarkSettings};
use super::{QUERIES, nexmark, steps};

/// Few events, but of several minutes and two days.
fn settings(workers: Vec<usize>) -> NexmarkSettings {
    NexmarkSettings { events: 3_000, rate: 25, repetitions: 1, workers, ..NexmarkSettings::default() }
}

#[test]
fn all_queries_find_what_the_oracle_finds_with_any_number_of_workers() {
    let settings = settings(vec![1, 2, 3]);
    let told = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let last = told.clone();
    let report =
        nexmark(&settings, &(Arc::new(move |done| last.store(done, std::sync::atomic::Ordering::Relaxed)) as _))
            .unwrap();
    assert_eq!(told.load(std::sync::atomic::Ordering::Relaxed), steps(&settings));
    assert_eq!(report.runs.len(), QUERIES.len() * 3);
    for run in &report.runs {
        assert!(run.rows > 0, "{}: what finds nothing shows nothing", run.query);
        assert!(run.events > 0 && run.seconds > 0.0 && run.repetitions_s.len() == 1, "{run:?}");
    }
    let rows = |name: &str| report.runs.iter().find(|run| run.query == name).unwrap().rows;
    assert_eq!((rows("q1"), rows("q7"), rows("q15")), (2_760, 12, 2), "every bid, ten seconds each, two days");
}

#[test]
fn a_journal_changes_nothing() {
    let queries = ["q5", "q11"].map(str::to_owned).to_vec();
    let settings = NexmarkSettings { journal: true, queries, ..settings(vec![2]) };
    assert_eq!(nexmark(&settings, &(Arc::new(|_| ()) as _)).unwrap().runs.len(), 2);
}

#[test]
fn events_are_by_the_rules() {
    let events: Vec<Event> = Generator::new(20_000, 10_000, 7).collect();
    assert_eq!(events, Generator::new(20_000, 10_000, 7).collect::<Vec<_>>(), "the same seed gives the same events");
    let of = |kind: Kind| events.iter().filter(|event| event.kind() == kind).count() as u64;
    assert_eq!([Kind::Person, Kind::Auction, Kind::Bid].map(of), [400, 1_200, 18_400], "one to three to forty-six");
    for events in [1, 3, 5, 51, 234] {
        let made: Vec<Event> = Generator::new(events, 100, 1).collect();
        let counts = Kind::ALL.map(|kind| made.iter().filter(|event| event.kind() == kind).count() as u64);
        assert_eq!(counts, Kind::ALL.map(|kind| count(kind, events)), "{events}");
    }

    let bids = || events.iter().filter_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None });
    let share = |hot: usize| hot as f64 / 18_400.0;
    let hot_auctions = share(bids().filter(|bid| (bid.auction - 1_000) % 100 == 0).count());
    assert!((0.49..0.52).contains(&hot_auctions), "half of all, and some by chance: {hot_auctions}");
    let hot_bidders = share(bids().filter(|bid| (bid.bidder - 1_000) % 100 == 1).count());
    assert!((0.74..0.77).contains(&hot_bidders), "three in four: {hot_bidders}");
    let hot_channels = share(bids().filter(|bid| !bid.channel.starts_with("channel-")).count());
    assert!((0.48..0.52).contains(&hot_channels), "half of all: {hot_channels}");
    let cheap = share(bids().filter(|bid| bid.price < 10_000).count());
    assert!((0.32..0.35).contains(&cheap), "two of six powers of ten: {cheap}");
    let mean_extra = bids().map(|bid| bid.extra.len()).sum::<usize>() as f64 / 18_400.0;
    assert!((66.0..69.0).contains(&mean_extra), "{mean_extra}");
    assert!(bids().zip(bids().skip(1)).all(|(a, b)| a.date_time <= b.date_time && a.id < b.id));
    assert_eq!(
        bids().next_back().unwrap().date_time - bids().next().unwrap().date_time,
        1_999,
        "10,000 events a second"
    );
}

#[test]
fn a_query_that_is_not_known_is_refused_by_name() {
    let settings = NexmarkSettings { queries: vec!["q6".to_owned()], ..settings(vec![1]) };
    let error = nexmark(&settings, &(Arc::new(|_| ()) as _)).unwrap_err();
    assert!(matches!(error, NexmarkError::Setting(_)) && error.to_string().contains("not \"q6\""), "{error}");
}
