//! The whole path, as large users have it: the generator, a topic of real Kafka with six partitions, fusion, a table of real
//! Cassandra, and after it an index of real Elasticsearch. `scripts/test-services` runs it.
//!
//! | module | what it shows |
//! |---|---|
//! | `arriving` | both stores hold what the oracle gives, the index never what the table has not; what a search finds |
//! | `replaying` | records sent again, topics read again, runs that overlap or sleep |
//! | `killing` | Flowstone and servers killed under load, connections that fail |
//! | `world` | the path, and what is sent along it |
//! | `watch` | what a reader of both stores may see while it is written |

#![cfg(unix)]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

mod arriving;
#[path = "../common/mod.rs"]
mod common;
#[path = "../stores/index.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod index;
mod killing;
mod replaying;
#[path = "../stores/table.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod table;
#[path = "../kafka/topic.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod topic;
mod watch;
mod world;

use common::{archive, oracle, support};
use support::unique;
