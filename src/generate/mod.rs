//! Synthetic archives of annotations.
