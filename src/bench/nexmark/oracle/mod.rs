//! What queries must find, by other means: plain maps over all events, in their order.
//!
//! Nothing here is shared with the operators: neither windows, nor decimals, nor expressions.
//!
//! | file | what it owns |
//! |---|---|
//! | `rows` | queries that look at one bid at a time, or keep one |
//! | `windows` | windows of event time |
//! | `days` | reports by day |
//! | `sales` | queries that pair events of different kinds |

use super::event::{Bid, Event};

mod days;
mod rows;
mod sales;
mod windows;

pub(super) use days::{Auctions, Channels, Days};
pub(super) use rows::{Converted, Last, Selected};
pub(super) use sales::{Closed, Expanded, Local, Newcomers};
pub(super) use windows::{Highest, Hot, Sessions};

/// Takes the documents that a query must find.
pub(super) type Each<'a> = &'a mut dyn FnMut(&str);

/// Finds what a query must find.
pub(super) trait Oracle {
    /// Looks at the next event; calls `each` with what it says for certain.
    fn take(&mut self, event: &Event, each: Each<'_>);

    /// Calls `each` with what all events together say.
    fn finish(&mut self, _each: Each<'_>) {}
}

/// The bid that an event is.
fn bid(event: &Event) -> Option<&Bid> {
    if let Event::Bid(bid) = event { Some(bid) } else { None }
}

const MS_NS: u64 = 1_000_000;

/// `sum / count` with 18 digits after the point, of which zeros at the end are left out; a half is rounded to the even digit.
fn mean(sum: u128, count: u128) -> String {
    const ONE: u128 = 1_000_000_000_000_000_000;
    let (mut units, rest) = (sum * ONE / count, sum * ONE % count);
    units += u128::from(rest * 2 > count || (rest * 2 == count && units % 2 == 1));
    let text = format!("{}.{:018}", units / ONE, units % ONE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
