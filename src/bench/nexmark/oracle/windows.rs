//! Queries by windows of event time.

use std::collections::BTreeMap;

use super::{Each, MS_NS, Oracle, bid};
use crate::bench::nexmark::event::{Bid, Event};

/// q5: how many bids each auction has in each window, by the start of the window.
#[derive(Default)]
pub(in crate::bench::nexmark) struct Hot {
    windows: BTreeMap<u64, BTreeMap<u64, u64>>,
}

impl Oracle for Hot {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        let Some(bid) = bid(event) else { return };
        let last = bid.date_time / 2_000 * 2_000;
        for start in (0..5).map(|n| last - n * 2_000) {
            *self.windows.entry(start).or_default().entry(bid.auction).or_default() += 1;
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        for (start, auctions) in &self.windows {
            let most = auctions.values().max();
            for (auction, num) in auctions.iter().filter(|(_, num)| Some(*num) == most) {
                each(&format!(r#"{{"auction":{auction},"num":{num},"start_ms":{start}}}"#));
            }
        }
    }
}

/// q7: the highest bid of each window, by its start; of several the first.
#[derive(Default)]
pub(in crate::bench::nexmark) struct Highest {
    bids: BTreeMap<u64, Bid>,
}

impl Oracle for Highest {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        let Some(bid) = bid(event) else { return };
        let highest = self.bids.entry(bid.date_time / 10_000 * 10_000).or_insert_with(|| bid.clone());
        if bid.price > highest.price {
            *highest = bid.clone();
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        for (start, Bid { auction, bidder, price, date_time, extra, .. }) in &self.bids {
            let window = window(start * MS_NS, (start + 10_000) * MS_NS);
            let bid = format!(r#""auction":{auction},"bidder":{bidder},"price":{price},"date_time":{date_time}"#);
            each(&format!(r#"{{{window},{bid},"extra":"{extra}"}}"#));
        }
    }
}

/// q11: the session of each bidder that goes on: its first and last time, and how many bids it has.
#[derive(Default)]
pub(in crate::bench::nexmark) struct Sessions {
    open: BTreeMap<u64, (u64, u64, u64)>,
}

const GAP_MS: u64 = 10_000;

impl Oracle for Sessions {
    /// Events come in the order of their times, so that a session that was left does not go on.
    fn take(&mut self, event: &Event, each: Each<'_>) {
        let Some(Bid { bidder, date_time, .. }) = bid(event) else { return };
        let session = self.open.entry(*bidder).or_insert((*date_time, *date_time, 0));
        if date_time - session.1 >= GAP_MS {
            each(&of_bidder(*bidder, *session));
            *session = (*date_time, *date_time, 0);
        }
        session.1 = *date_time;
        session.2 += 1;
    }

    fn finish(&mut self, each: Each<'_>) {
        self.open.iter().for_each(|(bidder, session)| each(&of_bidder(*bidder, *session)));
    }
}

fn of_bidder(bidder: u64, (first, last, bids): (u64, u64, u64)) -> String {
    format!(r#"{{"bidder":{bidder},{},"bid_count":{bids}}}"#, window(first * MS_NS, (last + GAP_MS) * MS_NS))
}

pub(super) fn window(start_ns: u64, end_ns: u64) -> String {
    format!(r#""window_start_ns":{start_ns},"window_end_ns":{end_ns}"#)
}
