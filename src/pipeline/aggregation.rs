//! `aggregate` in the pipeline file.

use std::borrow::Cow;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::model::OneOrMany;
use super::units::Span;
use crate::record::decimal::Decimal;
use crate::record::{self, Computed, Condition, FieldPath, Function, Test, Windows};

/// Counts and adds up rows, by group: one row for each group that has any, kept up to date.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateSpec {
    /// A source, an `upsert` or a `fuse`. Of a source without a key each record is an event that is counted once and for ever: the
    /// groups are a table then, and the events are not kept.
    pub from: String,
    /// Of a source without a key: an event that is delivered several times counts once, by its id. By default each record counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<IdSpec>,
    /// The fields that make a group: their names in its document, each with the path of its value, a string or an integer. With
    /// `*` in a path the row belongs to a group for each value. By default all rows are one group.
    #[serde(default)]
    pub by: IndexMap<String, FieldPath>,
    /// Computes it by windows of event time, each with a row of its own; by default over all time.
    pub window: Option<WindowSpec>,
    /// What is computed: the names of further fields of the document, and how.
    #[schemars(extend("minProperties" = 1))]
    pub compute: IndexMap<String, ComputeSpec>,
}

/// Which events are the same one, delivered again: the first that can be used counts, whatever groups the others belong to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdSpec {
    /// The field that holds the id, or several that hold its parts: strings or integers. An event without one is a dead letter.
    pub path: OneOrMany<FieldPath>,
    /// How long after the event that counted the id is remembered, by the clock of the program. May be changed. With
    /// `late: { until: … }` it is not given: ids are remembered for as long as events of their time count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
}

/// Windows of event time. Those that rows do not make are counted from 1970 on: days are those of UTC. Documents have `window_start_ns` and `window_end_ns`,
/// and so has the row key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["every"] }, { "required": ["hop"] }, { "required": ["session"] }]))]
pub struct WindowSpec {
    /// The field that holds a row's time: an integer, or an RFC 3339 time. A row without one can not be used.
    pub time: FieldPath,
    /// What an integer counts.
    #[serde(default)]
    pub unit: TimeUnit,
    /// Windows one beside the other, of each of these lengths: larger ones are made of smaller ones.
    pub every: Option<OneOrMany<Span>>,
    /// Windows that overlap.
    pub hop: Option<HopSpec>,
    /// What becomes of events that come late. Those of a source without a key may have an end.
    #[serde(default, skip_serializing_if = "Late::is_correct")]
    pub late: Late,
    /// With `late: { until: … }`: a partition that nothing came from for so long is not waited for. By default 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// Windows that rows make: those of a group that follow each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSpec>,
}

/// What becomes of events that come late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Late {
    /// However late it is, an event changes its windows.
    #[default]
    Correct,
    /// An event may be so much older than the watermark, which is the least of the greatest times of all partitions that are not
    /// idle. A later one is a dead letter. Windows that no event can change any more are final: they leave the state, and stay
    /// in the sinks. While a run catches up, the watermark stands still.
    Until(Span),
}

impl Late {
    fn is_correct(&self) -> bool {
        *self == Late::Correct
    }
}

/// Windows that overlap: one of this length starts each `every`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HopSpec {
    /// How long each is: a multiple of `every`.
    pub length: Span,
    /// How much later each starts than the one before.
    pub every: Span,
}

/// Windows that rows make: each from the first of the rows of a group that follow each other to a gap after the last one. A row
/// may join two of them, and one that is taken back may part them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// Rows that are less than this apart belong together.
    pub gap: Span,
}

/// What an integer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Nanoseconds.
    #[default]
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl WindowSpec {
    /// Compiled.
    ///
    /// # Panics
    /// If no windows are asked for, which validation sees to.
    pub fn compiled(&self) -> record::WindowSpec {
        let unit_ns = match self.unit {
            TimeUnit::Ns => 1,
            TimeUnit::Us => 1_000,
            TimeUnit::Ms => 1_000_000,
            TimeUnit::S => 1_000_000_000,
        };
        let windows = match (&self.every, &self.hop, &self.session) {
            (Some(lengths), ..) => Windows::Tumbling(lengths.as_slice().iter().map(Span::nanos).collect()),
            (_, Some(HopSpec { length, every }), _) => {
                Windows::Hopping { length_ns: length.nanos(), every_ns: every.nanos() }
            }
            (.., Some(SessionSpec { gap })) => Windows::Sessions { gap_ns: gap.nanos() },
            (None, None, None) => unreachable!("validated: there is one"),
        };
        let late = match self.late {
            Late::Correct => None,
            Late::Until(until) => {
                let idle = self.idle.unwrap_or(Span::from_millis(60_000));
                Some(record::Lateness { until_ns: until.nanos(), idle_ms: idle.nanos() as u64 / 1_000_000 })
            }
        };
        record::WindowSpec { time: self.time.clone(), unit_ns, windows, late }
    }
}

/// How a field is computed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ComputeSpec {
    /// A function of rows as they are.
    Name(ComputeName),
    /// A function of one of their fields.
    Fields(Box<ComputeFields>),
}

/// A function of rows as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComputeName {
    /// How many there are.
    Count,
}

/// A function of a field. Rows that lack it count for nothing; with `*` in its path all values of a row count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["count"] }, { "required": ["sum"] }, { "required": ["avg"] }, { "required": ["min"] }, { "required": ["max"] }, { "required": ["distinct"] }, { "required": ["histogram"] }, { "required": ["top"] }, { "required": ["first"] }, { "required": ["last"] }]))]
pub struct ComputeFields {
    /// How many values there are.
    pub count: Option<FieldPath>,
    /// The sum of numbers, exact to the 18th digit after the point; `null` if there are none.
    pub sum: Option<FieldPath>,
    /// Their mean, rounded to the 18th digit after the point; `null` if there are none.
    pub avg: Option<FieldPath>,
    /// The least value: truth values before numbers before strings; `null` if there are none.
    pub min: Option<FieldPath>,
    /// The greatest value; `null` if there are none.
    pub max: Option<FieldPath>,
    /// How many values there are that differ.
    pub distinct: Option<FieldPath>,
    /// How often each value is there: an object. Values that are objects of whole numbers are added up.
    pub histogram: Option<FieldPath>,
    /// The rows with the greatest values: a list.
    pub top: Option<TopSpec>,
    /// A field of the row with the least value, such as the earliest one; `null` if there is none.
    pub first: Option<EndSpec>,
    /// A field of the row with the greatest value, such as the latest one; `null` if there is none.
    pub last: Option<EndSpec>,
    /// Which rows count: paths of fields, and what each must be: a value, a list of values, or a mapping. Values are compared
    /// by their text.
    #[serde(rename = "where", default, skip_serializing_if = "IndexMap::is_empty")]
    pub conditions: IndexMap<String, ConditionSpec>,
}

/// The rows with the greatest values, each as `{"key": …, "by": …}`. Of equal ones the one with the lesser row key comes first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopSpec {
    /// So many rows at most.
    #[schemars(range(min = 1))]
    pub k: u32,
    /// The value: a number, a string, or a truth value.
    pub by: FieldPath,
    /// A field that is shown as `of`; rows that lack it are passed over.
    pub of: Option<FieldPath>,
}

/// A field of the first or the last row. Of several rows with the same value the one with the least row key is taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSpec {
    /// The field that is shown, of any type. Rows that lack it are passed over.
    pub of: FieldPath,
    /// The value by which rows are ordered, such as a time: a number, or a string.
    pub by: FieldPath,
}

/// What a field must be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConditionSpec {
    /// This value.
    One(Literal),
    /// One of these values.
    Many(#[schemars(length(min = 1))] Vec<Literal>),
    /// As the mapping says.
    Fields(ConditionFields),
}

/// What a field must be; all that is said must hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ConditionFields {
    /// None of these values. A missing field is none of them.
    pub not: Option<OneOrMany<Literal>>,
    /// A number that is not less.
    pub at_least: Option<Literal>,
    /// A number that is greater.
    pub above: Option<Literal>,
    /// A number that is not greater.
    pub at_most: Option<Literal>,
    /// A number that is less.
    pub below: Option<Literal>,
}

/// A string, a number, or a truth value; its text counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Literal(pub String);

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean"],
            "description": "a string, a number, true or false"
        })
    }
}

impl ComputeSpec {
    /// The field, compiled.
    ///
    /// # Panics
    /// If there is no function or several, or something that can not be read, which validation sees to.
    pub fn computed(&self, name: &str) -> Computed {
        let name = name.to_owned();
        match self {
            ComputeSpec::Name(ComputeName::Count) => {
                Computed { name, function: Function::Rows, conditions: Vec::new() }
            }
            ComputeSpec::Fields(fields) => {
                let conditions = fields.conditions.iter().flat_map(|(path, spec)| spec.conditions(path));
                Computed { name, function: fields.function(), conditions: conditions.collect() }
            }
        }
    }
}

impl ComputeFields {
    fn function(&self) -> Function {
        let ComputeFields { count, sum, avg, min, max, distinct, histogram, top, first, last, conditions: _ } =
            self.clone();
        let end = |spec: EndSpec, is_last| Function::End { is_last, by: spec.by, of: spec.of };
        let functions = [
            count.map(Function::Count),
            sum.map(Function::Sum),
            avg.map(Function::Average),
            min.map(Function::Min),
            max.map(Function::Max),
            distinct.map(Function::Distinct),
            histogram.map(Function::Histogram),
            top.map(|TopSpec { k, by, of }| Function::Top { k: k as usize, by, of }),
            first.map(|spec| end(spec, false)),
            last.map(|spec| end(spec, true)),
        ];
        functions.into_iter().flatten().next().expect("validated: there is exactly one")
    }
}

impl ConditionSpec {
    fn conditions(&self, path: &str) -> Vec<Condition> {
        let path: FieldPath = path.parse().expect("validated: it is a path");
        let texts = |literals: &[Literal]| literals.iter().map(|literal| literal.0.as_str().into()).collect();
        let tests = match self {
            ConditionSpec::One(literal) => vec![Test::Is(texts(std::slice::from_ref(literal)))],
            ConditionSpec::Many(literals) => vec![Test::Is(texts(literals))],
            ConditionSpec::Fields(fields) => {
                let bound = |literal: &Option<Literal>, too| {
                    let number = |literal: &Literal| Decimal::parse(&literal.0).expect("validated: it is a number");
                    literal.as_ref().map(|literal| (number(literal), too))
                };
                let bounds = [
                    (bound(&fields.at_least, true), None),
                    (bound(&fields.above, false), None),
                    (None, bound(&fields.at_most, true)),
                    (None, bound(&fields.below, false)),
                ];
                let bounds = bounds.into_iter().filter(|(from, to)| from.is_some() || to.is_some());
                let within = bounds.map(|(from, to)| Test::Within { from, to });
                let not = fields.not.iter().map(|not| Test::IsNot(texts(not.as_slice())));
                within.chain(not).collect()
            }
        };
        tests.into_iter().map(|test| Condition { path: path.clone(), test }).collect()
    }
}
