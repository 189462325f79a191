//! Queries that pair events of different kinds. The other one may come later.

use std::collections::{BTreeMap, BTreeSet};

use super::{Each, Oracle, mean};
use crate::bench::nexmark::event::{Auction, Bid, Event, Person};

/// All persons and auctions.
#[derive(Default)]
struct House {
    persons: BTreeMap<u64, Person>,
    auctions: Vec<Auction>,
}

impl House {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Person(person) => _ = self.persons.insert(person.id, person.clone()),
            Event::Auction(auction) => self.auctions.push(auction.clone()),
            Event::Bid(_) => {}
        }
    }

    fn sales(&self) -> impl Iterator<Item = (&Auction, &Person)> {
        self.auctions.iter().filter_map(|auction| Some((auction, self.persons.get(&auction.seller)?)))
    }
}

/// q3
#[derive(Default)]
pub(in crate::bench::nexmark) struct Local {
    house: House,
}

impl Oracle for Local {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        self.house.take(event);
    }

    fn finish(&mut self, each: Each<'_>) {
        for (Auction { id, category, .. }, Person { name, city, state, .. }) in self.house.sales() {
            if *category == 10 && ["OR", "ID", "CA"].contains(state) {
                each(&format!(r#"{{"name":"{name}","city":"{city}","state":"{state}","id":{id}}}"#));
            }
        }
    }
}

/// q8
#[derive(Default)]
pub(in crate::bench::nexmark) struct Newcomers {
    house: House,
}

impl Oracle for Newcomers {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        self.house.take(event);
    }

    fn finish(&mut self, each: Each<'_>) {
        let window = |time_ms: u64| time_ms / 10_000 * 10_000;
        let at_once =
            self.house.sales().filter(|(auction, person)| window(auction.date_time) == window(person.date_time));
        let found: BTreeSet<String> = at_once
            .map(|(_, Person { id, name, date_time, .. })| {
                format!(r#"{{"id":{id},"name":"{name}","start_ms":{}}}"#, window(*date_time))
            })
            .collect();
        found.iter().for_each(|row| each(row));
    }
}

/// All auctions and bids.
#[derive(Default)]
struct Offers {
    auctions: BTreeMap<u64, Auction>,
    bids: Vec<Bid>,
}

impl Offers {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Auction(auction) => _ = self.auctions.insert(auction.id, auction.clone()),
            Event::Bid(bid) => self.bids.push(bid.clone()),
            Event::Person(_) => {}
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&Bid, &Auction)> {
        self.bids.iter().filter_map(|bid| Some((bid, self.auctions.get(&bid.auction)?)))
    }
}

/// q4
#[derive(Default)]
pub(in crate::bench::nexmark) struct Closed {
    offers: Offers,
}

impl Oracle for Closed {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        self.offers.take(event);
    }

    fn finish(&mut self, each: Each<'_>) {
        let mut highest: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for (bid, auction) in self.offers.pairs() {
            if (auction.date_time..=auction.expires).contains(&bid.date_time) {
                let price = highest.entry((auction.category, auction.id)).or_default();
                *price = bid.price.max(*price);
            }
        }
        let mut categories: BTreeMap<u64, (u128, u128)> = BTreeMap::new();
        for ((category, _), price) in highest {
            let (sum, count) = categories.entry(category).or_default();
            *sum += u128::from(price);
            *count += 1;
        }
        for (category, (sum, count)) in categories {
            each(&format!(r#"{{"category":{category},"final":{}}}"#, mean(sum, count)));
        }
    }
}

/// q20
#[derive(Default)]
pub(in crate::bench::nexmark) struct Expanded {
    offers: Offers,
}

impl Oracle for Expanded {
    fn take(&mut self, event: &Event, _: Each<'_>) {
        self.offers.take(event);
    }

    fn finish(&mut self, each: Each<'_>) {
        for (bid, auction) in self.offers.pairs().filter(|(_, auction)| auction.category == 10) {
            let mut line = Vec::new();
            bid.write(&mut line).expect("memory takes everything");
            line.pop();
            line.extend_from_slice(b",\"item\":");
            auction.write(&mut line).expect("memory takes everything");
            line.push(b'}');
            each(std::str::from_utf8(&line).expect("all of it is text"));
        }
    }
}
