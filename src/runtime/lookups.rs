//! `join` as of a row's arrival in a pipeline: rows are looked up once, and a table keeps what they have found.

use differential_dataflow::AsCollection;
use flowstone_operators::join::{AsOfInput, AsOfOptions, as_of};
use flowstone_operators::route::Route;
use flowstone_operators::table::{TableChange, TableInput, TableOptions, upsert};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::fusion::Rows;
use super::memory::reaper;
use super::reshaping::{BothSides, meeting};
use super::setup::Setup;
use super::tables::options;
use crate::pipeline::compile::Collection;
use crate::record::{Finder, Found, JoinSpec, Key, Meeting, Record, Row};
use crate::sink::Reveal;

/// By what a row is looked up: a row that lacks a value finds nobody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Sought {
    By(Key),
    /// By its key, it is where it belongs.
    Nobody(Key),
}

impl Route for Sought {
    fn route(&self) -> u64 {
        let (Sought::By(key) | Sought::Nobody(key)) = self;
        key.route()
    }
}

/// A `join` whose pairs are a table.
#[derive(Clone, Copy)]
pub(super) struct Lookups<'a> {
    /// Its number among the nodes.
    pub node: usize,
    /// That of its table.
    pub table: usize,
    pub spec: &'a JoinSpec,
    pub setup: &'a Setup,
}

/// What such a `join` gives.
pub(super) struct KeptPairs<'scope> {
    pub rows: Rows<'scope>,
    /// The rows that can not be looked up, or found.
    pub unusable: Rows<'scope>,
    pub changes: StreamVec<'scope, u64, TableChange<Record>>,
}

/// Builds look-ups, and the table of what they have found; `sealed` is what a journal has of it.
pub(super) fn kept_pairs<'scope>(
    of: Lookups<'_>,
    rows: BothSides<'scope>,
    sealed: StreamVec<'scope, u64, (u64, Record)>,
    reveals: StreamVec<'scope, u64, Reveal>,
) -> KeptPairs<'scope> {
    let Lookups { node, table: number, spec, setup } = of;
    let (start, table) = (&setup.start, &setup.plan.tables[number]);
    let (left, unusable_left) = meeting(rows.left, Meeting::of_left(spec), &table.name, None);
    let (right, unusable_right) = meeting(rows.right, Meeting::of_right(spec), &table.name, Some(&spec.name));
    let left = left.map(|((key, row), epoch, diff)| {
        let sought = key.map_or_else(|| Sought::Nobody(row.key()), Sought::By);
        ((sought, row), epoch, diff)
    });
    let right = right.flat_map(|((key, row), epoch, diff)| key.map(|key| ((Sought::By(key), row), epoch, diff)));
    let lookups = AsOfOptions {
        known_through: start.sealed.through,
        is_new: start.is_new(start.tables[number]),
        is_hidden: start.hidden_from.is_some(),
        reaper: reaper(),
    };
    let both = AsOfInput { left: left.as_collection(), right: right.as_collection(), reveals: reveals.clone() };
    let mut finder = Finder::new(spec);
    let live = as_of::<Sought, Row, Row, _, _>(both, lookups, move |epoch, _, looked| finder.found(epoch, &looked));

    let sealed = sealed.map(|(epoch, record)| (epoch, Found { epoch, record }));
    let are_rows_known = setup.quiet_through([Collection::Reshaped(node); 2]).is_some();
    let options = TableOptions { are_rows_known, ..options(setup, number, table) };
    let (rows, changes) = upsert(TableInput { live, sealed, reveals, ticks: None }, options);
    let changes = changes.map(|change| change.map(|found| found.record));
    let rows = rows.inner.map(|(found, epoch, diff)| (Row::Record(found.record), epoch, diff));
    KeptPairs { rows, unusable: unusable_left.concat(unusable_right), changes }
}
