//! Stores that are servers: real Elasticsearch and real Cassandra, and what happens to them on bad days.
//!
//! Started by `scripts/test-services`: the servers are fetched, and take memory that not every machine has.
//!
//! | module | what it shows |
//! |---|---|
//! | `elasticsearch` | what an index holds, after faults of the server, of documents, and of people |
//! | `dividing` | several indexes of one sink |
//! | `cassandra` | the same of a table |
//! | `counting` | a counter in a table, over histories of crashes |
//! | `opensearch` | the same on the other server |
//! | `searching` | `query --elasticsearch` finds what the embedded index finds |
//! | `index`, `table` | the servers as the tests see them |

#![cfg(all(unix, feature = "sqlite", feature = "tantivy", feature = "elasticsearch", feature = "cassandra"))]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

mod cassandra;
#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/counter.rs"]
mod counter;
mod counting;
mod dividing;
mod elasticsearch;
#[path = "../crash/failpoints.rs"]
mod failpoints;
mod index;
mod opensearch;
#[path = "../crash/process.rs"]
mod process;
mod searching;
mod table;
#[path = "../crash/upset.rs"]
mod upset;

use archive::annotation;
use common::{archive, oracle, support};
use oracle::expected;
use support::{SECOND, at_last, unique};

/// The `round`th lines about an asset: annotations that move, one of which comes and goes.
fn round(asset: &str, round: i64) -> Vec<String> {
    let at = round * SECOND;
    let mut lines = vec![
        annotation(&format!("{asset}-scene"), asset, "SCENE_SEARCH", at, at + 40 * SECOND),
        annotation(&format!("{asset}-joey"), asset, "CHARACTER_SEARCH", at + 5 * SECOND, at + 25 * SECOND),
        annotation(&format!("{asset}-{round}"), asset, "OBJECT_SEARCH", at + 10 * SECOND, at + 12 * SECOND),
    ];
    if round % 3 == 2 {
        lines.push(archive::deletion(&format!("{asset}-{}", round - 1)));
    }
    lines
}
