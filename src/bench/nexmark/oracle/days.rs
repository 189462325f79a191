//! Reports by day.

use std::collections::{BTreeMap, BTreeSet};

use super::windows::window;
use super::{Each, MS_NS, Oracle, bid, mean};
use crate::bench::nexmark::event::{Bid, Event};

const DAY_MS: u64 = 86_400_000;

/// The level of a price: 1, 2 or 3; 0 are all.
fn rank(price: u64) -> usize {
    match price {
        0..10_000 => 1,
        10_000..1_000_000 => 2,
        _ => 3,
    }
}

/// All bids of a day, and those of each level.
#[derive(Default)]
struct Tally {
    last_ms: u64,
    bids: [u64; 4],
    bidders: [BTreeSet<u64>; 4],
    auctions: [BTreeSet<u64>; 4],
}

impl Tally {
    fn take(&mut self, bid: &Bid) {
        self.last_ms = self.last_ms.max(bid.date_time);
        for level in [0, rank(bid.price)] {
            self.bids[level] += 1;
            self.bidders[level].insert(bid.bidder);
            self.auctions[level].insert(bid.auction);
        }
    }

    fn text(&self) -> String {
        let sizes = |sets: &[BTreeSet<u64>; 4]| [0, 1, 2, 3].map(|level| sets[level].len() as u64);
        let kinds = [("bids", self.bids), ("bidders", sizes(&self.bidders)), ("auctions", sizes(&self.auctions))];
        let fields = kinds.iter().flat_map(|(kind, [total, first, second, third])| {
            let levels = [("total", total), ("rank1", first), ("rank2", second), ("rank3", third)];
            levels.map(|(level, number)| format!(r#""{level}_{kind}":{number}"#))
        });
        fields.collect::<Vec<_>>().join(",")
    }
}

fn day(start_ms: u64) -> String {
    window(start_ms * MS_NS, (start_ms + DAY_MS) * MS_NS)
}

/// q15
#[derive(Default)]
pub(in crate::bench::nexmark) struct Days {
    days: BTreeMap<u64, Tally>,
}

impl Oracle for Days {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        if let Some(bid) = bid(event) {
            self.days.entry(bid.date_time / DAY_MS * DAY_MS).or_default().take(bid);
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        self.days.iter().for_each(|(start, tally)| each(&format!("{{{},{}}}", day(*start), tally.text())));
    }
}

/// q16
#[derive(Default)]
pub(in crate::bench::nexmark) struct Channels {
    channels: BTreeMap<(String, u64), Tally>,
}

impl Oracle for Channels {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        if let Some(bid) = bid(event) {
            self.channels.entry((bid.channel.clone(), bid.date_time / DAY_MS * DAY_MS)).or_default().take(bid);
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        for ((channel, start), tally) in &self.channels {
            let (day, last_ms, counts) = (day(*start), tally.last_ms, tally.text());
            each(&format!(r#"{{"channel":"{channel}",{day},"last_ms":{last_ms},{counts}}}"#));
        }
    }
}

/// q17: the prices of an auction's bids.
#[derive(Default)]
pub(in crate::bench::nexmark) struct Auctions {
    auctions: BTreeMap<(u64, u64), Vec<u64>>,
}

impl Oracle for Auctions {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        if let Some(bid) = bid(event) {
            self.auctions.entry((bid.auction, bid.date_time / DAY_MS * DAY_MS)).or_default().push(bid.price);
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        for ((auction, start), prices) in &self.auctions {
            let of_rank = |level| prices.iter().filter(|price| rank(**price) == level).count();
            let sum: u64 = prices.iter().sum();
            let counts = format!(
                r#""total_bids":{},"rank1_bids":{},"rank2_bids":{},"rank3_bids":{}"#,
                prices.len(),
                of_rank(1),
                of_rank(2),
                of_rank(3)
            );
            let (least, most) = (prices.iter().min().unwrap_or(&0), prices.iter().max().unwrap_or(&0));
            let average = mean(sum.into(), prices.len() as u128);
            let day = day(*start);
            let of_prices =
                format!(r#""min_price":{least},"max_price":{most},"avg_price":{average},"sum_price":{sum}"#);
            each(&format!(r#"{{"auction":{auction},{day},{counts},{of_prices}}}"#));
        }
    }
}
