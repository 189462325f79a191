//! The pipeline file: its model, its validation, and its drawing.

pub mod compile;
pub mod model;
pub mod units;

pub use model::*;
