//! The fields of `join` and `distinct` that must fit each other.

use super::super::problem::Report;
use super::{Group, Item, Outline, Settings, duplicates, single_value};

pub(super) fn check(outline: &Outline<'_>, operator: &Item<'_>, report: &mut Report) {
    let Some(join) = operator.kind("join") else { return };
    let on = join.texts("on");
    let with = join.mapping("with");
    let with_on = with.as_ref().map(|with| with.texts("on")).unwrap_or_default();
    for paths in [&on, &with_on] {
        duplicates(paths)
            .for_each(|again| again.problem(report, format!("{:?} is in the list already", again.text), None));
        paths.iter().for_each(|path| single_value(path, report));
    }
    if let (false, Some(first)) = (on.is_empty() || on.len() == with_on.len(), with_on.first()) {
        let message =
            format!("on has {} of them, and with.on {}: they are compared one by one", on.len(), with_on.len());
        first.problem(report, message, None);
    }
    if join.text("as_of").is_some_and(|as_of| as_of.text == ARRIVAL) {
        as_of_arrival(outline, &join, report);
    }
}

const ARRIVAL: &str = "arrival";

/// Each row has one partner at most, and what both sides are in an epoch is known before it is sealed.
fn as_of_arrival(outline: &Outline<'_>, join: &Settings<'_>, report: &mut Report) {
    let with = join.mapping("with");
    if let Some(on) = with.as_ref().and_then(|with| with.texts("on").into_iter().next()) {
        let hint = "take with.on out, and if need be read a table that has the value as its key".to_owned();
        on.problem(report, "as_of: arrival looks rows up by their key", Some(hint));
    }
    let sides = join.texts("from").into_iter().chain(with.iter().flat_map(|with| with.texts("from")));
    for from in sides {
        // A side that is not there, or has no key, is reported elsewhere.
        let Some(item) = outline.find(from.text).filter(|item| item.group != Group::Source) else { continue };
        if let Some(slow) = without_table(outline, item) {
            let message = format!(
                "as_of: arrival reads rows that tables keep, as they are or as filter and map make them, and {slow:?} keeps none"
            );
            let hint = "take as_of out: then pairs are kept up to date".to_owned();
            from.problem(report, message, Some(hint));
        }
    }
}

/// The operator from which rows come that no table keeps, if there is one.
fn without_table<'t>(outline: &Outline<'t>, item: &Item<'t>) -> Option<&'t str> {
    let mut item = item;
    // In circles nobody gets further than there are operators.
    for _ in 0..outline.items.len() {
        let Some(from) = ["filter", "map"].into_iter().find_map(|kind| item.kind(kind)?.text("from")) else { break };
        item = outline.find(from.text)?;
    }
    let keeps = match item.group {
        Group::Source => true,
        Group::Sink => return None,
        Group::Operator => {
            let of_events = |settings: Settings<'_>| {
                let from = settings.text("from").and_then(|from| outline.find(from.text));
                from.is_some_and(|from| from.group == Group::Source && !from.is_keyed())
            };
            let stays = |join: Settings<'_>| join.text("as_of").is_some_and(|as_of| as_of.text == ARRIVAL);
            item.is("upsert") || item.kind("aggregate").is_some_and(of_events) || item.kind("join").is_some_and(stays)
        }
    };
    (!keeps).then_some(item.name)
}
