//! From moments to ranges: what the buckets cut up is put together, exactly.

use super::found::{Found, FoundMoment, Met};
use super::{Hit, Mode, Query};
use crate::record::Scalar;

/// The ranges of everything found, in no order.
pub(super) fn hits(query: &Query, found: Found) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (asset, mut moments) in found.assets {
        moments.sort_unstable_by_key(|moment| moment.start_ns);
        let ranges = match query.mode {
            Mode::Intersection => intersections(query, &moments, &found.annotations),
            Mode::Union => unions(&moments, &found.annotations),
        };
        hits.extend(ranges.into_iter().map(|range| range.into_hit(&asset, query, &found.annotations)));
    }
    hits
}

/// A range, and the annotations that meet a clause in it.
struct Range {
    span: Span,
    met: Vec<usize>,
}

/// `[start, end)`, in ns.
type Span = (i64, i64);

/// The time during which every condition is met by an annotation that covers it, within moments that are adjacent.
///
/// A moment that is not there (it was too large, or lacks a modality that the pipeline asks for) is a gap, also if the
/// annotations go on through it.
fn intersections(query: &Query, moments: &[FoundMoment], annotations: &[Met]) -> Vec<Range> {
    let mut ranges = Vec::new();
    for run in moments.chunk_by(|a, b| a.end_ns >= b.start_ns) {
        let met = distinct(run.iter().flat_map(|moment| moment.met.iter().copied()));
        let end_ns = run.iter().map(|moment| moment.end_ns).max().expect("chunks are not empty");
        let whole = (run[0].start_ns.max(query.window.from_ns), end_ns.min(query.window.to_ns));
        let mut pieces = vec![whole];
        for condition in 0..query.conditions() {
            let meets = |n: &&usize| annotations[**n].conditions.contains(&condition);
            pieces = common(&pieces, &joined(met.iter().filter(meets).map(|n| annotations[*n].span()).collect()));
        }
        for span in pieces {
            let overlaps = |n: &usize| {
                let (start, end) = annotations[*n].span();
                start < span.1 && span.0 < end
            };
            ranges.push(Range { span, met: met.iter().copied().filter(overlaps).collect() });
        }
    }
    ranges
}

/// The spans of the annotations of each moment; those that overlap or touch become one.
fn unions(moments: &[FoundMoment], annotations: &[Met]) -> Vec<Range> {
    let mut spans: Vec<Range> = moments
        .iter()
        .map(|moment| {
            let hull = moment.met.iter().map(|n| annotations[*n].span()).reduce(hull);
            Range { span: hull.unwrap_or((moment.start_ns, moment.end_ns)), met: moment.met.clone() }
        })
        .collect();
    spans.sort_by_key(|range| range.span);
    let mut ranges: Vec<Range> = Vec::new();
    for range in spans {
        match ranges.last_mut() {
            Some(last) if range.span.0 <= last.span.1 => {
                last.span = hull(last.span, range.span);
                last.met.extend(range.met);
            }
            _ => ranges.push(range),
        }
    }
    for range in &mut ranges {
        range.met = distinct(range.met.drain(..));
    }
    ranges
}

impl Met {
    fn span(&self) -> Span {
        (self.annotation.interval.start_ns(), self.annotation.interval.end_ns())
    }
}

impl Range {
    fn into_hit(self, asset: &Scalar, query: &Query, annotations: &[Met]) -> Hit {
        let best = |condition: usize| {
            let meets = self.met.iter().map(|n| &annotations[*n]).filter(|met| met.conditions.contains(&condition));
            meets.filter_map(|met| met.sureness(condition)).reduce(f64::max)
        };
        let confidence = (0..query.conditions()).filter_map(best).reduce(f64::min);
        let mut annotations: Vec<_> = self.met.iter().map(|n| annotations[*n].annotation.clone()).collect();
        annotations.sort_by(|a, b| (&a.kind, a.interval, &a.key).cmp(&(&b.kind, b.interval, &b.key)));
        Hit { asset: asset.clone(), start_ns: self.span.0, end_ns: self.span.1, confidence, annotations }
    }
}

fn distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn hull(a: Span, b: Span) -> Span {
    (a.0.min(b.0), a.1.max(b.1))
}

/// The union of spans as maximal pieces: those that overlap or touch become one.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut pieces: Vec<Span> = Vec::new();
    for span in spans {
        match pieces.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => pieces.push(span),
        }
    }
    pieces
}

/// What two lists of pieces have in common; both are ordered and disjoint, and so is the result.
fn common(a: &[Span], b: &[Span]) -> Vec<Span> {
    let mut pieces = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let (start, end) = (a[i].0.max(b[j].0), a[i].1.min(b[j].1));
        if start < end {
            pieces.push((start, end));
        }
        if a[i].1 < b[j].1 { i += 1 } else { j += 1 }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_overlap_or_touch_become_one() {
        assert_eq!(joined(vec![(5, 7), (1, 3), (3, 4), (2, 3), (9, 10)]), [(1, 4), (5, 7), (9, 10)]);
        assert_eq!(joined(vec![(1, 9), (2, 3)]), [(1, 9)]);
    }

    #[test]
    fn pieces_have_in_common_what_both_cover() {
        assert_eq!(common(&[(0, 10), (20, 30)], &[(5, 6), (8, 22), (29, 40)]), [(5, 6), (8, 10), (20, 22), (29, 30)]);
        assert_eq!(common(&[(0, 5)], &[(5, 9)]), [], "half-open");
        assert_eq!(common(&[(0, 5)], &[]), []);
    }
}
