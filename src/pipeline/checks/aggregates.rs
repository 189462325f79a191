//! The fields of an `aggregate`: that each has a name of its own, and where rows are picked, by what.

use super::super::join;
use super::super::problem::Report;
use super::super::units::Span;
use super::{Settings, Text, duplicates, single_value};
use crate::record::FieldPath;
use crate::record::decimal::Decimal;

/// A row is in so many windows at most that overlap.
const MOST_PARTS: i64 = 1_000;

/// A hundred years.
const LONGEST: Span = Span::from_millis(36_525 * 86_400_000);

/// Fields of documents with windows.
const BOUNDS: [&str; 2] = ["window_start_ns", "window_end_ns"];

pub(super) fn check(aggregate: &Settings<'_>, report: &mut Report) {
    if let Some(window) = aggregate.mapping("window") {
        windows(&window, report);
        for group in ["by", "compute"] {
            let entries = aggregate.get(group).map_or(&[][..], |entry| entry.value.entries());
            for field in entries.iter().filter(|field| BOUNDS.contains(&field.key.as_str())) {
                let path = join(&join(&aggregate.path, group), &field.key);
                report.problem(
                    field.at,
                    &path,
                    format!("{path}: the window has a field {:?} already", field.key),
                    None,
                );
            }
        }
    }
    if let Some(id) = aggregate.mapping("id") {
        ids(aggregate, &id, report);
    }
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

/// Ids are remembered for as long as events of their time count, if that has an end; otherwise it must be said for how long.
fn ids(aggregate: &Settings<'_>, id: &Settings<'_>, report: &mut Report) {
    let paths = id.texts("path");
    paths.iter().for_each(|path| single_value(path, report));
    for again in duplicates(&paths) {
        again.problem(report, format!("{:?} is in the list already", again.text), None);
    }
    let keep = id.text("keep");
    keep.iter().for_each(|keep| not_too_long(keep, report));
    match (keep, has_end(aggregate)) {
        (Some(keep), true) => {
            let message = "with window.late.until ids are remembered for as long as events of their time count";
            keep.problem(report, message, Some("take keep out".to_owned()));
        }
        (None, false) => {
            let hint = "say for how long: keep: 24h; or let windows end: window.late.until".to_owned();
            report.problem(id.node.at, &id.path, format!("{}: ids would be remembered for ever", id.path), Some(hint));
        }
        _ => {}
    }
}

/// Whether events may come too late.
pub(super) fn has_end(aggregate: &Settings<'_>) -> bool {
    let late = aggregate.mapping("window").and_then(|window| window.mapping("late"));
    late.is_some_and(|late| late.get("until").is_some())
}

fn windows(window: &Settings<'_>, report: &mut Report) {
    window.text("time").iter().for_each(|time| single_value(time, report));
    let lengths = window.texts("every");
    for again in duplicates(&lengths) {
        again.problem(report, format!("{:?} is in the list already", again.text), None);
    }
    window.mapping("session").and_then(|session| session.text("gap")).iter().for_each(|gap| not_too_long(gap, report));
    let Some(hop) = window.mapping("hop") else {
        return lengths.iter().for_each(|length| not_too_long(length, report));
    };
    let (Some(length), Some(every)) = (hop.text("length"), hop.text("every")) else { return };
    not_too_long(&length, report);
    let (Ok(whole), Ok(part)) = (length.text.parse::<Span>(), every.text.parse::<Span>()) else { return };
    if whole.nanos() % part.nanos() != 0 {
        length.problem(report, format!("must be a multiple of every ({part}), not {whole}"), None);
    } else if whole.nanos() / part.nanos() > MOST_PARTS {
        let message =
            format!("must be at most {MOST_PARTS} times every ({part}), not {whole}: each row is in so many windows");
        length.problem(report, message, None);
    }
}

/// Times are so far from the ends of what can be written down.
fn not_too_long(length: &Text<'_>, report: &mut Report) {
    if length.text.parse::<Span>().is_ok_and(|span| span > LONGEST) {
        length.problem(report, format!("must be at most {LONGEST}, not {:?}", length.text), None);
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
