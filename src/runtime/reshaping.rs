//! `filter`, `map` and `join` in a pipeline: from rows of any collections to other rows, and to what can not be used.

use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use flowstone_operators::join::{Unmatched, join};
use flowstone_operators::route::{Route, owner};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Exchange};
use timely::progress::operate::FrontierInterest;

use super::aggregation::{options, unusable_row};
use super::fusion::Rows;
use crate::record::{JoinSpec, Key, Meeting, Pairing, Rejected, ReshapeSpec, Reshaper, Row, RowDiff, Scalar};
use crate::sink::gauge::Gauge;

/// What becomes of rows one by one, and those of which it can not be said.
pub(super) fn reshaped<'scope>(rows: Rows<'scope>, name: &str, spec: &ReshapeSpec) -> (Rows<'scope>, Rows<'scope>) {
    let (mut reshaper, node) = (Reshaper::new(spec), name.to_owned());
    split(rows, &format!("Reshape {name}"), move |row| match reshaper.take(row) {
        Ok(row) => Ok(row),
        Err((row, reason)) => Err(unusable_row(&row, &node, &reason)),
    })
}

/// Both sides of a `join`.
pub(super) struct BothSides<'scope> {
    pub left: Rows<'scope>,
    pub right: Rows<'scope>,
}

/// The pairs of rows that meet, and the rows that can not. For the last two see [`options`].
pub(super) fn joined<'scope>(
    rows: BothSides<'scope>,
    name: &str,
    spec: &JoinSpec,
    quiet_through: Option<u64>,
    writing: &Arc<Gauge>,
) -> (Rows<'scope>, Rows<'scope>) {
    let options = options(quiet_through, writing);
    let unmatched = if spec.keeps_unmatched { Unmatched::Keep } else { Unmatched::Drop };
    let (left, unusable_left) = meeting(rows.left, Meeting::of_left(spec), name, None);
    let (right, unusable_right) = meeting(rows.right, Meeting::of_right(spec), name, Some(&spec.name));
    // What meets nobody needs no operator to say so.
    let (left, alone) = split(left, &format!("Alone {name}"), |(key, row)| match key {
        Some(key) => Ok(Some((key, row))),
        None => Err(row),
    });
    let right = right.flat_map(|((key, row), epoch, diff)| key.map(|key| ((key, row), epoch, diff)));
    let mut pairing = Pairing::new(spec);
    let (left, right): (Meetings<'_>, Meetings<'_>) = (left.as_collection(), right.as_collection());
    let pairs = join(left, right, unmatched, options, move |_: &Key, left: &Row, right| pairing.row(left, right));
    let pairs = pairs.inner;
    let rows = match spec.keeps_unmatched {
        true => {
            let mut pairing = Pairing::new(spec);
            pairs.concat(alone.map(move |(row, epoch, diff)| (pairing.row(&row, None), epoch, diff)))
        }
        false => pairs,
    };
    (to_owners(rows), unusable_left.concat(unusable_right))
}

/// Pairs are made where the values are by which rows meet. A row that meets others than before would go on one worker and come on
/// another, and nobody would know in which order: so rows are brought to where their keys belong.
fn to_owners(rows: Rows<'_>) -> Rows<'_> {
    let peers = rows.scope().peers();
    if peers == 1 {
        return rows;
    }
    rows.exchange(move |(row, ..): &RowDiff| match row {
        Row::Group(made) => owner(made.key.route(), peers),
        other => other.key().route(),
    })
}

type Meetings<'scope> = VecCollection<'scope, u64, (Key, Row), isize>;
pub(super) type Changes<'scope, D> = StreamVec<'scope, u64, (D, u64, isize)>;

/// By which values rows meet. Both sides may have rows of the same key: those of the right are told apart by its name.
pub(super) fn meeting<'scope>(
    rows: Rows<'scope>,
    mut of: Meeting,
    node: &str,
    side: Option<&str>,
) -> (Changes<'scope, (Option<Key>, Row)>, Rows<'scope>) {
    let (node, side) = (node.to_owned(), side.map(Scalar::from));
    split(rows, &format!("Meeting {node}"), move |row| match of.key(&row) {
        Ok(key) => Ok(Some((key, row))),
        Err(reason) => match (unusable_row(&row, &node, &reason), &side) {
            (Row::Rejected(of_right), Some(side)) => {
                let parts = std::iter::once(side).chain(of_right.key.parts()).cloned();
                let key = Key::Composite(parts.collect());
                Err(Row::Rejected(Arc::new(Rejected { key, reason: of_right.reason.clone() })))
            }
            (rejected, _) => Err(rejected),
        },
    })
}

/// Sends what rows become one way, and what they do not become another.
fn split<'scope, D: 'static, A: Clone + 'static, B: Clone + 'static>(
    rows: Changes<'scope, D>,
    name: &str,
    mut take: impl FnMut(D) -> Result<Option<A>, B> + 'static,
) -> (Changes<'scope, A>, Changes<'scope, B>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (good, good_stream) = builder.new_output();
    let (bad, bad_stream) = builder.new_output();
    let mut good = OutputBuilder::<_, CapacityContainerBuilder<Vec<(A, u64, isize)>>>::from(good);
    let mut bad = OutputBuilder::<_, CapacityContainerBuilder<Vec<(B, u64, isize)>>>::from(bad);
    builder.build(move |_| {
        move |_| {
            let (mut good, mut bad) = (good.activate(), bad.activate());
            input.for_each_time(|time, data| {
                let (mut good, mut bad) = (good.session(&time), bad.session(&time));
                for (row, epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    match take(row) {
                        Ok(Some(row)) => good.give((row, epoch, diff)),
                        Ok(None) => {}
                        Err(row) => bad.give((row, epoch, diff)),
                    }
                }
            });
        }
    });
    (good_stream, bad_stream)
}
