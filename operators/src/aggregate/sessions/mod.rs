//! Sessions: rows of one key that follow each other within a gap.
//!
//! | file | what it owns |
//! |---|---|
//! | `by_time` | what rows come to at each time: what an epoch changes |
//! | `of_key` | the sessions of one key: what joins and parts them |
//! | `operator` | the sessions of all keys, as an operator |

mod by_time;
mod of_key;
mod operator;

pub use operator::sessions;

/// A session: from the time of its first row to a gap after that of its last one, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// The time of its first row.
    pub start: i64,
    /// A gap after the time of its last row.
    pub end: i64,
}
