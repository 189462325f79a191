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

#[path = "../end_to_end/archive.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod archive;
mod faults;
mod generating;
#[path = "../end_to_end/oracle.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod oracle;
mod reading;
mod refusing;
#[path = "../end_to_end/support.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;
mod topic;
mod writing;
