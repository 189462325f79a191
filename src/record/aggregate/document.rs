//! The row and the document of a group.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use flowstone_operators::aggregate::{Bag, Group};
use flowstone_operators::table::Keyed;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xxhash_rust::xxh3::Xxh3;

use super::fields::{Field, Fields};
use super::key::GroupKey;
use super::ranked::Ranked;
use super::spec::{AggregateSpec, Function};
use crate::record::decimal::{Decimal, write_sum};
use crate::record::scalar::{write_integer, write_string};

/// The row of a group, or one that another operator made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grouped {
    /// Its key.
    pub key: GroupKey,
    /// Its document: JSON text.
    pub document: Arc<str>,
}

/// The row of a group. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupRow(pub(crate) Arc<Grouped>);

impl Keyed for GroupRow {
    fn key_hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        self.0.key.hash(&mut hasher);
        hasher.finish()
    }

    fn same_key(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }

    fn same_row(&self, other: &Self) -> bool {
        self.0.document == other.0.document
    }
}

/// Makes documents of what is known of groups.
pub(crate) struct Results {
    /// `"name":` of each field of `by`.
    by: Vec<Box<[u8]>>,
    /// The same of those that are computed, and how; with the place of those that read a field.
    compute: Vec<(Box<[u8]>, Function, Option<usize>)>,
    buffer: Vec<u8>,
}

impl Results {
    pub(crate) fn new(spec: &AggregateSpec) -> Self {
        let label = |name: &str| {
            let mut label = Vec::new();
            write_string(name, &mut label);
            label.push(b':');
            label.into_boxed_slice()
        };
        let mut next = 0;
        let compute = spec.compute.iter().map(|computed| {
            let place = computed.reads_fields().then_some(next);
            next += usize::from(computed.reads_fields());
            (label(&computed.name), computed.function.clone(), place)
        });
        let compute = compute.collect();
        Results { by: spec.by.iter().map(|(name, _)| label(name)).collect(), compute, buffer: Vec::new() }
    }

    /// The row of a group.
    pub(crate) fn row(&mut self, key: &GroupKey, group: &Group<Fields>) -> GroupRow {
        let out = &mut self.buffer;
        out.clear();
        for (label, part) in self.by.iter().zip(key.by.parts()) {
            out.push(b',');
            out.extend_from_slice(label);
            part.write_json(out);
        }
        if let Some(window) = key.window {
            out.extend_from_slice(b",\"window_start_ns\":");
            write_integer(window.start_ns(), out);
            out.extend_from_slice(b",\"window_end_ns\":");
            write_integer(window.end_ns(), out);
        }
        for (label, function, place) in &self.compute {
            out.push(b',');
            out.extend_from_slice(label);
            match place {
                Some(place) => write(function, group.of.get(*place), out),
                None => write_integer(group.rows, out),
            }
        }
        match out.first_mut() {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
        let document = std::str::from_utf8(out).expect("JSON text").into();
        GroupRow(Arc::new(Grouped { key: key.clone(), document }))
    }
}

fn write(function: &Function, field: &Field, out: &mut Vec<u8>) {
    match (function, field) {
        (Function::Rows | Function::Count(_), Field::Count(count)) => write_integer(*count, out),
        (Function::Distinct(_), Field::Members(values)) => write_integer(values.len() as i64, out),
        (Function::Distinct(_), Field::Bag(bag)) => write_integer(bag.distinct() as i64, out),
        (Function::Rows | Function::Count(_) | Function::Distinct(_), _) => out.push(b'0'),
        (Function::Sum(_), Field::Sum(sum, count)) if *count > 0 => write_sum(sum, out),
        (Function::Average(_), Field::Sum(sum, count)) if *count > 0 => {
            let units = sum.divided_by(*count).expect("a mean is no greater than its greatest number");
            Decimal::of_units(units).write_json(out);
        }
        (Function::Min(_), Field::Bag(bag)) => or_null(bag.min(), out, |value, out| value.write_json(out)),
        (Function::Max(_), Field::Bag(bag)) => or_null(bag.max(), out, |value, out| value.write_json(out)),
        (Function::Min(_), Field::Least(value)) | (Function::Max(_), Field::Greatest(value)) => value.write_json(out),
        (Function::Histogram(_), Field::Histogram(bag)) => histogram(bag, out),
        (Function::Histogram(_), _) => out.extend_from_slice(b"{}"),
        (Function::Top { k, .. }, Field::Ranked(bag)) => {
            let rows =
                bag.iter().flat_map(|(row, times)| std::iter::repeat_n(row, usize::try_from(times).unwrap_or(0)));
            top(rows.take(*k), out);
        }
        (Function::Top { .. }, Field::Best(_, first)) => top(first.iter(), out),
        (Function::Top { .. }, _) => out.extend_from_slice(b"[]"),
        (Function::End { .. }, Field::Ranked(bag)) => {
            or_null(bag.min().and_then(|first| first.of.as_ref()), out, |of, out| out.extend_from_slice(of.as_bytes()));
        }
        (Function::End { .. }, Field::Best(_, first)) => {
            or_null(first.first().and_then(|first| first.of.as_ref()), out, |of, out| {
                out.extend_from_slice(of.as_bytes());
            });
        }
        _ => out.extend_from_slice(b"null"),
    }
}

fn or_null<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// The first rows, each as often as it is there.
fn top<'a>(rows: impl Iterator<Item = &'a Ranked>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, row) in rows.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        row.write_entry(out);
    }
    out.push(b']');
}

fn histogram(bag: &Bag<SmolStr>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, (name, times)) in bag.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_integer(times, out);
    }
    out.push(b'}');
}
