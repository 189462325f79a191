//! The queries: each a pipeline file, and what it must find.

use super::event::Kind;
use super::oracle::{self, Oracle};

/// A query of Nexmark.
pub struct Query {
    /// Its name: `q5`.
    pub name: &'static str,
    /// What it asks.
    pub about: &'static str,
    /// The pipeline file.
    pub pipeline: &'static str,
    /// The events that it reads.
    pub reads: &'static [Kind],
    /// Finds the same in another way.
    pub(super) oracle: fn() -> Box<dyn Oracle>,
}

macro_rules! query {
    ($name:literal, $about:literal, $reads:expr, $oracle:expr) => {
        Query {
            name: $name,
            about: $about,
            pipeline: include_str!(concat!("queries/", $name, ".yaml")),
            reads: $reads,
            oracle: || Box::new($oracle),
        }
    };
}

const BIDS: &[Kind] = &[Kind::Bid];
const SALES: &[Kind] = &[Kind::Person, Kind::Auction];
const OFFERS: &[Kind] = &[Kind::Auction, Kind::Bid];

/// All queries, in the order of their numbers.
pub const QUERIES: &[Query] = &[
    query!("q1", "prices in another currency: map", BIDS, oracle::Converted),
    query!("q2", "bids for some auctions: filter", BIDS, oracle::Selected),
    query!("q3", "who sells in some states: join", SALES, oracle::Local::default()),
    query!("q4", "mean of the winning bids by category: join, aggregate twice", OFFERS, oracle::Closed::default()),
    query!("q5", "auctions with the most bids: hopping windows", BIDS, oracle::Hot::default()),
    query!("q7", "the highest bid: tumbling windows", BIDS, oracle::Highest::default()),
    query!("q8", "who came and sold at once: join, distinct", SALES, oracle::Newcomers::default()),
    query!("q11", "bids of each bidder: session windows", BIDS, oracle::Sessions::default()),
    query!("q15", "bids, bidders and auctions by day", BIDS, oracle::Days::default()),
    query!("q16", "the same by channel and day", BIDS, oracle::Channels::default()),
    query!("q17", "bids and prices by auction and day", BIDS, oracle::Auctions::default()),
    query!("q18", "the last bid of each bidder for each auction: table", BIDS, oracle::Last::default()),
    query!("q20", "bids with their auctions: join", OFFERS, oracle::Expanded::default()),
];

impl Query {
    /// The query of this name.
    pub fn named(name: &str) -> Option<&'static Query> {
        QUERIES.iter().find(|query| query.name == name)
    }
}
