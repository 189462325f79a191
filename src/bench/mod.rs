//! Benchmarks that anyone can run: made-up input, in memory, through the dataflow of an operator.
//!
//! ```text
//!  settings ─▶ history ─▶ fusion, overlap, aggregate ─▶ timing ──▶ report ─▶ plot
//!              changes    the dataflow                  workers,   medians,  time per epoch
//!              by epoch      │                          epochs     rates
//!                            └─▶ floor ───────────────────────────────┘
//!                                the same results by one sort and one sweep
//! ```
//!
//! Files are neither read nor written, and nothing is parsed or rendered: what is measured is the operator, and what timely
//! takes to carry rows to and from it. The same settings give the same input on every machine. `nexmark` is another kind: whole
//! pipelines, from files to rendered documents.

mod aggregate;
mod fusion;
mod history;
mod nexmark;
mod overlap;
mod plot;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod timing;

pub use aggregate::{AggregateSettings, aggregate};
pub use fusion::{Form, FusionSettings, fusion};
pub use nexmark::{
    Kind, NexmarkError, NexmarkReport, NexmarkSettings, QUERIES, Query, QueryRun, nexmark, steps as nexmark_steps,
};
pub use overlap::{OverlapSettings, overlap};
pub use plot::plot;
pub use report::{Floor, Phase, Repetition, Report};
pub use settings::{BenchError, Running, Workload};
pub use timing::Progress;
