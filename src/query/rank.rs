//! The order of hits, and which of them are kept.

use std::cmp::Ordering;

use super::{Hit, Query};

/// By asset and time; with `top`, the best of each asset, by asset and rank. Then cut to `limit`.
pub(super) fn rank(query: &Query, mut hits: Vec<Hit>) -> Vec<Hit> {
    match query.top {
        None => hits.sort_by(|a, b| (&a.asset, a.start_ns, a.end_ns).cmp(&(&b.asset, b.start_ns, b.end_ns))),
        Some(top) => {
            hits.sort_by(|a, b| a.asset.cmp(&b.asset).then_with(|| better_first(a, b)));
            let mut best = Vec::new();
            for asset in hits.chunk_by(|a, b| a.asset == b.asset) {
                best.extend(asset.iter().take(top).cloned());
            }
            hits = best;
        }
    }
    hits.truncate(query.limit.unwrap_or(usize::MAX));
    hits
}

/// The rank that [`Hit::confidence`] documents.
fn better_first(a: &Hit, b: &Hit) -> Ordering {
    let confidence = |hit: &Hit| hit.confidence.unwrap_or(f64::NEG_INFINITY);
    let length = |hit: &Hit| hit.end_ns - hit.start_ns;
    confidence(b)
        .total_cmp(&confidence(a))
        .then_with(|| length(b).cmp(&length(a)))
        .then_with(|| a.start_ns.cmp(&b.start_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(asset: i64, start_ns: i64, end_ns: i64, confidence: Option<f64>) -> Hit {
        Hit { asset: asset.into(), start_ns, end_ns, confidence, annotations: Vec::new() }
    }

    #[test]
    fn the_best_of_each_asset_come_by_confidence_then_length_then_time() {
        let (sure, long, early, late, unknown) = (
            hit(1, 50, 51, Some(0.9)),
            hit(1, 30, 40, Some(0.5)),
            hit(1, 0, 5, Some(0.5)),
            hit(1, 10, 15, Some(0.5)),
            hit(1, 60, 99, None),
        );
        let other = hit(2, 7, 8, Some(0.1));
        let all = [&other, &unknown, &late, &early, &long, &sure].map(Hit::clone).to_vec();
        let ranked = |top, limit| rank(&Query { top, limit, ..Query::default() }, all.clone());
        assert_eq!(ranked(Some(9), None), [&sure, &long, &early, &late, &unknown, &other].map(Hit::clone));
        assert_eq!(ranked(Some(2), None), [&sure, &long, &other].map(Hit::clone));
        assert_eq!(ranked(None, None), [&early, &late, &long, &sure, &unknown, &other].map(Hit::clone));
        assert_eq!(ranked(None, Some(2)), [&early, &late].map(Hit::clone));
    }
}
