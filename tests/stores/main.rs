//! Stores that are servers: real Elasticsearch and real Cassandra, and what happens to them on bad days.
//!
//! Started by `scripts/test-services`: the servers are fetched, and take memory that not every machine has.
//!
//! | module | what it shows |
//! |---|---|
//! | `elasticsearch` | what an index holds, after faults of the server, of documents, and of people |
//! | `dividing` | several indexes of one sink |
//! | `cassandra` | the same of a table |
//! | `searching` | `query --elasticsearch` finds what the embedded index finds |
//! | `index`, `table` | the servers as the tests see them |

#![cfg(all(unix, feature = "sqlite", feature = "tantivy", feature = "elasticsearch", feature = "cassandra"))]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

#[path = "../end_to_end/archive.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod archive;
mod cassandra;
mod dividing;
mod elasticsearch;
mod index;
#[path = "../end_to_end/oracle.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod oracle;
mod searching;
#[path = "../end_to_end/support.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive::annotation;
use oracle::{Rules, documents};
use support::{Documents, SECOND};

/// A name that no other test has, nor another run of the tests on the same servers.
fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{name}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until it is so, for as long as servers may need to come back and to be found again.
fn at_last(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(100), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What sinks of moments hold after these lines.
fn expected(lines: &[String]) -> Documents {
    documents(lines.iter().map(String::as_str), &Rules::default())
}

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
