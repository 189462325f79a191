//! Dataflow operators on timely and differential dataflow: no I/O, no threads, no clock.

pub mod fuse;
pub mod interval;
