//! Events, from their files into a circuit.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use dbsp::utils::{Tup2, Tup4, Tup5};
use serde::Deserialize;

use super::Result;
use super::circuits::Handles;

/// Auction, bidder, price, time, channel; a query that does not ask for the channel has none.
pub type Bid = Tup5<u64, u64, u64, u64, String>;
/// Id, category, time, and when it expires.
pub type Auction = Tup4<u64, u64, u64, u64>;

#[derive(Deserialize)]
struct BidLine<'a> {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: u64,
    channel: &'a str,
}

#[derive(Deserialize)]
struct AuctionLine {
    id: u64,
    category: u64,
    date_time: u64,
    expires: u64,
}

/// The files that a query reads.
pub struct Events {
    bids: BufReader<File>,
    auctions: Option<BufReader<File>>,
    has_channels: bool,
}

impl Events {
    pub fn open(directory: &Path, query: &str) -> Result<Self> {
        let open =
            |name: &str| Ok::<_, std::io::Error>(BufReader::with_capacity(1 << 20, File::open(directory.join(name))?));
        let auctions = (query == "q4").then(|| open("auction.ndjson")).transpose()?;
        Ok(Events { bids: open("bid.ndjson")?, auctions, has_channels: query == "q16" })
    }

    /// Gives about so many events; says whether there were any.
    pub fn give(&mut self, handles: &Handles, batch: usize) -> Result<bool> {
        let has_channels = self.has_channels;
        let mut bids = lines(&mut self.bids, batch, |line| {
            let BidLine { auction, bidder, price, date_time, channel } = serde_json::from_str(line)?;
            let channel = if has_channels { channel.to_owned() } else { String::new() };
            Ok(Tup2(Tup5(auction, bidder, price, date_time, channel), 1))
        })?;
        let mut auctions = match &mut self.auctions {
            None => Vec::new(),
            // There are 46 bids for three of them.
            Some(auctions) => lines(auctions, (batch * 3).div_ceil(46), |line| {
                let AuctionLine { id, category, date_time, expires } = serde_json::from_str(line)?;
                Ok(Tup2(Tup4(id, category, date_time, expires), 1))
            })?,
        };
        let any = !bids.is_empty() || !auctions.is_empty();
        handles.bids.append(&mut bids);
        handles.auctions.append(&mut auctions);
        Ok(any)
    }
}

fn lines<T>(from: &mut BufReader<File>, most: usize, read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let (mut rows, mut line) = (Vec::with_capacity(most), String::new());
    while rows.len() < most && from.read_line(&mut line)? > 0 {
        rows.push(read(&line)?);
        line.clear();
    }
    Ok(rows)
}
