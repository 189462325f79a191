//! Running a pipeline: workers, the dataflow they build, and how a run ends.
//!
//! | file | what it owns |
//! |---|---|
//! | [`job`](Job) | from a pipeline to a finished run |
//! | `dataflow` | which operator feeds which |
//! | [`clock`] | when epochs open and close |
//! | [`control`](Control) | stop, failure, phase: what all threads share |
//! | [`metrics`] | what is counted |
//! | `setup`, `stores` | what all workers share; the stores that sinks write to |

pub mod clock;
mod control;
mod dataflow;
mod job;
pub mod metrics;
mod setup;
mod stores;

pub use control::{Control, Phase};
pub use job::{Job, Mode, Outcome, RunError};

/// Ends the process when any thread panics: a timely worker that panics would leave the others waiting for ever (law L11).
pub fn abort_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        std::process::abort();
    }));
}
