//! The circuits. What they compute is what the published SQL says; windows are not closed, so that all of them are right in the
//! end, as those of Flowstone's `late: correct` are.

use dbsp::algebra::UnimplementedSemigroup;
use dbsp::operator::{Fold, Max, Min};
use dbsp::utils::{Tup2, Tup3, Tup4, Tup5, Tup6};
use dbsp::{OrdIndexedZSet, OrdZSet, RootCircuit, Stream, ZSetHandle, ZWeight};

use super::events::{Auction, Bid};
use super::{Found, columns};

#[derive(Clone)]
pub struct Handles {
    pub bids: ZSetHandle<Bid>,
    pub auctions: ZSetHandle<Auction>,
}

type Bids = Stream<RootCircuit, OrdZSet<Bid>>;

/// A group: a text and a number, and the number of the day.
type Group = Tup3<String, u64, u64>;
/// Up to twelve columns of a group.
type Wide = Tup2<Tup6<i64, i64, i64, i64, i64, i64>, Tup6<i64, i64, i64, i64, i64, i64>>;
/// A column by its number, and what is in it.
type Column = Stream<RootCircuit, OrdIndexedZSet<Group, Tup2<u64, i64>>>;

pub fn build(circuit: &mut RootCircuit, query: &str) -> (Handles, Found) {
    let (bids, of_bids) = circuit.add_input_zset::<Bid>();
    let (auctions, of_auctions) = circuit.add_input_zset::<Auction>();
    let found = match query {
        "q2" => selected(&bids),
        "q4" => closed(&bids, &auctions),
        "q5" => hot(&bids),
        "q15" => days(&bids),
        "q16" => channels(&bids),
        "q17" => prices(&bids),
        other => panic!("{other} is not written for dbsp"),
    };
    (Handles { bids: of_bids, auctions: of_auctions }, found)
}

fn selected(bids: &Bids) -> Found {
    let some = bids.filter(|Tup5(auction, ..)| auction % 123 == 0);
    some.map(|Tup5(auction, _, price, ..)| columns(&[auction, price]))
}

fn closed(bids: &Bids, auctions: &Stream<RootCircuit, OrdZSet<Auction>>) -> Found {
    let bids = bids.map_index(|Tup5(auction, _, price, time, _)| (*auction, Tup2(*price, *time)));
    let auctions = auctions.map_index(|Tup4(id, category, time, expires)| (*id, Tup3(*category, *time, *expires)));
    let in_time = bids.join_index(&auctions, |id, Tup2(price, time), Tup3(category, from, until)| {
        (from <= time && time <= until).then_some((Tup2(*category, *id), *price))
    });
    let highest = in_time.aggregate(Max).map_index(|(Tup2(category, _), price)| (*category, *price));
    let sums = highest.aggregate_linear(|price| *price as ZWeight);
    let counts = highest.weighted_count();
    sums.join(&counts, |category, sum, count| columns(&[category, &(sum / count)]))
}

fn hot(bids: &Bids) -> Found {
    let windows = bids.flat_map(|Tup5(auction, _, _, time, _)| {
        let (auction, last) = (*auction, time / 2_000 * 2_000);
        (0..5).map(move |n| Tup2(last - n * 2_000, auction))
    });
    let counts = windows.weighted_count();
    let most = counts.map_index(|(Tup2(start, _), num)| (*start, *num)).aggregate(Max);
    let most = most.map_index(|(start, num)| (Tup2(*start, *num), ()));
    let by_count = counts.map_index(|(Tup2(start, auction), num)| (Tup2(*start, *num), *auction));
    by_count.join(&most, |Tup2(_, num), auction, ()| columns(&[auction, num]))
}

const DAY_MS: u64 = 86_400_000;

/// All, and the level of the price.
fn levels(price: u64) -> [u64; 2] {
    let level = if price < 10_000 {
        1
    } else if price < 1_000_000 {
        2
    } else {
        3
    };
    [0, level]
}

/// Puts columns of groups beside each other.
fn wide(columns: &[Column]) -> Stream<RootCircuit, OrdIndexedZSet<Group, Wide>> {
    let (first, others) = columns.split_first().expect("there is one");
    let all = first.sum(others.iter().collect::<Vec<_>>());
    let step = |wide: &mut Wide, column: &Tup2<u64, i64>, _: ZWeight| {
        let Tup2(half, place) = Tup2(if column.0 < 6 { &mut wide.0 } else { &mut wide.1 }, column.0 % 6);
        let places = [&mut half.0, &mut half.1, &mut half.2, &mut half.3, &mut half.4, &mut half.5];
        *places.into_iter().nth(place as usize).expect("there are six") = column.1;
    };
    all.aggregate(Fold::<_, _, UnimplementedSemigroup<_>, _, _>::new(Wide::default(), step))
}

/// How many things of each level there are in each group: of a set with a row for each.
fn counted(of: &Stream<RootCircuit, OrdZSet<Tup2<Group, u64>>>, from: u64) -> Column {
    of.weighted_count().map_index(move |(Tup2(group, level), count)| (group.clone(), Tup2(from + level, *count)))
}

fn report(bids: &Bids, group: fn(&Bid) -> Group) -> Stream<RootCircuit, OrdIndexedZSet<Group, Wide>> {
    let all = bids.flat_map(move |bid| levels(bid.2).map(|level| Tup2(group(bid), level)));
    let bidders = bids.flat_map(move |bid| levels(bid.2).map(|level| Tup3(group(bid), level, bid.1))).distinct();
    let auctions = bids.flat_map(move |bid| levels(bid.2).map(|level| Tup3(group(bid), level, bid.0))).distinct();
    let of = |things: &Stream<RootCircuit, OrdZSet<Tup3<Group, u64, u64>>>| {
        things.map(|Tup3(group, level, _)| Tup2(group.clone(), *level))
    };
    wide(&[counted(&all, 0), counted(&of(&bidders), 4), counted(&of(&auctions), 8)])
}

fn text(wide: &Wide, from: &[&dyn std::fmt::Display], most: usize) -> String {
    let Tup2(Tup6(a, b, c, d, e, f), Tup6(g, h, i, j, k, l)) = wide;
    let all: [&dyn std::fmt::Display; 12] = [a, b, c, d, e, f, g, h, i, j, k, l];
    columns(&[from, &all[..most]].concat())
}

fn days(bids: &Bids) -> Found {
    let found = report(bids, |bid| Tup3(String::new(), 0, bid.3 / DAY_MS));
    found.map(|(Tup3(_, _, day), wide)| text(wide, &[day], 12))
}

fn channels(bids: &Bids) -> Found {
    let group = |bid: &Bid| Tup3(bid.4.clone(), 0, bid.3 / DAY_MS);
    let last = bids.map_index(move |bid| (group(bid), bid.3 / 60_000 % 1_440)).aggregate(Max);
    report(bids, group).join(&last, |Tup3(channel, _, day), wide, minute| {
        text(wide, &[&format_args!("\"{channel}\""), day, minute], 12)
    })
}

fn prices(bids: &Bids) -> Found {
    let group = |bid: &Bid| Tup3(String::new(), bid.0, bid.3 / DAY_MS);
    let all = bids.flat_map(move |bid| levels(bid.2).map(|level| Tup2(group(bid), level)));
    let prices = bids.map_index(move |bid| (group(bid), bid.2));
    let least = prices.aggregate(Min).map_index(|(group, price)| (group.clone(), Tup2(4, *price as i64)));
    let most = prices.aggregate(Max).map_index(|(group, price)| (group.clone(), Tup2(5, *price as i64)));
    let sum = prices.aggregate_linear(|price| *price as ZWeight);
    let sum = sum.map_index(|(group, sum)| (group.clone(), Tup2(7, *sum)));
    wide(&[counted(&all, 0), least, most, sum]).map(|(Tup3(_, auction, day), wide)| {
        // The mean follows from the others.
        let mut wide = wide.clone();
        wide.1.0 = wide.1.1 / wide.0.0;
        text(&wide, &[auction, day], 8)
    })
}
