//! What the integration tests share.
//!
//! | module | what it holds |
//! |---|---|
//! | `archive` | annotations, pipelines to read them with, random histories |
//! | `operations` | the same for annotations of operations |
//! | `oracle` | what sinks must hold, by the plainest reading of the input |
//! | `support` | a directory with a pipeline, the real binary, the contents of sinks |

#![allow(dead_code, reason = "no test uses all of it")]

pub mod archive;
pub mod operations;
pub mod oracle;
pub mod support;
