//! Kernels in a dataflow.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use flowstone_operators::fuse::{Emit, FuseOptions, fuse};
use flowstone_operators::interval::Grid;
use timely::dataflow::StreamVec;

use super::common::Run;
use super::common::driver::{Found, Plan, drive};
use super::input::{Annotation, Child, History, SECOND_NS};
use super::reduces::Annotations;
use super::{checksum, reduces};

/// A way to fuse.
#[derive(Clone, Copy)]
pub enum Form {
    /// `fuse`.
    Fuse,
    /// differential's reduce by asset and bucket.
    Buckets,
    /// differential's reduce by asset and so many buckets.
    Chunks(u32),
}

fn build<'scope>(annotations: Annotations<'scope>, form: Form, found: &Found) -> StreamVec<'scope, u64, ()> {
    let list =
        |((asset, bucket), children): &((u32, u32), Vec<Child>)| checksum(*asset, *bucket, children.iter().copied());
    match form {
        Form::Buckets => found.of(reduces::by_bucket(annotations), list),
        Form::Chunks(width) => found.of(reduces::by_chunk(annotations, width), list),
        Form::Fuse => {
            let options = FuseOptions::new(Emit::Buckets(Grid::new(SECOND_NS)));
            let (moments, _rejected) = fuse(annotations, options, |a: &Annotation| a.interval, |a| &a.kind);
            found.of(moments, |moment| {
                let bucket = (moment.interval.start_ns() / SECOND_NS) as u32;
                checksum(moment.key, bucket, moment.children.iter().map(|annotation| annotation.child))
            })
        }
    }
}

/// Runs all phases of a history; or the bulk alone, if the input ends with it.
pub fn run(history: &Arc<History>, form: Form, plan: Plan) -> Vec<Run> {
    let phases: Vec<Vec<usize>> = history.phases.iter().map(|phase| phase.epochs.clone()).collect();
    let history = history.clone();
    drive(
        &phases,
        plan,
        move |changes, found| build(changes.as_collection(), form, found),
        move |n, epoch| {
            let (version, diff) = history.changes[n];
            (history.rows[version as usize], epoch, diff)
        },
    )
}
