//! Rows made of single rows, or of two: `filter`, `map` and `join`. Keys are kept.
//!
//! | file | what it owns |
//! |---|---|
//! | `single` | `filter` and `map`: what becomes of one row |
//! | `pair` | `join`: by which values rows meet, and what a pair is |
//! | `found` | `join` as of a row's arrival: what the table of it keeps |
//! | `members` | documents that are those of rows with members put in |

mod found;
mod members;
mod pair;
mod single;

pub(crate) use found::{Finder, Found};
pub use pair::JoinSpec;
pub(crate) use pair::{Meeting, Pairing};
pub use single::ReshapeSpec;
pub(crate) use single::Reshaper;
