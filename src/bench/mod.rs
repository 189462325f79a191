//! Benchmarks that anyone can run: made-up input, in memory, through the dataflow of an operator.
//!
//! ```text
//!  settings ─▶ history ─▶ fusion ──▶ report ─▶ plot
//!              changes    workers,   medians,  time per epoch
//!              by epoch   epochs     rates
//!                 └─────▶ floor ──────┘
//!                         the same lists by one sort and one sweep
//! ```
//!
//! Files are neither read nor written, and nothing is parsed or rendered: what is measured is the operator, and what timely
//! takes to carry rows to and from it. The same settings give the same input on every machine.

mod floor;
mod fusion;
mod history;
mod plot;
mod report;
mod settings;
#[cfg(test)]
mod tests;

pub use fusion::fusion;
pub use plot::plot;
pub use report::{Floor, FusionReport, Phase, Repetition};
pub use settings::{BenchError, Form, FusionSettings};
