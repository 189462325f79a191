//! Persons, auctions and bids by the published rules of Nexmark.
//!
//! The rules are those of the generators of Apache Beam and of `nexmark/nexmark`: which event comes when, what stands in it, how many
//! of the others are hot. The draws are our own, so the events are the same on every machine, and not those of other generators.

use crate::generate::draw::{Draw, Stream, power};

use super::event::{Auction, Bid, Event, Kind, Person};

/// Of so many events…
const ROUND: u64 = 50;
/// …one is a person, and so many are auctions; the others are bids.
const AUCTIONS_A_ROUND: u64 = 3;

const FIRST_PERSON: u64 = 1_000;
const FIRST_AUCTION: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// Who bids or sells is one of so many that came last, or one that is still to come.
const ACTIVE_PEOPLE: u64 = 1_000;
const PEOPLE_LEAD: u64 = 10;
/// The same of auctions that are bid for.
const AUCTIONS_IN_FLIGHT: u64 = 100;
const AUCTION_LEAD: u64 = 10;

/// One in so many sellers, auctions, bidders and channels is *not* a hot one.
const HOT_SELLER_RATIO: u64 = 4;
const HOT_AUCTION_RATIO: u64 = 2;
const HOT_BIDDER_RATIO: u64 = 4;
const HOT_CHANNEL_RATIO: u64 = 2;
/// One in so many is hot, for as long as so many follow.
const HOT_EVERY: u64 = 100;

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: usize = 10_000;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// How long events are on average, as they are counted there.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;

/// Half a minute before the end of a day, so that there are two days.
const START_MS: u64 = 1_700_006_370_000;

/// All events, in the order of their times.
pub(super) struct Generator {
    draw: Draw,
    next: u64,
    events: u64,
    /// Events in a second of event time.
    rate: u64,
    /// The names of channels, and their addresses: first the hot ones.
    channels: Vec<(String, String)>,
}

impl Generator {
    pub(super) fn new(events: u64, rate: u64, seed: u64) -> Self {
        let mut draw = Draw::new(seed, Stream::Channels);
        let hot = HOT_CHANNELS.iter().map(|name| ((*name).to_owned(), address(&mut draw)));
        let mut channels: Vec<(String, String)> = hot.collect();
        for number in 0..CHANNELS {
            let mut url = address(&mut draw);
            if draw.below(10) > 0 {
                let id = i64::from((number as u32).reverse_bits().cast_signed()).abs();
                url.push_str(&format!("&channel_id={id}"));
            }
            channels.push((format!("channel-{number}"), url));
        }
        Generator { draw: Draw::new(seed, Stream::Nexmark), next: 0, events, rate, channels }
    }

    fn time_ms(&self, number: u64) -> u64 {
        START_MS + number * 1_000 / self.rate
    }

    fn person(&mut self, number: u64) -> Person {
        let draw = &mut self.draw;
        let name = format!("{} {}", draw.pick(&FIRST_NAMES), draw.pick(&LAST_NAMES));
        let email_address = format!("{}@{}.com", text(draw, 7, ' '), text(draw, 5, ' '));
        let digits: Vec<String> = (0..4).map(|_| format!("{:04}", draw.below(10_000))).collect();
        let credit_card = digits.join(" ");
        let (city, state) = (draw.pick(&CITIES), draw.pick(&STATES));
        let bytes = 8 + name.len() + email_address.len() + credit_card.len() + city.len() + state.len();
        let extra = extra(draw, bytes, PERSON_BYTES);
        let (id, date_time) = (FIRST_PERSON + last_person(number), self.time_ms(number));
        Person { id, name, email_address, credit_card, city, state, date_time, extra }
    }

    fn auction(&mut self, number: u64) -> Auction {
        let date_time = self.time_ms(number);
        let in_flight_ms = self.time_ms(number + AUCTIONS_IN_FLIGHT * ROUND / AUCTIONS_A_ROUND) - date_time;
        let draw = &mut self.draw;
        let (item_name, description) = (text(draw, 20, ' '), text(draw, 100, ' '));
        let initial_bid = price(draw);
        let reserve = initial_bid + price(draw);
        let expires = date_time + 1 + draw.below((in_flight_ms * 2).max(1));
        let seller = match draw.below(HOT_SELLER_RATIO) {
            0 => any_person(draw, number),
            _ => last_person(number) / HOT_EVERY * HOT_EVERY,
        };
        let category = FIRST_CATEGORY + draw.below(CATEGORIES);
        let extra = extra(draw, 8 + item_name.len() + description.len() + 8 + 8 + 8 + 8 + 8, AUCTION_BYTES);
        let (id, seller) = (FIRST_AUCTION + last_auction(number), FIRST_PERSON + seller);
        Auction { id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra }
    }

    fn bid(&mut self, number: u64) -> Bid {
        let date_time = self.time_ms(number);
        let draw = &mut self.draw;
        let auction = match draw.below(HOT_AUCTION_RATIO) {
            0 => any_auction(draw, number),
            _ => last_auction(number) / HOT_EVERY * HOT_EVERY,
        };
        // The second one of them, so that hot bidders are no hot sellers.
        let bidder = match draw.below(HOT_BIDDER_RATIO) {
            0 => any_person(draw, number),
            _ => last_person(number) / HOT_EVERY * HOT_EVERY + 1,
        };
        let price = price(draw);
        let channel = match draw.below(HOT_CHANNEL_RATIO) {
            0 => HOT_CHANNELS.len() + draw.index(CHANNELS),
            _ => draw.index(HOT_CHANNELS.len()),
        };
        let extra = extra(draw, 32, BID_BYTES);
        let (channel, url) = self.channels[channel].clone();
        let (auction, bidder) = (FIRST_AUCTION + auction, FIRST_PERSON + bidder);
        Bid { id: number, auction, bidder, price, channel, url, date_time, extra }
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let number = self.next;
        if number >= self.events {
            return None;
        }
        self.next += 1;
        Some(match kind(number) {
            Kind::Person => Event::Person(self.person(number)),
            Kind::Auction => Event::Auction(self.auction(number)),
            Kind::Bid => Event::Bid(self.bid(number)),
        })
    }
}

/// What the event of a number is.
fn kind(number: u64) -> Kind {
    match number % ROUND {
        0 => Kind::Person,
        1..=AUCTIONS_A_ROUND => Kind::Auction,
        _ => Kind::Bid,
    }
}

/// How many of a kind are among so many events.
pub(super) fn count(of: Kind, events: u64) -> u64 {
    let (rounds, rest) = (events / ROUND, events % ROUND);
    let persons = rounds + rest.min(1);
    let auctions = rounds * AUCTIONS_A_ROUND + rest.saturating_sub(1).min(AUCTIONS_A_ROUND);
    match of {
        Kind::Person => persons,
        Kind::Auction => auctions,
        Kind::Bid => events - persons - auctions,
    }
}

/// The person that came last, the event itself included; counted from 0.
fn last_person(number: u64) -> u64 {
    number / ROUND
}

/// The same of auctions. The first event is a person, and nobody asks for an auction then.
fn last_auction(number: u64) -> u64 {
    count(Kind::Auction, number + 1).saturating_sub(1)
}

fn any_person(draw: &mut Draw, number: u64) -> u64 {
    let people = last_person(number) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + draw.below(active + PEOPLE_LEAD)
}

fn any_auction(draw: &mut Draw, number: u64) -> u64 {
    let last = last_auction(number);
    let first = last.saturating_sub(AUCTIONS_IN_FLIGHT);
    first + draw.below(last - first + 1 + AUCTION_LEAD)
}

/// In cents: as many from 1 to 10 as from 10 to 100, and so on up to a million.
fn price(draw: &mut Draw) -> u64 {
    (power(10.0, draw.unit() * 6.0) * 100.0).round() as u64
}

/// From 3 letters on; one in 13 is the other character.
fn text(draw: &mut Draw, most: usize, other: char) -> String {
    let length = 3 + draw.index(most - 3);
    (0..length).map(|_| if draw.below(13) == 0 { other } else { letter(draw) }).collect()
}

fn letter(draw: &mut Draw) -> char {
    char::from(b'a' + draw.below(26) as u8)
}

/// Fills an event up to the length that it has on average, a fifth more or less.
fn extra(draw: &mut Draw, bytes: usize, average: usize) -> String {
    let left = average.saturating_sub(bytes);
    let delta = (left + 2) / 5;
    let length = left - delta + draw.below(2 * delta as u64) as usize;
    (0..length).map(|_| letter(draw)).collect()
}

fn address(draw: &mut Draw) -> String {
    let [a, b, c] = [(); 3].map(|()| text(draw, 5, '_'));
    format!("https://www.nexmark.com/{a}/{b}/{c}/item.htm?query=1")
}
