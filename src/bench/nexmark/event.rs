//! What happens in an auction house, and how it stands in files.

use std::io::Write;

/// The kinds of events; each has a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who will sell and bid.
    Person,
    /// Something to bid for.
    Auction,
    /// What somebody offers.
    Bid,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Person, Kind::Auction, Kind::Bid];

    pub(super) fn file_name(self) -> &'static str {
        match self {
            Kind::Person => "person.ndjson",
            Kind::Auction => "auction.ndjson",
            Kind::Bid => "bid.ndjson",
        }
    }
}

/// Times are in milliseconds since 1970, prices in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Person(Person),
    Auction(Auction),
    Bid(Bid),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub id: u64,
    pub name: String,
    pub email_address: String,
    pub credit_card: String,
    pub city: &'static str,
    pub state: &'static str,
    pub date_time: u64,
    pub extra: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Auction {
    pub id: u64,
    pub item_name: String,
    pub description: String,
    pub initial_bid: u64,
    pub reserve: u64,
    pub date_time: u64,
    pub expires: u64,
    pub seller: u64,
    pub category: u64,
    pub extra: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bid {
    /// The number of the event: bids of Nexmark have no name of their own.
    pub id: u64,
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub channel: String,
    pub url: String,
    pub date_time: u64,
    pub extra: String,
}

impl Event {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Event::Person(_) => Kind::Person,
            Event::Auction(_) => Kind::Auction,
            Event::Bid(_) => Kind::Bid,
        }
    }

    /// Writes it as JSON. No text of an event has anything that JSON would escape.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Event::Person(person) => person.write(out),
            Event::Auction(auction) => auction.write(out),
            Event::Bid(bid) => bid.write(out),
        }
    }
}

impl Person {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Person { id, name, email_address, credit_card, city, state, date_time, extra } = self;
        write!(out, r#"{{"id":{id},"name":"{name}","email_address":"{email_address}","credit_card":"{credit_card}","#)?;
        write!(out, r#""city":"{city}","state":"{state}","date_time":{date_time},"extra":"{extra}"}}"#)
    }
}

impl Auction {
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Auction { id, item_name, description, initial_bid, reserve, date_time, expires, .. } = self;
        let Auction { seller, category, extra, .. } = self;
        write!(out, r#"{{"id":{id},"item_name":"{item_name}","description":"{description}","#)?;
        write!(out, r#""initial_bid":{initial_bid},"reserve":{reserve},"date_time":{date_time},"expires":{expires},"#)?;
        write!(out, r#""seller":{seller},"category":{category},"extra":"{extra}"}}"#)
    }
}

impl Bid {
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Bid { id, auction, bidder, price, channel, url, date_time, extra } = self;
        write!(out, r#"{{"id":{id},"auction":{auction},"bidder":{bidder},"price":{price},"channel":"{channel}","#)?;
        write!(out, r#""url":"{url}","date_time":{date_time},"extra":"{extra}"}}"#)
    }
}
