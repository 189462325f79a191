//! Which rows count.

use std::sync::Arc;

use super::places::{PlaceId, Places};
use super::value::Value;
use crate::record::decimal::Decimal;
use crate::record::{FieldPath, Interner};

/// What a field of a row must be like. A list is met if one of its elements is.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The field.
    pub path: FieldPath,
    /// What it must be like.
    pub test: Test,
}

/// What a value must be like.
#[derive(Clone, Debug)]
pub enum Test {
    /// Its text is one of these.
    Is(Vec<Arc<str>>),
    /// Its text is none of these; a missing one is none of them.
    IsNot(Vec<Arc<str>>),
    /// It is a number between these.
    Within {
        /// At least, and whether it may be just that.
        from: Option<(Decimal, bool)>,
        /// At most, and whether it may be just that.
        to: Option<(Decimal, bool)>,
    },
}

/// A condition, and where its field is.
pub(super) struct Met {
    test: Test,
    at: PlaceId,
}

impl Met {
    pub(super) fn new(condition: &Condition, places: &mut Places) -> Self {
        Met { test: condition.test.clone(), at: places.add(&condition.path) }
    }

    /// Whether a row meets the condition.
    pub(super) fn is_met(&self, json: &str, places: &Places, strings: &mut Interner) -> bool {
        let (mut any, mut unwanted) = (false, false);
        let path = places.path(self.at);
        places.each(json, self.at, |json| {
            let Ok(value) = Value::read(json, path, strings) else { return };
            match &self.test {
                Test::Is(texts) => any |= has(texts, value),
                Test::IsNot(texts) => unwanted |= has(texts, value),
                Test::Within { from, to } => {
                    let Value::Number(number) = value else { return };
                    let is_above = from.is_none_or(|(least, too)| number > least || (too && number == least));
                    any |= is_above && to.is_none_or(|(most, too)| number < most || (too && number == most));
                }
            }
        });
        match &self.test {
            Test::IsNot(_) => !unwanted,
            _ => any,
        }
    }
}

fn has(texts: &[Arc<str>], value: Value) -> bool {
    let name = value.name();
    texts.iter().any(|text| **text == *name)
}
