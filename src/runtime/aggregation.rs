//! Aggregation in a pipeline: from rows of any collection to groups, and to what can not be used.

use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use flowstone_operators::aggregate::{Accumulator, AggregateOptions, Group, Session, aggregate, roll_up, sessions};
use flowstone_operators::pace::Pace;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::progress::operate::FrontierInterest;

use super::fusion::Rows;
use super::memory::reaper;
use crate::pipeline::compile::AggregatePlan;
use crate::record::{Contributor, Fields, GroupKey, Rejected, Results, Row, RowDiff, Window, WindowSpec, Windows};
use crate::sink::gauge::Gauge;

/// What rows give to groups.
type Contributions<'scope> = VecCollection<'scope, u64, (GroupKey, <Fields as Accumulator>::Input), isize>;

/// Of operators on the shell of aggregation: up to `quiet_through` their readers know what their input gives, and they put out no
/// more than the sinks of this process can write, as `writing` counts.
pub(super) fn options(quiet_through: Option<u64>, writing: &Arc<Gauge>) -> AggregateOptions {
    let writing = writing.clone();
    let pace = Pace::new(move || writing.is_full());
    let options = AggregateOptions::default().with_reaper(reaper()).with_pace(pace);
    match quiet_through {
        Some(epoch) => options.with_quiet_through(epoch),
        None => options,
    }
}

/// The groups of an `aggregate`, and the rows that it can not use. For the last two see [`options`].
pub(super) fn groups_of<'scope>(
    rows: Rows<'scope>,
    plan: &AggregatePlan,
    quiet_through: Option<u64>,
    writing: &Arc<Gauge>,
) -> (Rows<'scope>, Rows<'scope>) {
    let options = options(quiet_through, writing);
    let (contributions, unusable) = contributions(rows, plan);
    let mut results = Results::new(&plan.spec);
    let groups = match plan.spec.window.clone() {
        None => aggregate(contributions, options, move |key, group: &Group<Fields>| Some(results.row(key, group))),
        Some(WindowSpec { windows: Windows::Sessions { gap_ns }, .. }) => {
            let by_time = contributions.map(|(GroupKey { by, window }, inputs)| {
                let at_ns = window.expect("rows of sessions have times").start_ns();
                (GroupKey { by, window: None }, (at_ns, inputs))
            });
            sessions(by_time, gap_ns, options, move |key: &GroupKey, session: Session, group: &Group<Fields>| {
                let window = Some(Window::new(session.start, session.end));
                Some(results.row(&GroupKey { by: key.by.clone(), window }, group))
            })
        }
        Some(window) => {
            let windows = window.clone();
            let above = move |key: &GroupKey, larger: &mut Vec<GroupKey>| windows.above(key, larger);
            roll_up(contributions, options, above, move |key, group: &Group<Fields>| {
                let is_shown = key.window.is_some_and(|of| window.is_shown(of));
                is_shown.then(|| results.row(key, group))
            })
        }
    };
    let groups = groups.inner.map(|(group, epoch, diff)| (Row::Group(group.0), epoch, diff));
    (groups, unusable)
}

/// Takes from rows what they give to groups; the second output has those of which that can not be taken.
fn contributions<'scope>(rows: Rows<'scope>, plan: &AggregatePlan) -> (Contributions<'scope>, Rows<'scope>) {
    let mut builder = OperatorBuilder::new(format!("Contributions {}", plan.name), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (usable, usable_stream) = builder.new_output();
    let (unusable, unusable_stream) = builder.new_output();
    let mut usable = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(usable);
    let mut unusable = OutputBuilder::<_, CapacityContainerBuilder<Vec<RowDiff>>>::from(unusable);
    let (mut contributor, name) = (Contributor::new(&plan.spec), plan.name.clone());
    builder.build(move |_| {
        move |_| {
            let (mut usable, mut unusable) = (usable.activate(), unusable.activate());
            input.for_each_time(|time, data| {
                let (mut usable, mut unusable) = (usable.session(&time), unusable.session(&time));
                for (row, epoch, diff) in data.flat_map(|d| d.drain(..)) {
                    let taken = contributor.take(&row, |key, inputs| usable.give(((key, inputs), epoch, diff)));
                    if let Err(reason) = taken {
                        unusable.give((unusable_row(&row, &name, &reason), epoch, diff));
                    }
                }
            });
        }
    });
    (usable_stream.as_collection(), unusable_stream)
}

/// The row of `NODE.rejected` that says why.
pub(super) fn unusable_row(row: &Row, node: &str, reason: &str) -> Row {
    let mut key = Vec::new();
    row.write_key(&mut key);
    let reason = format!("row {} can not be used by {node:?}: {reason}", String::from_utf8_lossy(&key));
    Row::Rejected(Arc::new(Rejected { key: row.key(), reason }))
}
