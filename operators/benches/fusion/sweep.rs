//! One sort and one sweep.

use super::History;
use super::input::{Annotation, Child, are_of_two_types, buckets, place, placed};

/// The first bucket, the one after the last, and the child.
pub type Span = (u32, u32, Child);

/// Calls `form(first, end, children)` for each stretch of `[from, upto)` over which the children of a document are the same.
///
/// `spans` are ordered by start; children are in their order.
pub fn sweep(spans: &[Span], from: u32, upto: u32, mut form: impl FnMut(u32, u32, &[Child])) {
    let mut starting = spans.iter().peekable();
    // Two lists: children as they are put out, and the ends of each.
    let (mut children, mut ends): (Vec<Child>, Vec<u32>) = (Vec::new(), Vec::new());
    let (mut at, mut first_end) = (from, u32::MAX);
    while at < upto {
        if first_end <= at {
            let mut kept = 0;
            first_end = u32::MAX;
            for n in 0..ends.len() {
                if ends[n] > at {
                    (children[kept], ends[kept]) = (children[n], ends[n]);
                    first_end = first_end.min(ends[n]);
                    kept += 1;
                }
            }
            children.truncate(kept);
            ends.truncate(kept);
        }
        while let Some((_, end, child)) = starting.next_if(|(start, ..)| *start <= at) {
            let place = children.partition_point(|other| other < child);
            children.insert(place, *child);
            ends.insert(place, *end);
            first_end = first_end.min(*end);
        }
        let next = starting.peek().map_or(upto, |(start, ..)| *start).min(first_end).min(upto);
        if let (Some(first), Some(last)) = (children.first(), children.last())
            && are_of_two_types(*first, *last)
        {
            form(at, next, &children);
        }
        at = next;
    }
}

/// How children come into their order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They are sorted by type, start, end and number, as nobody has said how they stand.
    Sorted,
    /// They are numbered in it, which the input happens to have done.
    Given,
}

/// Forms all documents of these annotations, asset by asset: the number of them, and their checksum.
///
/// A list is made for each stretch of buckets with the same children, and is looked at for each bucket, as the results of the
/// other kernels are.
pub fn sort_and_sweep(history: &History, living: &[u32], order: Order) -> (i64, u64) {
    let assets = history.rows.iter().map(|(asset, _)| *asset as usize + 1).max().unwrap_or(0);
    let mut by_asset: Vec<Vec<Annotation>> = vec![Vec::new(); assets];
    for version in living {
        let (asset, annotation) = &history.rows[*version as usize];
        by_asset[*asset as usize].push(*annotation);
    }
    let (mut documents, mut sum) = (0, 0_u64);
    for (asset, mut annotations) in (0..).zip(by_asset) {
        if order == Order::Sorted {
            annotations.sort_unstable();
        }
        let span = |(place, annotation): (u32, &Annotation)| {
            let (first, end) = buckets(&annotation.interval);
            let child = if order == Order::Given { annotation.child } else { placed(annotation.kind, place) };
            (first, end, child)
        };
        let mut spans: Vec<Span> = (0..).zip(&annotations).map(span).collect();
        spans.sort_unstable_by_key(|span| span.0);
        let upto = spans.iter().map(|span| span.1).max().unwrap_or(0);
        sweep(&spans, 0, upto, |first, end, children| {
            let list: Box<[Child]> = std::hint::black_box(children.into());
            let shown = |child: &Child| match order {
                Order::Given => *child,
                Order::Sorted => annotations[place(*child)].child,
            };
            for bucket in first..end {
                documents += 1;
                sum = sum.wrapping_add(super::checksum(asset, bucket, list.iter().map(shown)));
            }
        });
    }
    (documents, sum)
}
