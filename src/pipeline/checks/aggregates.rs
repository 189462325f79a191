//! The fields of an `aggregate`: that each has a name of its own, and where rows are picked, by what.

use super::super::join;
use super::super::problem::Report;
use super::fields::single_value;
use super::{Settings, Text};
use crate::record::FieldPath;
use crate::record::decimal::Decimal;

pub(super) fn check(aggregate: &Settings<'_>, report: &mut Report) {
    let by = aggregate.get("by").map_or(&[][..], |by| by.value.entries());
    let Some(compute) = aggregate.get("compute") else { return };
    for field in compute.value.entries() {
        let path = join(&join(&aggregate.path, "compute"), &field.key);
        if by.iter().any(|by| by.key == field.key) {
            let message = format!("{path}: {:?} is a field of by already", field.key);
            report.problem(field.at, &path, message, Some("give it another name".to_owned()));
        }
        let settings = Settings { path, node: &field.value };
        let ends = ["top", "first", "last"].into_iter().filter_map(|kind| settings.mapping(kind));
        let paths = ends.flat_map(|end| ["by", "of"].map(|field| end.text(field))).flatten();
        paths.for_each(|path| single_value(&path, report));
        if let Some(conditions) = settings.mapping("where") {
            conditions_of(&conditions, report);
        }
    }
}

fn conditions_of(conditions: &Settings<'_>, report: &mut Report) {
    for condition in conditions.node.entries() {
        let path = join(&conditions.path, &condition.key);
        if let Err(message) = condition.key.parse::<FieldPath>() {
            report.problem(condition.at, &path, format!("{path}: {message}"), None);
        }
        let fields = Settings { path, node: &condition.value };
        let bounds = ["at_least", "above", "at_most", "below"].into_iter().filter_map(|bound| fields.text(bound));
        bounds.for_each(|bound| number(&bound, report));
    }
}

fn number(bound: &Text<'_>, report: &mut Report) {
    if Decimal::parse(bound.text).is_none() {
        bound.problem(report, format!("expected a number below 1.7e20, not {:?}", bound.text), None);
    }
}
