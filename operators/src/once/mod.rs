//! Events that are delivered again count once: by their ids, which are remembered for a time.
//!
//! ```text
//! events@e, each where its id is owned ──▶ once ──▶ events that count@e
//! ids, from a journal ────────────────────▶    └──▶ ids that come and go@e ──▶ journal
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `remembered` | the ids: which of them there are, and when they are forgotten |
//! | `operator` | [`once()`] |

mod operator;
mod remembered;

pub use operator::{Identified, Once, OnceInput, OnceOptions, once};
pub use remembered::IdChange;
