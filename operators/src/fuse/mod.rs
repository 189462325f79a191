//! Fusion of intervals that overlap in time.

mod moment;

pub use moment::Moment;
