//! What is known of a group, function by function.

use std::sync::Arc;

use flowstone_operators::aggregate::{Accumulator, Bag, Sum};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::ranked::Ranked;
use super::value::Value;
use crate::record::decimal::Decimal;

/// What a row gives to one function.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// It lacks the field.
    Nothing,
    Once,
    Number(Decimal),
    Value(Value),
    /// A value of a histogram, so many times.
    Named(Arc<str>, i64),
    Several(Arc<[Item]>),
    Ranked(Box<Ranked>),
}

/// What a row gives to the functions that read a field, in their order.
pub(crate) type Inputs = SmallVec<[Item; 2]>;

/// What is known of the values of one function. It is `Empty` until there is one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Field {
    #[default]
    Empty,
    Count(i64),
    /// Of so many numbers.
    Sum(Sum, i64),
    Bag(Bag<Value>),
    Histogram(Bag<Arc<str>>),
    Ranked(Bag<Ranked>),
}

/// What is known of a group: its functions that read a field, in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fields(SmallVec<[Field; 1]>);

impl Fields {
    /// Of the function at this place.
    pub(super) fn get(&self, place: usize) -> &Field {
        self.0.get(place).unwrap_or(&Field::Empty)
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
            Item::Several(items) => items.iter().for_each(|item| self.add(item.clone(), times)),
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
            (empty @ Field::Empty, other) => *empty = other,
            (known, other) => unreachable!("a function has values of one kind, not {known:?} and {other:?}"),
        }
    }
}

impl Accumulator for Fields {
    type Input = Inputs;

    fn add(&mut self, inputs: Inputs, times: i64) {
        if self.0.len() < inputs.len() {
            self.0.resize(inputs.len(), Field::Empty);
        }
        self.0.iter_mut().zip(inputs).for_each(|(field, item)| field.add(item, times));
    }

    fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        self.0.iter_mut().zip(other.0).for_each(|(field, other)| field.merge(other));
    }
}
