//! Groups of events, as a table keeps them: pieces, each a record with a key of its own.
//!
//! | piece | key | payload |
//! |---|---|---|
//! | what is small of a group | the values of `by`; the bounds of the window, if there is one | JSON: how many events there are, then what is known function by function |
//! | a value that `distinct` has seen | the same, the function's place, and the value as JSON text | `1` |
//! | a value of a `histogram` | the same, the function's place, and the value's name | how often it is there |

use std::borrow::Cow;
use std::collections::HashSet;

use flowstone_operators::accumulate::Accumulation;
use flowstone_operators::aggregate::{Accumulator, Bag, Group, Sum};
use flowstone_operators::route::Route;
use flowstone_operators::table::Keyed;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::document::{GroupRow, Results};
use super::fields::{Field, Fields};
use super::key::{GroupKey, Window};
use super::ranked::Ranked;
use super::spec::{AggregateSpec, Function};
use super::value::Value;
use super::window::WindowSpec;
use crate::record::Interner;
use crate::record::packed::{Record, RecordWriter, encode_key, encode_parts};
use crate::record::scalar::{Key, Scalar, ScalarRef, write_integer};

/// A piece of a group. Those of one group, and of all its windows, have one route.
#[derive(Clone, Debug)]
pub(crate) struct Piece(pub(crate) Record);

impl Keyed for Piece {
    fn key_hash(&self) -> u64 {
        xxh3_64(self.0.key_bytes())
    }

    fn same_key(&self, other: &Self) -> bool {
        self.0.key_bytes() == other.0.key_bytes()
    }

    fn same_row(&self, other: &Self) -> bool {
        self.0.payload() == other.0.payload()
    }
}

/// What is small of a function's state.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Small<'a> {
    Empty,
    Count(i64),
    /// Of so many numbers.
    Sum(Sum, i64),
    Least(Cow<'a, Value>),
    Greatest(Cow<'a, Value>),
    Best(u32, Cow<'a, [Ranked]>),
    /// The values have pieces of their own.
    Values,
}

impl<'a> Small<'a> {
    fn of(field: &'a Field) -> Self {
        match field {
            Field::Empty => Small::Empty,
            Field::Count(count) => Small::Count(*count),
            Field::Sum(sum, count) => Small::Sum(*sum, *count),
            Field::Least(value) => Small::Least(Cow::Borrowed(value)),
            Field::Greatest(value) => Small::Greatest(Cow::Borrowed(value)),
            Field::Best(k, first) => Small::Best(*k, Cow::Borrowed(first)),
            Field::Members(_) | Field::Histogram(_) => Small::Values,
            Field::Bag(_) | Field::Ranked(_) => unreachable!("of events nobody keeps what may be taken back"),
        }
    }

    fn restore(self, field: &mut Field) {
        *field = match self {
            Small::Empty | Small::Values => return,
            Small::Count(count) => Field::Count(count),
            Small::Sum(sum, count) => Field::Sum(sum, count),
            Small::Least(value) => Field::Least(value.into_owned()),
            Small::Greatest(value) => Field::Greatest(value.into_owned()),
            Small::Best(k, first) => Field::Best(k, first.into_owned()),
        };
    }
}

/// A table of groups of events.
pub(crate) struct Kept {
    results: Results,
    window: Option<WindowSpec>,
    /// How many fields `by` has.
    by: usize,
    /// Those that read a field, in the order of the file.
    functions: Vec<Function>,
    writer: RecordWriter,
    key: Vec<u8>,
    payload: Vec<u8>,
    strings: Interner,
}

pub(super) const WRITTEN_HERE: &str = "pieces are written here, and the journal's checksums hold";

impl Kept {
    pub(crate) fn new(spec: &AggregateSpec) -> Self {
        Kept {
            results: Results::new(spec),
            window: spec.window.clone(),
            by: spec.by.len(),
            functions: spec.compute.iter().filter(|of| of.reads_fields()).map(|of| of.function.clone()).collect(),
            writer: RecordWriter::default(),
            key: Vec::new(),
            payload: Vec::new(),
            strings: Interner::new(),
        }
    }

    /// Of how many values the key of a group consists.
    fn group_parts(&self) -> usize {
        self.by + if self.window.is_some() { 2 } else { 0 }
    }

    /// The piece with what is in `self.payload`; for a value of a function with its place and its name.
    fn piece(&mut self, key: &GroupKey, value: Option<(usize, &str)>) -> Piece {
        self.key.clear();
        match (key.window, value) {
            (None, None) => encode_key(&key.by, &mut self.key),
            (window, value) => {
                let bounds = window.map(|window| window.bounds_ns().map(ScalarRef::Int));
                let value = value.map(|(place, name)| [ScalarRef::Int(place as i64), ScalarRef::Str(name)]);
                let count = self.group_parts() + if value.is_some() { 2 } else { 0 };
                let parts = key.by.parts().iter().map(Scalar::as_ref);
                let parts = parts.chain(bounds.into_iter().flatten()).chain(value.into_iter().flatten());
                encode_parts(count, parts, &mut self.key);
            }
        }
        self.writer.key_bytes(&self.key, key.route());
        Piece(self.writer.of_table(Some(&self.payload)))
    }

    /// The piece of a value that is there so many times.
    fn value(&mut self, key: &GroupKey, place: usize, name: &str, times: i64) -> Piece {
        self.payload.clear();
        write_integer(times, &mut self.payload);
        self.piece(key, Some((place, name)))
    }

    /// Those of the values that `change` adds to `group`.
    fn values(&mut self, key: &GroupKey, group: &Fields, change: &Fields, note: &mut impl FnMut(Piece)) {
        let mut name = Vec::new();
        for (place, change) in change.all().iter().enumerate() {
            match (change, group.get(place)) {
                (Field::Members(values), known) => {
                    let is_known = |value: &&Value| matches!(known, Field::Members(known) if known.contains(*value));
                    for value in values.iter().filter(|value| !is_known(value)) {
                        name.clear();
                        value.write_json(&mut name);
                        note(self.value(key, place, std::str::from_utf8(&name).expect("JSON text"), 1));
                    }
                }
                (Field::Histogram(values), known) => {
                    for (name, times) in values.iter() {
                        let before = if let Field::Histogram(known) = known { known.times(name) } else { 0 };
                        note(self.value(key, place, name, before + times));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Accumulation for Kept {
    type Key = GroupKey;
    type Of = Fields;
    type Piece = Piece;
    type Row = GroupRow;

    fn row(&mut self, key: &GroupKey, group: &Group<Fields>) -> GroupRow {
        self.results.row(key, group)
    }

    fn key_of_row(&self, row: &GroupRow) -> GroupKey {
        row.0.key.clone()
    }

    fn above(&self, key: &GroupKey, larger: &mut Vec<GroupKey>) {
        self.window.iter().for_each(|window| window.above(key, larger));
    }

    fn is_kept(&self, key: &GroupKey) -> bool {
        self.window.as_ref().is_none_or(|spec| key.window.is_some_and(|window| spec.is_shown(window)))
    }

    fn add(&mut self, key: &GroupKey, group: &mut Group<Fields>, change: Group<Fields>, mut note: impl FnMut(Piece)) {
        self.values(key, &group.of, &change.of, &mut note);
        group.merge(change);
        let payload = &mut self.payload;
        payload.clear();
        payload.push(b'[');
        write_integer(group.rows, payload);
        payload.extend_from_slice(b",[");
        for (place, field) in group.of.all().iter().enumerate() {
            if place > 0 {
                payload.push(b',');
            }
            serde_json::to_writer(&mut *payload, &Small::of(field)).expect("plain data becomes JSON");
        }
        payload.extend_from_slice(b"]]");
        note(self.piece(key, None));
    }

    fn final_at(&self, key: &GroupKey) -> Option<i64> {
        let is_final = self.window.as_ref().is_some_and(|window| window.late.is_some());
        key.window.filter(|_| is_final).map(Window::end_ns)
    }

    fn pieces(&mut self, key: &GroupKey, group: &Group<Fields>, mut note: impl FnMut(Piece)) {
        self.values(key, &Fields::default(), &group.of, &mut note);
        self.payload.clear();
        self.payload.push(b'0');
        note(self.piece(key, None));
    }

    fn is_first(&self, piece: &Piece) -> bool {
        piece.0.key().parts().count() == self.group_parts()
    }

    fn key_of_piece(&self, piece: &Piece) -> GroupKey {
        let mut parts = piece.0.key().parts();
        let by = match (self.by, parts.clone().take(self.by).map(Scalar::from)) {
            (1, mut parts) => Key::One(parts.next().expect(WRITTEN_HERE)),
            (_, parts) => Key::Composite(parts.collect()),
        };
        let window = self.window.as_ref().map(|_| {
            let mut bound = |at| match parts.nth(at) {
                Some(ScalarRef::Int(bound)) => bound,
                other => unreachable!("{WRITTEN_HERE}: {other:?}"),
            };
            Window::new(bound(self.by), bound(0))
        });
        GroupKey { by, window }
    }

    fn restore(&mut self, piece: &Piece, group: &mut Group<Fields>) {
        let payload = piece.0.payload().expect("it is not gone");
        let mut parts = piece.0.key().parts().skip(self.group_parts());
        let Some(place) = parts.next() else {
            let (rows, fields): (i64, Vec<Small<'_>>) = serde_json::from_slice(payload).expect(WRITTEN_HERE);
            group.rows = rows;
            fields.into_iter().enumerate().for_each(|(place, small)| small.restore(group.of.get_mut(place)));
            return;
        };
        let (ScalarRef::Int(place), Some(ScalarRef::Str(name))) = (place, parts.next()) else {
            unreachable!("{WRITTEN_HERE}: {piece:?}");
        };
        let times: i64 = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).expect(WRITTEN_HERE);
        let place = usize::try_from(place).expect(WRITTEN_HERE);
        let field = group.of.get_mut(place);
        match &self.functions[place] {
            Function::Distinct(path) => {
                let value = Value::read(name, path, &mut self.strings).expect(WRITTEN_HERE);
                if let Field::Empty = field {
                    *field = Field::Members(HashSet::new());
                }
                if let Field::Members(values) = field {
                    values.insert(value);
                }
            }
            _ => {
                if let Field::Empty = field {
                    *field = Field::Histogram(Bag::default());
                }
                if let Field::Histogram(values) = field {
                    let name = self.strings.text(name);
                    values.add(name.clone(), times - values.times(&name));
                }
            }
        }
    }

    fn is_gone(&self, piece: &Piece) -> bool {
        piece.0.is_deletion()
    }
}
