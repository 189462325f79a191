//! Durable aggregation of streams: what the events of each group come to, in a table.
//!
//! ```text
//! (key, input)@e ──combine──▶ (key, given)@e ──exchange by key──▶ groups ──▶ changes of rows
//!                                                                  └──────▶ pieces of groups ──▶ journal
//! ```
//!
//! Events are only added and nobody keeps them, so that what they come to can not be made again of anything else: the groups
//! themselves are the table. It is a fold of [`table`](crate::table) like others, and is journalled, loaded, replayed and
//! hidden as these are.
//!
//! | file | what it owns |
//! |---|---|
//! | [`accumulation`](Accumulation) | what must be known of groups: how they are shown, and in which pieces they are kept |
//! | [`combiner`](Combiner) | what a worker adds up before events go to others |
//! | `state` | the groups: what an epoch changes, and what a journal brings back |
//! | `operator` | [`accumulate()`] |

mod accumulation;
mod combiner;
mod operator;
mod state;

pub use accumulation::Accumulation;
pub use combiner::{Combiner, Given, GivenTo, combine};
pub use operator::{AccumulateInput, Accumulated, accumulate};
