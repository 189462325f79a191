//! Running a pipeline: workers, the dataflow they build, and how a run ends.
//!
//! | file | what it owns |
//! |---|---|
//! | [`job`](Job) | from a pipeline to a finished run |
//! | `opening`, [`start`](Consent) | what is opened first; how a run starts from what the journal remembers |
//! | `nodes` | what has changed in the pipeline since |
//! | [`forecast`] | what the next run would do, for people |
//! | [`cluster`](Cluster) | several processes |
//! | `dataflow`, `tables`, `fusion`, `aggregation`, `accumulation`, `taken`, `once`, `lookups` | which operator feeds which |
//! | [`clock`] | when epochs open and close, and which are hidden |
//! | [`control`](Control) | stop, failure, phase: what all threads share |
//! | [`metrics`], `memory` | what is counted; what the process may take |
//! | `setup`, `stores` | what all workers share; the stores that sinks write to |

mod accumulation;
mod aggregation;
pub mod clock;
mod cluster;
mod control;
mod dataflow;
pub mod forecast;
mod fusion;
mod job;
mod lookups;
pub(crate) mod memory;
pub mod metrics;
mod nodes;
mod once;
mod opening;
mod reshaping;
mod setup;
mod sources;
mod start;
mod stores;
mod tables;
mod taken;

pub use cluster::Cluster;
pub use control::{Control, Phase};
pub use job::{Job, Mode, Outcome, RunError, journal_location};
pub use nodes::ChangedNode;
pub use start::{Consent, Refused};

/// Ends the process when any thread panics: a timely worker that panics would leave the others waiting for ever (law L11).
///
/// A peer process that is gone shows as a panic too. That is no bug of this process: it ends with code 1 and says so.
pub fn abort_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(|text| text.starts_with("timely communication error")) {
            eprintln!(
                "error: another process of the run is gone, so this one ends too; nothing that is sealed is lost: start all of them again"
            );
            std::process::exit(1);
        }
        hook(info);
        std::process::abort();
    }));
}
