//! The promise of the journal, shown through the real binary: whatever happens to a run, to its state or to its stores, the
//! next one is right in the end, or refuses to start and says why.
//!
//! | module | what happens |
//! |---|---|
//! | `synced` | nothing but an ordinary run: what is written to disk before what |
//! | `second_writer` | two runs on one state, and one that sleeps while another one works |
//! | `stopping` | signals, a panic, a peer that dies |
//! | `disks` | a full disk, a state directory that is gone |
//! | `corruption` | bytes of the journal that are not what was written |
//! | `stores` | stores that are gone, old, or not ours; state that is lost |
//! | `lagging` | stores that stand still |
//! | `changes` | other settings, other sinks |
//! | `resuming` | further runs, other numbers of workers, files that were changed |
//! | `idle` | nothing at all |

#![cfg(all(unix, feature = "sqlite", feature = "tantivy"))]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod disks;
mod idle;
mod lagging;
mod resuming;
mod second_writer;
mod stopping;
mod stores;
mod synced;
mod world;

use common::{archive, oracle, support};
