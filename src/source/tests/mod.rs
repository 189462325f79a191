//! Sources in a dataflow, catalogues, and records in memory.

mod catalog;
mod dataflow;
