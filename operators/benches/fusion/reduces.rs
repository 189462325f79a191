//! Fusion as a user of differential would write it: a reduce.

use differential_dataflow::VecCollection;

use super::input::{Annotation, Child, are_of_two_types, buckets};
use super::sweep::{Span, sweep};

pub type Annotations<'scope> = VecCollection<'scope, u64, (u32, Annotation), isize>;
/// ((asset, bucket), children)
pub type Documents<'scope> = VecCollection<'scope, u64, ((u32, u32), Vec<Child>), isize>;

/// A copy of each annotation in each bucket that it covers; the children of a bucket are what the reduce finds there.
pub fn by_bucket<'scope>(annotations: Annotations<'scope>) -> Documents<'scope> {
    let copies = annotations.flat_map(|(asset, annotation)| {
        let (first, end) = buckets(&annotation.interval);
        (first..end).map(move |bucket| ((asset, bucket), annotation.child))
    });
    copies.reduce(|_, children, documents| {
        // In their order, and at least one.
        if are_of_two_types(*children[0].0, *children[children.len() - 1].0) {
            documents.push((children.iter().map(|(child, _)| **child).collect(), 1));
        }
    })
}

/// A copy of each annotation in each chunk of so many buckets; the reduce sweeps a chunk.
pub fn by_chunk<'scope>(annotations: Annotations<'scope>, width: u32) -> Documents<'scope> {
    let copies = annotations.flat_map(move |(asset, annotation)| {
        let (first, end) = buckets(&annotation.interval);
        let span: Span = (first, end, annotation.child);
        (first / width..=(end - 1) / width).map(move |chunk| ((asset, chunk), span))
    });
    let documents = copies.reduce(move |(_, chunk), spans, documents| {
        let spans: Vec<Span> = spans.iter().map(|(span, _)| **span).collect();
        sweep(&spans, chunk * width, (chunk + 1) * width, |first, end, children| {
            documents.extend((first..end).map(|bucket| ((bucket, Vec::<Child>::from(children)), 1)));
        });
    });
    documents.map(|((asset, _), (bucket, children))| ((asset, bucket), children))
}
