//! Generations: rows that come with an operation, and are shown when it is finished.
//!
//! A model that is run again finds 600 annotations where it had found 500. While it writes, readers must see the 500; once it
//! is done, exactly the 600. So each run is an *operation*: it belongs to a *series* (a type of annotation, and what was
//! looked at), has a number in it that grows from run to run, and is started, and finished or canceled.
//!
//! ```text
//!  rows of operation 2  ──▶ ┌ series ───────────────────────┐
//!  rows of operation 3  ──▶ │ 2: finished, shown ───────────┼──▶ row changes
//!  3 is finished        ──▶ │ 3: 600 rows, waits to be told │      at the swap, in one epoch: -500, +600
//!                           └───────────────────────────────┘
//!  rows of none ───────────────────────────────────────────────▶ row changes, as they come
//! ```
//!
//! It is a table: its rows and the ends of operations are state, journalled and brought back as those of
//! [`upsert`](crate::table::upsert()), with which it shares everything but the fold.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | what the table must know of its records |
//! | `series` | the operations of a series: how they end, which one is shown, the swap |
//! | `state` | all series, and the rows of none: what an epoch changes; load and replay of what is sealed |
//! | `operator` | [`generations()`] |

mod operator;
mod record;
mod series;
mod state;

pub use operator::{Output, generations};
pub use record::{Generational, Refusal, Role, Stage};
