//! Fusion in a pipeline: from rows of a table to documents and to what is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use differential_dataflow::{AsCollection, VecCollection};
use flowstone_operators::fuse::{Rejection, fuse};
use flowstone_operators::interval::Interval;
use flowstone_operators::pace::Pace;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, OkErr};

use super::memory::reaper;
use super::metrics::OperatorMetrics;
use crate::pipeline::compile::FusePlan;
use crate::record::{DeadLetter, Fuser, Interner, Key, Record, Rejected, Row, RowDiff, Scalar, ScalarRef};
use crate::sink::gauge::Gauge;

/// Changes of a collection of the pipeline.
pub(super) type Rows<'scope> = StreamVec<'scope, u64, RowDiff>;

/// The documents of a `fuse`, and those that it rejects. Up to `quiet_through` its readers know what the table gives; it forms
/// no more than the sinks of this process can write, as `writing` counts.
pub(super) fn moments_of<'scope>(
    table: VecCollection<'scope, u64, Record, isize>,
    plan: &FusePlan,
    quiet_through: Option<u64>,
    writing: &Arc<Gauge>,
) -> (Rows<'scope>, Rows<'scope>) {
    let (facet, most_bytes) = (plan.facet, plan.max_document_bytes.min(u64::from(u32::MAX) - 1));
    let most_children = plan.options.max_children();
    let at = usize::from(facet);
    let writing = writing.clone();
    let pace = Pace::new(move || writing.is_full());
    let options = match quiet_through {
        Some(epoch) => plan.options.clone().with_quiet_through(epoch),
        None => plan.options.clone(),
    }
    .with_reaper(reaper())
    .with_pace(pace);
    let name = plan.name.clone();
    let mut assets = Interner::new();
    let (usable, unusable) = table.inner.ok_err(move |(record, epoch, diff)| match record.asset(at) {
        Ok(asset) => {
            // Assets are few, records many.
            let asset = match asset {
                ScalarRef::Str(text) => Scalar::Str(assets.text(text)),
                number => number.into(),
            };
            Ok(((asset, record), epoch, diff))
        }
        Err(reason) => Err((unusable_row(&record, &name, reason), epoch, diff)),
    });
    let by_asset = usable.container::<Vec<_>>().as_collection();
    let interval = move |record: &Record| record.interval(at);
    let (moments, too_many) = fuse(by_asset, options, interval, move |record| record.kind(at));
    let mut fuser = Fuser::new(facet);
    let fused = moments.inner.map(move |(moment, epoch, diff)| (fuser.fused(moment), epoch, diff));
    // A pure function of the document, so that its retraction takes the same way.
    let (documents, too_large) = fused.ok_err(move |(fused, epoch, diff)| {
        let bytes = u64::from(fused.bytes);
        if bytes <= most_bytes {
            return Ok((Row::Moment(fused), epoch, diff));
        }
        let reason = format!("document of {bytes} bytes is larger than max_document_bytes {most_bytes}");
        Err((rejected(fused.moment.key, fused.moment.interval, reason), epoch, diff))
    });
    let too_many = too_many.inner.map(move |(rejection, epoch, diff)| {
        let Rejection { key, interval, children } = rejection;
        let reason = format!("document of {children} children is larger than max_children {most_children}");
        (rejected(key, interval, reason), epoch, diff)
    });
    let refused = too_large.container::<Vec<_>>().concat(too_many).concat(unusable.container::<Vec<_>>());
    (documents.container::<Vec<_>>(), refused)
}

/// A row that was decoded for other operators than those that read it now.
fn unusable_row(record: &Record, node: &str, reason: &str) -> Row {
    let mut key = Vec::new();
    record.key().write_json(&mut key);
    let reason = format!("row {} can not be used by {node:?}: {reason}", String::from_utf8_lossy(&key));
    Row::Rejected(Arc::new(Rejected { key: record.key().to_key(), reason }))
}

fn rejected(asset: Scalar, interval: Interval, reason: String) -> Row {
    let key = Key::Composite(vec![asset, Scalar::Int(interval.start_ns())].into());
    Row::Rejected(Arc::new(Rejected { key, reason }))
}

/// A dead letter for each document or row that comes to be rejected. Those up to `known_through` were counted by earlier runs.
pub(super) fn rejections<'scope>(
    rejected: Rows<'scope>,
    node: &str,
    known_through: u64,
    metrics: Arc<OperatorMetrics>,
) -> Rows<'scope> {
    let node: Arc<str> = node.into();
    rejected.flat_map(move |(row, epoch, diff)| {
        metrics.rejected.fetch_add(u64::from(diff > 0 && epoch > known_through), Relaxed);
        let Row::Rejected(rejected) = row else { return None };
        let mut key = Vec::new();
        rejected.key.write_json(&mut key);
        let letter = DeadLetter {
            node: node.clone(),
            origin: String::from_utf8_lossy(&key).into(),
            offset: epoch,
            reason: rejected.reason.clone(),
            payload: Box::default(),
            payload_bytes: 0,
        };
        (diff > 0).then(|| (Row::DeadLetter(Arc::new(letter)), epoch, 1))
    })
}
