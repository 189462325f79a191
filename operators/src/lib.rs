//! Dataflow operators on timely and differential dataflow: no I/O, no threads, no clock.

pub mod fuse;
pub mod interval;
pub mod route;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
