//! What a row gives to its groups.

use std::sync::Arc;

use smallvec::SmallVec;

use super::children::OfChildren;
use super::fan_out::FanOut;
use super::fields::{Inputs, Item};
use super::key::GroupKey;
use super::ranked::{Rank, Ranked};
use super::spec::{AggregateSpec, Computed, Function};
use super::value::{Value, number, wrong};
use super::window::WindowSpec;
use crate::record::select::select;
use crate::record::{FieldPath, Interner, Renderer, Row};

/// Takes from rows what they give to their groups. What a row gives depends on the row alone, so that its retraction takes
/// the same away.
pub(crate) struct Contributor {
    fan_out: FanOut,
    /// If a fused document need only be looked at child by child to find its groups.
    of_children: Option<OfChildren>,
    window: Option<WindowSpec>,
    /// Those that read a field, in the order of the file.
    functions: Vec<Computed>,
    /// Rows are never taken back.
    is_growing: bool,
    strings: Interner,
    renderer: Renderer,
    document: Vec<u8>,
}

impl Contributor {
    pub(crate) fn new(spec: &AggregateSpec) -> Self {
        let functions = spec.compute.iter().filter(|computed| computed.reads_fields());
        let fan_out = FanOut::new(spec);
        Contributor {
            of_children: fan_out.is_of_children().then(OfChildren::default),
            fan_out,
            window: spec.window.clone(),
            functions: functions.cloned().collect(),
            is_growing: false,
            strings: Interner::new(),
            renderer: Renderer::default(),
            document: Vec::new(),
        }
    }

    /// For rows that are never taken back: no more is asked of them than what is shown in the end.
    pub(crate) fn of_events(spec: &AggregateSpec) -> Self {
        Contributor { is_growing: true, ..Contributor::new(spec) }
    }

    /// Looks at whole documents from now on.
    #[cfg(test)]
    pub(super) fn read_documents(&mut self) {
        self.of_children = None;
    }

    /// Calls `each` with each group that the row belongs to, and what it gives to it.
    ///
    /// # Errors
    /// The first reason why the row can not be used, for people. Nothing was given then.
    pub(crate) fn take(&mut self, row: &Row, mut each: impl FnMut(GroupKey, Inputs)) -> Result<(), String> {
        let Contributor { fan_out, of_children, window, functions, is_growing, strings, renderer, document } = self;
        let found = match (of_children, row) {
            (Some(children), Row::Moment(fused)) => Some(children.keys(fused, |child| fan_out.key_of(child, strings))?),
            _ => None,
        };
        let bytes = match row {
            Row::Record(record) => record.payload().expect("a table emits no deletions"),
            _ if found.is_some() && functions.is_empty() && window.is_none() => b"",
            other => {
                document.clear();
                renderer.document(other, document);
                document
            }
        };
        let json = std::str::from_utf8(bytes).expect("decode has checked the encoding");
        let keys = match found {
            Some(keys) => keys,
            None => fan_out.keys(json, strings)?,
        };
        if keys.is_empty() {
            return Ok(());
        }
        let items = functions.iter().map(|computed| {
            let item = item(computed, row, json, strings)?;
            Ok(if *is_growing { of_event(item, &computed.function) } else { item })
        });
        let inputs = items.collect::<Result<Inputs, String>>()?;
        let Some(spec) = window else {
            let (last, others) = keys.split_last().expect("there is one");
            others.iter().for_each(|key| each(GroupKey { by: key.clone(), window: None }, inputs.clone()));
            each(GroupKey { by: last.clone(), window: None }, inputs);
            return Ok(());
        };
        let time_ns = spec.time_ns(json)?;
        for key in keys {
            spec.smallest(time_ns, |window| {
                each(GroupKey { by: key.clone(), window: Some(window) }, inputs.clone());
            });
        }
        Ok(())
    }
}

/// What a row gives to a function.
fn item(computed: &Computed, row: &Row, json: &str, strings: &mut Interner) -> Result<Item, String> {
    if !computed.conditions.iter().all(|condition| condition.is_met(json, strings)) {
        return Ok(Item::Nothing);
    }
    match &computed.function {
        Function::Rows => Ok(Item::Once),
        Function::Count(path) => values(json, path, |_| Ok(Item::Once)),
        Function::Sum(path) | Function::Average(path) => {
            values(json, path, |json| number(json, path).map(Item::Number))
        }
        Function::Min(path) | Function::Max(path) | Function::Distinct(path) => {
            values(json, path, |json| Value::read(json, path, strings).map(Item::Value))
        }
        Function::Histogram(path) => values(json, path, |json| match json.starts_with('{') {
            true => counts(json, path, strings).map(Item::Several),
            false => Value::read(json, path, strings).map(|value| Item::Named(value.name(), 1)),
        }),
        Function::Top { by, of, .. } => ranked(row, json, (by, of.as_ref()), Rank::greatest, strings),
        Function::End { is_last: true, by, of } => ranked(row, json, (by, Some(of)), Rank::greatest, strings),
        Function::End { is_last: false, by, of } => ranked(row, json, (by, Some(of)), Rank::least, strings),
    }
}

/// The same of a row that is never taken back.
fn of_event(item: Item, function: &Function) -> Item {
    match (item, function) {
        (Item::Several(items), _) => Item::Several(items.iter().map(|item| of_event(item.clone(), function)).collect()),
        (Item::Value(value), Function::Min(_)) => Item::Least(value),
        (Item::Value(value), Function::Max(_)) => Item::Greatest(value),
        (Item::Value(value), _) => Item::Member(value),
        (Item::Ranked(ranked), Function::Top { k, .. }) => Item::Best(ranked, *k as u32),
        (Item::Ranked(ranked), _) => Item::Best(ranked, 1),
        (item, _) => item,
    }
}

/// What each value of a field is taken for; `null` is none.
fn values(json: &str, path: &FieldPath, mut take: impl FnMut(&str) -> Result<Item, String>) -> Result<Item, String> {
    let mut items: SmallVec<[Item; 1]> = SmallVec::new();
    let mut problem = None;
    select(json, path, |json| match json.trim_ascii() {
        "null" => {}
        json => match take(json) {
            Ok(item) => items.push(item),
            Err(reason) => drop(problem.get_or_insert(reason)),
        },
    });
    if let Some(reason) = problem {
        return Err(reason);
    }
    Ok(match items.len() {
        0 => Item::Nothing,
        1 => items.remove(0),
        _ => Item::Several(items.into_iter().collect()),
    })
}

/// Where a row stands among those of its group: one that lacks the value by which they stand, or what is shown, is not among them.
fn ranked(
    row: &Row,
    json: &str,
    (by, of): (&FieldPath, Option<&FieldPath>),
    rank: fn(Value) -> Rank,
    strings: &mut Interner,
) -> Result<Item, String> {
    let (mut value, mut shown) = (None, None);
    select(json, by, |json| value = Some(json.trim_ascii()));
    of.into_iter().for_each(|of| select(json, of, |json| shown = Some(json.trim_ascii())));
    let there = |json: Option<&&str>| json.is_some_and(|json| **json != *"null");
    if !there(value.as_ref()) || (of.is_some() && !there(shown.as_ref())) {
        return Ok(Item::Nothing);
    }
    let mut key = Vec::new();
    row.write_key(&mut key);
    let key = String::from_utf8(key).expect("a key is JSON text").into();
    let value = Value::read(value.expect("it is there"), by, strings)?;
    Ok(Item::Ranked(Box::new(Ranked { rank: rank(value), key, of: shown.map(Into::into) })))
}

/// A histogram with more of a value is refused, so that their sums stay far below 2^63.
const MOST_TIMES: i64 = 1_000_000_000_000;

/// A histogram that was made elsewhere: names and whole numbers.
fn counts(json: &str, path: &FieldPath, strings: &mut Interner) -> Result<Arc<[Item]>, String> {
    let mut items = Vec::new();
    for member in sonic_rs::to_object_iter(json) {
        let (name, value) = member.map_err(|_| wrong(path, "an object", json))?;
        let times = value.as_raw_str().parse().ok().filter(|times| (0..=MOST_TIMES).contains(times));
        let times: i64 = times.ok_or_else(|| wrong(path, "an object of whole numbers up to 10^12", json))?;
        items.push(Item::Named(strings.share(&name), times));
    }
    Ok(items.into())
}
