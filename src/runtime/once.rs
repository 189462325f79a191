//! Events with ids in a pipeline: each counts once, however often it is delivered.

use flowstone_operators::accumulate::combine;
use flowstone_operators::once::{Once, OnceInput, OnceOptions, once};
use flowstone_operators::route::owner;
use flowstone_operators::table::{TableChange, Tick};
use smallvec::SmallVec;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::OkErr;
use timely::dataflow::operators::vec::Map;

use super::accumulation::{Contributions, Of};
use super::fusion::Rows;
use super::memory::reaper;
use super::taken::taken;
use crate::pipeline::compile::AggregatePlan;
use crate::record::{Contributor, IdRecords, Ids, Record, Usable};

/// Ids by the watermark leave in so many steps while they are kept,
const STEPS: i64 = 64;

/// which are at most this long, in nanoseconds.
const LONGEST_STEP_NS: i64 = 60_000_000_000;

/// What is left of events.
pub(super) struct Identified<'scope> {
    /// What those give that count.
    pub live: Contributions<'scope>,
    /// The dead letters of those that can not be used.
    pub unusable: Rows<'scope>,
    /// The changes of ids, for the journal.
    pub changes: StreamVec<'scope, u64, TableChange<Record>>,
    /// What the journal has besides ids.
    pub sealed: StreamVec<'scope, u64, (u64, Record)>,
}

/// Takes from events what they give to groups, of each id once. Only an event that can be used, and gives something, takes its id:
/// one that was refused may be sent again.
pub(super) fn identified<'scope>(
    events: StreamVec<'scope, u64, Record>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    ticks: StreamVec<'scope, u64, Tick>,
    (ids, contributor): (Ids, Contributor),
    of: Of<'_, 'scope>,
) -> Identified<'scope> {
    let Of { setup, table, plan, metrics, .. } = of;
    let records = || IdRecords::new(&plan.spec, table.decode.key.len());
    let options = OnceOptions {
        keep: ids.keep_ms,
        together: together(ids, plan),
        journalled: setup.journal.is_some(),
        counters: metrics.table.clone(),
        reaper: reaper(),
    };
    let (usable, unusable) = usable(events, contributor, records(), of);
    let of = records();
    let (known, sealed) = sealed.ok_err(move |(epoch, record)| match of.is_id(&record) {
        true => Ok((epoch, IdRecords::read(&record))),
        false => Err((epoch, record)),
    });
    let input = OnceInput { live: usable, sealed: known.container::<Vec<_>>(), ticks };
    let Once { first, changes } = once(input, options);
    let mut of = records();
    Identified {
        live: combine(first.flat_map(|event| event.gives)),
        unusable,
        changes: changes.map(move |change| of.change(change)),
        sealed: sealed.container::<Vec<_>>(),
    }
}

/// How much the times of ids may differ that leave together.
fn together(ids: Ids, plan: &AggregatePlan) -> i64 {
    let late = plan.spec.window.as_ref().and_then(|window| window.late);
    let (kept, longest) = match (ids.keep_ms, late) {
        (Some(keep_ms), _) => (i64::try_from(keep_ms).unwrap_or(i64::MAX), LONGEST_STEP_NS / 1_000_000),
        (None, late) => (late.expect("validated: ids are forgotten").until_ns, LONGEST_STEP_NS),
    };
    (kept / STEPS).clamp(1, longest)
}

/// Events that can be used, each where its id is owned; and dead letters of the others.
fn usable<'scope>(
    events: StreamVec<'scope, u64, Record>,
    mut contributor: Contributor,
    mut ids: IdRecords,
    of: Of<'_, 'scope>,
) -> (StreamVec<'scope, u64, Usable>, Rows<'scope>) {
    let peers = events.scope().peers();
    let by_id = Exchange::new(move |event: &Record| owner(event.route(), peers));
    // Ids that go by the clock have no time of their own.
    let window = of.plan.spec.window.clone().filter(|window| window.late.is_some());
    taken(events, by_id, format!("Usable {}", of.plan.name), of, move |event, give| {
        let payload = event.payload().ok_or("deletion of a row, and events are no rows")?;
        let mut gives = SmallVec::new();
        contributor.take_record(event, |key, inputs| gives.push((key, inputs)))?;
        let json = std::str::from_utf8(payload).expect("decode has checked the encoding");
        let time_ns = window.as_ref().map_or(Ok(0), |window| window.time_ns(json))?;
        if !gives.is_empty() {
            give(Usable { id: ids.of_event(event), at: event.position(), time_ns, gives });
        }
        Ok(())
    })
}
