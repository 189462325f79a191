//! What aggregation can not be faster than: one sort and one sweep over annotations that are all there.

use std::sync::Arc;
use std::time::Instant;

use super::check;
use crate::bench::history::Annotation;
use crate::bench::report::Swept;
use crate::bench::timing::Counts;

/// Finds every group on this thread.
pub(in crate::bench) fn sweep(annotations: &[(u32, Arc<Annotation>)]) -> Swept {
    let began = Instant::now();
    let mut lengths: Vec<(u32, i64)> =
        annotations.iter().map(|(asset, annotation)| (*asset, annotation.interval.length_ns())).collect();
    lengths.sort_unstable_by_key(|(asset, _)| *asset);
    let mut counts = Counts::default();
    for of_asset in lengths.chunk_by(|a, b| a.0 == b.0) {
        let total_ns = of_asset.iter().map(|(_, length_ns)| i128::from(*length_ns)).sum();
        counts.add(check(&std::hint::black_box((of_asset[0].0, of_asset.len() as i64, total_ns))), 1);
    }
    Swept { counts, took: began.elapsed() }
}
