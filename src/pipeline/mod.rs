//! The pipeline file: its model, its validation, and its drawing.

pub mod model;
pub mod units;

pub use model::*;
