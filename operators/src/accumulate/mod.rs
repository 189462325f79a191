//! Durable aggregation of streams: what the events of each group come to, in a table.
//!
//! ```text
//! (key, input)@e ──partial──▶ (key, group)@e ──exchange by key──▶ groups ──▶ changes of rows
//!                                                                   └──────▶ pieces of groups ──▶ journal
//! ```
//!
//! Events are only added and nobody keeps them, so that what they come to can not be made again of anything else: the groups
//! themselves are the table. It is a fold of [`table`](crate::table) like others, and is journalled, loaded, replayed and
//! hidden as these are.
//!
//! | file | what it owns |
//! |---|---|
//! | [`accumulation`](Accumulation) | what must be known of groups: how they are shown, and in which pieces they are kept |
//! | `state` | the groups: what an epoch changes, and what a journal brings back |
//! | `operator` | [`accumulate()`] |

mod accumulation;
mod operator;
mod state;

pub use accumulation::Accumulation;
pub use operator::{AccumulateInput, Accumulated, accumulate};
