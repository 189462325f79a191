//! The program from end to end: files or memory in, the contents of the sinks out, compared with a brute-force oracle.
//!
//! | module | what it shows |
//! |---|---|
//! | `capabilities` | the worked example, and one test for each capability of fusion |
//! | `contents` | any history gives what the oracle gives, whatever the workers, the order of lines, and the epochs |
//! | `tables` | keys, versions, several sources, formats of files and columns |
//! | `aggregate_cases` | golden cases, one for each function |
//! | `aggregates` | groups of moments and rows under corrections, and over restarts |
//! | `operator_cases` | golden cases of `filter`, `map`, `distinct` and `join` |
//! | `reshaping` | these against an oracle, over restarts |
//! | `lookups` | `join` as of a row's arrival, over restarts and changes of the pipeline |
//! | `generations` | annotations of operations: what is shown when, swaps, what comes too late |
//! | `reruns` | running again, also when there is less input |
//! | `following` | `run`: input that grows, stops, sinks that wait for each other |
//! | `bad_lines` | what can not be processed is a dead letter, and everything is counted |
//! | `failures` | stores, files and directories that can not be used |
//! | `state` | the commands that look at the state; sinks that are reset |
//! | `command_line` | exit codes, and what goes to which stream |

#![cfg(all(unix, feature = "sqlite", feature = "tantivy"))]
// clippy.toml allows it in tests; helpers of tests are not seen as such.
#![allow(clippy::unwrap_used)]

mod aggregate_cases;
mod aggregates;
mod bad_lines;
mod capabilities;
mod command_line;
#[path = "../common/mod.rs"]
mod common;
mod contents;
mod events;
mod failures;
mod following;
mod generations;
mod ids;
mod lookups;
mod operator_cases;
mod reruns;
mod reshaping;
mod retention;
mod state;
mod tables;

use common::{archive, operations, oracle, support};
