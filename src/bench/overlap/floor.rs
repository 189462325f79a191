//! What the join can not be faster than: one sort and one forward scan over annotations that are all there.

use std::sync::Arc;
use std::time::Instant;

use super::{OverlapSettings, check, is_left};
use crate::bench::history::Annotation;
use crate::bench::report::Swept;
use crate::bench::timing::Counts;

/// Start, end and id of an annotation.
type Row = (i64, i64, u64);

/// Finds every pair on this thread.
pub(in crate::bench) fn sweep(annotations: &[(u32, Arc<Annotation>)], settings: &OverlapSettings) -> Swept {
    let began = Instant::now();
    let longer_ns = i64::from(settings.touching);
    let mut order: Vec<&(u32, Arc<Annotation>)> = annotations.iter().collect();
    order.sort_unstable_by_key(|(asset, _)| *asset);
    let mut counts = Counts::default();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for of_asset in order.chunk_by(|a, b| a.0 == b.0) {
        let asset = of_asset[0].0;
        left.clear();
        right.clear();
        for (_, annotation) in of_asset.iter().copied() {
            let side = if is_left(annotation) { &mut left } else { &mut right };
            side.push((annotation.interval.start_ns(), annotation.interval.end_ns() + longer_ns, annotation.id));
        }
        left.sort_unstable();
        right.sort_unstable();
        scan(&left, &right, |a, b| {
            let pair = std::hint::black_box((asset, a, b));
            counts.add(check(pair.1, pair.2), 1);
        });
    }
    Swept { counts, took: began.elapsed() }
}

/// Calls `pair` with the ids of all that overlap: whoever starts first looks forward through the other side, to its own end.
fn scan(left: &[Row], right: &[Row], mut pair: impl FnMut(u64, u64)) {
    let (mut left, mut right) = (left, right);
    while let (Some(a), Some(b)) = (left.first(), right.first()) {
        if a.0 <= b.0 {
            right.iter().take_while(|b| b.0 < a.1).for_each(|b| pair(a.2, b.2));
            left = &left[1..];
        } else {
            left.iter().take_while(|a| a.0 < b.1).for_each(|a| pair(a.2, b.2));
            right = &right[1..];
        }
    }
}
