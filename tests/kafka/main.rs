//! Kafka as it is: the real binary against a real broker, or three. `scripts/test-services` runs it.
//!
//! | module | what is shown |
//! |---|---|
//! | `reading` | what a topic gives: content, tombstones, metadata, where reading begins and goes on |
//! | `refusing` | what can not be read on, and what is wrong from the start |
//! | `faults` | brokers and connections that fail under load |
//! | `writing` | what the sink writes |
//! | `generating` | what `generate --kafka` puts into a topic |
//! | `topic` | topics, and what tests put in them |

// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod generating;
mod reading;
mod refusing;
mod topic;
mod writing;

use common::{archive, oracle, support};
