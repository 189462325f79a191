//! Queries that look at one bid at a time, or keep one.

use std::collections::BTreeMap;

use super::{Each, Oracle, bid};
use crate::bench::nexmark::event::{Bid, Event};

/// q1
pub(in crate::bench::nexmark) struct Converted;

impl Oracle for Converted {
    fn take(&mut self, event: &Event, each: Each<'_>) {
        let Some(Bid { auction, bidder, price, date_time, extra, .. }) = bid(event) else { return };
        // With a point, as floats are written.
        let price = 0.908 * *price as f64;
        each(&format!(
            r#"{{"auction":{auction},"bidder":{bidder},"price":{price:?},"date_time":{date_time},"extra":"{extra}"}}"#
        ));
    }
}

/// q2
pub(in crate::bench::nexmark) struct Selected;

impl Oracle for Selected {
    fn take(&mut self, event: &Event, each: Each<'_>) {
        if let Some(Bid { auction, price, .. }) = bid(event).filter(|bid| bid.auction % 123 == 0) {
            each(&format!(r#"{{"auction":{auction},"price":{price}}}"#));
        }
    }
}

/// q18
#[derive(Default)]
pub(in crate::bench::nexmark) struct Last {
    bids: BTreeMap<(u64, u64), Bid>,
}

impl Oracle for Last {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        if let Some(bid) = bid(event) {
            self.bids.insert((bid.bidder, bid.auction), bid.clone());
        }
    }

    fn finish(&mut self, each: Each<'_>) {
        for bid in self.bids.values() {
            let mut line = Vec::new();
            bid.write(&mut line).expect("memory takes everything");
            each(std::str::from_utf8(&line).expect("all of it is text"));
        }
    }
}
