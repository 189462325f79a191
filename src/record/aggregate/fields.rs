//! What is known of a group, function by function.

use std::collections::HashSet;

use flowstone_operators::aggregate::{Accumulator, Bag, Sum};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::ranked::Ranked;
use super::value::Value;
use crate::record::decimal::Decimal;

/// What a row gives to one function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Item {
    /// It lacks the field.
    Nothing,
    Once,
    Number(Decimal),
    Value(Value),
    /// A value of a histogram, so many times.
    Named(SmolStr, i64),
    Several(Box<[Item]>),
    Ranked(Box<Ranked>),
    /// Of events, which are never taken back, no more is kept than what is shown: the least value, or the greatest one,
    Least(Value),
    Greatest(Value),
    /// whether a value was there,
    Member(Value),
    /// and the first so many.
    Best(Box<Ranked>, u32),
}

/// What a row gives to the functions that read a field, in their order.
pub(crate) type Inputs = Box<[Item]>;

/// What is known of the values of one function. It is `Empty` until there is one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Field {
    #[default]
    Empty,
    Count(i64),
    /// Of so many numbers.
    Sum(Sum, i64),
    Bag(Bag<Value>),
    Histogram(Bag<SmolStr>),
    Ranked(Bag<Ranked>),
    Least(Value),
    Greatest(Value),
    Members(HashSet<Value>),
    /// The first so many, in order.
    Best(u32, Vec<Ranked>),
}

/// What is known of a group: its functions that read a field, in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fields(Box<[Field]>);

impl Fields {
    /// Of the function at this place.
    pub(super) fn get(&self, place: usize) -> &Field {
        self.0.get(place).unwrap_or(&Field::Empty)
    }

    /// Of all functions.
    pub(super) fn all(&self) -> &[Field] {
        &self.0
    }

    /// Makes sure that there are so many.
    #[inline]
    fn reserve(&mut self, functions: usize) {
        if self.0.len() < functions {
            let mut fields = std::mem::take(&mut self.0).into_vec();
            fields.resize(functions, Field::Empty);
            self.0 = fields.into();
        }
    }

    /// Of the function at this place.
    pub(super) fn get_mut(&mut self, place: usize) -> &mut Field {
        self.reserve(place + 1);
        &mut self.0[place]
    }
}

impl Field {
    fn add(&mut self, item: Item, times: i64) {
        match item {
            Item::Nothing => {}
            Item::Once => {
                if let Field::Empty = self {
                    *self = Field::Count(0);
                }
                if let Field::Count(count) = self {
                    *count += times;
                }
            }
            Item::Ranked(ranked) => {
                if let Field::Empty = self {
                    *self = Field::Ranked(Bag::default());
                }
                if let Field::Ranked(bag) = self {
                    bag.add(*ranked, times);
                }
            }
            Item::Number(number) => {
                if let Field::Empty = self {
                    *self = Field::Sum(Sum::default(), 0);
                }
                if let Field::Sum(sum, count) = self {
                    sum.add(number.units(), times);
                    *count += times;
                }
            }
            Item::Value(value) => {
                if let Field::Empty = self {
                    *self = Field::Bag(Bag::default());
                }
                if let Field::Bag(bag) = self {
                    bag.add(value, times);
                }
            }
            Item::Named(name, count) => {
                if let Field::Empty = self {
                    *self = Field::Histogram(Bag::default());
                }
                if let Field::Histogram(bag) = self {
                    bag.add(name, count.wrapping_mul(times));
                }
            }
            Item::Least(value) => self.merge(Field::Least(value)),
            Item::Greatest(value) => self.merge(Field::Greatest(value)),
            Item::Best(ranked, k) => self.merge(Field::Best(k, vec![*ranked])),
            Item::Member(value) => {
                if let Field::Empty = self {
                    *self = Field::Members(HashSet::new());
                }
                if let Field::Members(values) = self {
                    values.insert(value);
                }
            }
            Item::Several(items) => items.into_iter().for_each(|item| self.add(item, times)),
        }
    }

    fn merge(&mut self, other: Field) {
        match (self, other) {
            (_, Field::Empty) => {}
            (Field::Count(count), Field::Count(more)) => *count += more,
            (Field::Ranked(bag), Field::Ranked(other)) => bag.merge(other),
            (Field::Sum(sum, count), Field::Sum(other, more)) => {
                sum.merge(other);
                *count += more;
            }
            (Field::Bag(bag), Field::Bag(other)) => bag.merge(other),
            (Field::Histogram(bag), Field::Histogram(other)) => bag.merge(other),
            (Field::Least(value), Field::Least(other)) if *value > other => *value = other,
            (Field::Greatest(value), Field::Greatest(other)) if *value < other => *value = other,
            (Field::Least(_), Field::Least(_)) | (Field::Greatest(_), Field::Greatest(_)) => {}
            (Field::Members(values), Field::Members(others)) => values.extend(others),
            (Field::Best(k, first), Field::Best(_, others)) => {
                others.into_iter().for_each(|ranked| insert(first, ranked, *k as usize));
            }
            (empty @ Field::Empty, other) => *empty = other,
            (known, other) => unreachable!("a function has values of one kind, not {known:?} and {other:?}"),
        }
    }
}

/// Keeps the first `most` in order.
fn insert(first: &mut Vec<Ranked>, ranked: Ranked, most: usize) {
    let at = first.partition_point(|other| *other < ranked);
    if at < most {
        first.insert(at, ranked);
        first.truncate(most);
    }
}

impl Accumulator for Fields {
    type Input = Inputs;

    fn add(&mut self, inputs: Inputs, times: i64) {
        self.reserve(inputs.len());
        self.0.iter_mut().zip(inputs).for_each(|(field, item)| field.add(item, times));
    }

    fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        self.0.iter_mut().zip(other.0).for_each(|(field, other)| field.merge(other));
    }

    fn glance(&self) -> u64 {
        self.0.iter().map(|field| u64::from(matches!(field, Field::Empty))).sum()
    }
}
