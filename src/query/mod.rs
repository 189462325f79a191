//! Searching an index of moments.
