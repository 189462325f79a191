//! Which events come too late: by a watermark of event time, which is the same for all workers.
//!
//! ```text
//! events@e ──reached──▶ events, with their times@e ──────────────▶ lateness ──▶ on time@e, late@e
//!               └─────▶ how far each partition is@e ──broadcast──▶    └───────▶ watermark@e, for tables; progress@e, for a journal
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `watermark` | how far partitions are, and which of them count |
//! | `reached` | what an epoch brings of each partition |
//! | `operator` | [`lateness()`] |

mod operator;
mod reached;
mod watermark;

pub use operator::{Divided, LatenessInput, LatenessOptions, lateness};
pub use watermark::Progress;
