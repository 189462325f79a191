//! `from:` and `after:`: that they lead to something, to something that fits, and not round in circles.

use super::super::problem::{Report, name_hint};
use super::names::DEAD_LETTERS;
use super::{Group, Item, Outline, Text, aggregates, duplicates};

pub(super) fn check(outline: &Outline<'_>, report: &mut Report) {
    let cycles = operator_cycles(outline, report);
    for operator in outline.group(Group::Operator) {
        for reference in reads(operator) {
            let closes = |cycle: &Vec<&str>| cycle.contains(&operator.name) && cycle.contains(&reference.text);
            // Of a cycle only the cycle is reported.
            if !cycles.iter().any(closes) {
                operator_from(outline, operator, &reference, report);
            }
        }
    }
    for item in &outline.items {
        if let Some(operations) = operations(item) {
            operations_from(outline, item, &operations, report);
        }
    }
    for sink in outline.group(Group::Sink) {
        if let Some(from) = sink.settings().text("from") {
            sink_from(outline, sink, &from, report);
        }
        if let Some(after) = sink.settings().text("after") {
            sink_after(outline, sink, &after, report);
        }
    }
    after_cycles(outline, report);
    unused(outline, report);
}

/// What an operator reads.
fn reads<'t>(operator: &Item<'t>) -> Vec<Text<'t>> {
    let of = |kind: &&str| operator.kind(kind);
    let settings = KINDS.iter().filter_map(of);
    settings
        .flat_map(|s| {
            let partners = s.mapping("with").map(|with| with.texts("from")).unwrap_or_default();
            s.texts("from").into_iter().chain(partners)
        })
        .collect()
}

/// What an operator may be.
const KINDS: [&str; 7] = ["fuse", "aggregate", "filter", "map", "join", "distinct", "upsert"];

/// Where a table reads how operations stand. Without a key, or if it is no table, that is reported elsewhere.
fn operations<'t>(item: &Item<'t>) -> Option<Text<'t>> {
    match item.group {
        Group::Source => item.settings().operations().filter(|_| item.is_keyed()),
        Group::Operator => item.kind("upsert").and_then(|upsert| upsert.operations()),
        Group::Sink => None,
    }
}

fn operations_from(outline: &Outline<'_>, table: &Item<'_>, from: &Text<'_>, report: &mut Report) {
    let reader = "operations come from a source without a key";
    let Some(target) = outline.find(from.text) else {
        let valid = outline.group(Group::Source).filter(|source| !source.is_keyed()).map(|source| source.name);
        let message = format!("no source is named {:?}", from.text);
        return from.problem(report, message, name_hint(from.text, valid));
    };
    let name = target.name;
    if target.group != Group::Source {
        return from.problem(report, format!("{reader}, and {name:?} is {}", target.group.one()), None);
    }
    if target.is_keyed() {
        let hint = format!("take {}.key out: all that is said of an operation counts, in its order", target.path());
        return from.problem(report, format!("{reader}, and the source {name:?} has a key"), Some(hint));
    }
    if reads(table).iter().any(|read| read.text == name) {
        let hint = "give operations a source of their own".to_owned();
        from.problem(
            report,
            format!("the records of {name:?} are rows, and can not be operations as well"),
            Some(hint),
        );
    }
}

/// What an operator may read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Fuse,
    /// Reads rows of any kind. The name of its kind.
    Rows(&'static str),
    Upsert,
}

impl Reader {
    fn of(operator: &Item<'_>) -> Self {
        match KINDS.into_iter().find(|kind| operator.is(kind)) {
            Some("fuse") => Reader::Fuse,
            Some("upsert") | None => Reader::Upsert,
            Some(kind) => Reader::Rows(kind),
        }
    }

    /// In words, what it reads.
    fn rule(self) -> String {
        match self {
            Reader::Fuse => "fuse reads a source with a key or an upsert".to_owned(),
            Reader::Rows("aggregate") => "aggregate reads a source or an operator".to_owned(),
            Reader::Rows(kind) => format!("{kind} reads a source with a key or an operator"),
            Reader::Upsert => "upsert reads sources without a key".to_owned(),
        }
    }

    fn reads(self, operator: &Item<'_>) -> bool {
        match self {
            // One of no known kind is reported elsewhere.
            Reader::Fuse => !matches!(Reader::of(operator), Reader::Fuse | Reader::Rows(_)),
            Reader::Rows(_) => true,
            Reader::Upsert => false,
        }
    }
}

fn operator_from(outline: &Outline<'_>, operator: &Item<'_>, from: &Text<'_>, report: &mut Report) {
    let kind = Reader::of(operator);
    let reader = kind.rule();
    let Some(target) = outline.find(from.text) else {
        let node = from.text.split_once('.').and_then(|(node, _)| outline.find(node));
        if node.is_some_and(rejects) || from.text == DEAD_LETTERS {
            return from.problem(report, format!("{reader}; only sinks read {:?}", from.text), None);
        }
        let fits = |item: &&Item<'_>| match item.group {
            Group::Source => true,
            Group::Operator => KINDS.into_iter().any(|k| item.is(k)) && kind.reads(item),
            Group::Sink => false,
        };
        let valid = outline.items.iter().filter(fits).map(|item| item.name);
        let what = if kind == Reader::Upsert { "no source" } else { "no source or operator" };
        return from.problem(report, format!("{what} is named {:?}", from.text), name_hint(from.text, valid));
    };
    let name = target.name;
    match (target.group, kind) {
        (Group::Source, Reader::Fuse | Reader::Rows(_)) if !target.is_keyed() && kind != Reader::Rows("aggregate") => {
            let hint = format!("say which field identifies a row: {}.key", target.path());
            from.problem(report, format!("{reader}, and the source {name:?} has no key"), Some(hint));
        }
        (Group::Source, Reader::Rows(_)) if !target.is_keyed() && has_sessions(operator) => {
            let hint = format!("say which field identifies a row: {}.key", target.path());
            let message = format!("window.session needs rows that are kept, and the source {name:?} has no key");
            from.problem(report, message, Some(hint));
        }
        _ if kind == Reader::Rows("aggregate")
            && has_end(operator)
            && (target.group != Group::Source || target.is_keyed()) =>
        {
            let message =
                format!("window.late.until needs events that come once, and {name:?} has rows that may change");
            from.problem(report, message, Some("take late out: all rows count, however late they come".to_owned()));
        }
        _ if kind == Reader::Rows("aggregate")
            && has_ids(operator)
            && (target.group != Group::Source || target.is_keyed()) =>
        {
            let message = format!("id tells events apart, and {name:?} has rows, each of which counts once by its key");
            from.problem(report, message, Some("take id out".to_owned()));
        }
        (Group::Source, Reader::Upsert) if target.is_keyed() => {
            let hint = format!("remove {}.key: the upsert has one", target.path());
            from.problem(report, format!("{reader}, and the source {name:?} has a key"), Some(hint));
        }
        (Group::Source, _) => {}
        (Group::Operator, _) if kind.reads(target) => {}
        (Group::Operator, _) => {
            let kind = match Reader::of(target) {
                Reader::Fuse => "a fuse".to_owned(),
                Reader::Rows("aggregate") => "an aggregate".to_owned(),
                Reader::Rows(kind) => format!("a {kind}"),
                Reader::Upsert => "an upsert".to_owned(),
            };
            from.problem(report, format!("{reader}, and {name:?} is {kind}"), None);
        }
        (Group::Sink, _) => from.problem(report, format!("{reader}, and {name:?} is a sink"), None),
    }
}

fn has_sessions(operator: &Item<'_>) -> bool {
    let window = operator.kind("aggregate").and_then(|aggregate| aggregate.mapping("window"));
    window.is_some_and(|window| window.get("session").is_some())
}

/// Whether events may come too late.
fn has_end(operator: &Item<'_>) -> bool {
    operator.kind("aggregate").is_some_and(|aggregate| aggregates::has_end(&aggregate))
}

/// Whether it counts events once that are delivered again.
fn has_ids(operator: &Item<'_>) -> bool {
    operator.kind("aggregate").is_some_and(|aggregate| aggregate.get("id").is_some())
}

/// Whether there is a collection of what it can not use.
fn rejects(item: &Item<'_>) -> bool {
    matches!(Reader::of(item), Reader::Fuse | Reader::Rows(_))
}

/// Whether its rows are documents of a `fuse`: those of one, or what a `filter` leaves of them.
pub(super) fn has_moments(outline: &Outline<'_>, item: &Item<'_>) -> bool {
    let mut item = item;
    // In circles nobody gets further than there are operators.
    for _ in 0..outline.items.len() {
        let from = item.kind("filter").and_then(|filter| filter.text("from"));
        match from.and_then(|from| outline.find(from.text)) {
            Some(read) => item = read,
            None => break,
        }
    }
    item.is("fuse")
}

/// Whether it adds up the records of a source without a key.
fn is_of_events(outline: &Outline<'_>, item: &Item<'_>) -> bool {
    let from = item.kind("aggregate").and_then(|aggregate| aggregate.text("from"));
    let source = from.and_then(|from| outline.find(from.text)).filter(|source| source.group == Group::Source);
    source.is_some_and(|source| !source.is_keyed())
}

fn sink_from(outline: &Outline<'_>, sink: &Item<'_>, from: &Text<'_>, report: &mut Report) {
    let target = outline.find(from.text);
    match (target, from.text.split_once('.')) {
        (Some(target), _) if target.group == Group::Sink => {
            let message = format!("a sink writes a source or an operator, and {:?} is a sink", from.text);
            let hint = format!("to write after it, say after: {}", from.text);
            return from.problem(report, message, Some(hint));
        }
        (Some(_), _) => {}
        (None, _) if from.text == DEAD_LETTERS => {}
        (None, Some((node, part))) if outline.find(node).is_some_and(|node| node.group != Group::Sink) => {
            let rejects = outline.find(node).is_some_and(rejects);
            if part != "rejected" {
                let hint = rejects.then(|| format!("did you mean \"{node}.rejected\"?"));
                return from.problem(report, format!("{node:?} has no part {part:?}"), hint);
            }
            if outline.find(node).is_some_and(|node| is_of_events(outline, node)) {
                let message =
                    format!("{node:?} reads events without a key, and keeps none of those that it can not use");
                return from.problem(report, message, Some(format!("they are in {DEAD_LETTERS:?}")));
            }
            if !rejects {
                let message = format!("sources and upserts reject nothing, and {node:?} is one of them");
                return from.problem(report, message, None);
            }
        }
        (None, _) => {
            let valid = collections(outline);
            let hint = name_hint(from.text, valid.iter().map(String::as_str));
            return from.problem(report, format!("no source or operator is named {:?}", from.text), hint);
        }
    }
    if sink.is("tantivy") && !target.is_some_and(|target| has_moments(outline, target)) {
        let fuses = outline.items.iter().filter(|item| has_moments(outline, item)).map(|item| item.name);
        let message = format!("a tantivy sink indexes the documents of a fuse, and {:?} is none", from.text);
        from.problem(report, message, name_hint(from.text, fuses));
    }
}

/// What a sink may read.
fn collections(outline: &Outline<'_>) -> Vec<String> {
    let readable = outline.items.iter().filter(|item| item.group != Group::Sink);
    let names = readable.flat_map(|item| {
        let rejected = rejects(item).then(|| format!("{}.rejected", item.name));
        [Some(item.name.to_owned()), rejected].into_iter().flatten()
    });
    names.chain([DEAD_LETTERS.to_owned()]).collect()
}

fn sink_after(outline: &Outline<'_>, sink: &Item<'_>, after: &Text<'_>, report: &mut Report) {
    let others = || outline.group(Group::Sink).map(|item| item.name).filter(|name| *name != sink.name);
    if after.text == sink.name {
        return after.problem(report, "a sink can not wait for itself", None);
    }
    if others().any(|name| name == after.text) {
        return;
    }
    let message = match outline.find(after.text) {
        Some(item) => format!("a sink waits for another sink, and {:?} is {}", after.text, item.group.one()),
        None => format!("no sink is named {:?}", after.text),
    };
    let hint = name_hint(after.text, others());
    after.problem(report, message, hint);
}

/// Reports operators that read each other; answers their names, cycle by cycle.
fn operator_cycles<'t>(outline: &Outline<'t>, report: &mut Report) -> Vec<Vec<&'t str>> {
    let operators: Vec<&Item<'t>> = outline.group(Group::Operator).collect();
    // A name that a source has as well is the source's: that it is there twice is reported elsewhere.
    let is_operator = |name: &str| outline.find(name).is_some_and(|item| item.group == Group::Operator);
    let edges = |n: usize| {
        let names = reads(operators[n]).into_iter().map(|r| r.text).filter(|name| is_operator(name));
        names.filter_map(|name| position(&operators, name)).collect()
    };
    let cycles = cycles(operators.len(), edges);
    for cycle in &cycles {
        let names: Vec<&str> = cycle.iter().map(|n| operators[*n].name).collect();
        let path = operators[cycle[0]].path();
        let message = match names.as_slice() {
            [name] => format!("{path}: {name:?} reads itself"),
            _ => format!("{path}: a cycle: {}", circle(&names, "reads")),
        };
        report.problem(operators[cycle[0]].at, &path, message, None);
    }
    cycles.iter().map(|cycle| cycle.iter().map(|n| operators[*n].name).collect()).collect()
}

/// Reports sinks that wait for each other.
fn after_cycles(outline: &Outline<'_>, report: &mut Report) {
    let sinks: Vec<&Item<'_>> = outline.group(Group::Sink).collect();
    let edges = |n: usize| {
        let after = sinks[n].settings().text("after").and_then(|after| position(&sinks, after.text));
        after.into_iter().filter(|other| *other != n).collect()
    };
    for cycle in cycles(sinks.len(), edges) {
        let names: Vec<&str> = cycle.iter().map(|n| sinks[*n].name).collect();
        let path = sinks[cycle[0]].path();
        let message = format!("{path}: a cycle: {}", circle(&names, "waits for"));
        let hint = "none of them would ever write: take one \"after\" out".to_owned();
        report.problem(sinks[cycle[0]].at, &path, message, Some(hint));
    }
}

/// `"a" reads "b" reads "a"`
fn circle(names: &[&str], verb: &str) -> String {
    let quoted: Vec<String> = names.iter().chain(&names[..1]).map(|name| format!("{name:?}")).collect();
    quoted.join(&format!(" {verb} "))
}

fn position(items: &[&Item<'_>], name: &str) -> Option<usize> {
    items.iter().position(|item| item.name == name)
}

/// The cycles of a graph of `nodes` nodes: one for each edge that closes one when going depth first.
fn cycles(nodes: usize, edges: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<usize>> {
    let mut done = vec![false; nodes];
    let mut found = Vec::new();
    for start in 0..nodes {
        if done[start] {
            continue;
        }
        // The way from the start to here, each with the edges that are still to go.
        let mut way = vec![(start, edges(start))];
        while let Some((node, left)) = way.last_mut() {
            let Some(next) = left.pop() else {
                done[*node] = true;
                way.pop();
                continue;
            };
            if let Some(first) = way.iter().position(|(node, _)| *node == next) {
                found.push(way[first..].iter().map(|(node, _)| *node).collect());
            } else if !done[next] {
                way.push((next, edges(next)));
            }
        }
    }
    found
}

/// Sources and operators that nothing reads, and sources that are read twice by one operator.
fn unused(outline: &Outline<'_>, report: &mut Report) {
    let mut read: Vec<&str> = Vec::new();
    for item in &outline.items {
        read.extend(operations(item).map(|operations| operations.text));
        let references = match item.group {
            Group::Source => continue,
            Group::Operator => reads(item),
            Group::Sink => item.settings().texts("from"),
        };
        for again in duplicates(&references) {
            again.problem(report, format!("{:?} is in the list already", again.text), None);
        }
        read.extend(references.iter().map(|reference| reference.text));
    }
    let is_read =
        |name: &str| read.iter().any(|r| *r == name || r.split_once('.').is_some_and(|(node, _)| node == name));
    for item in outline.items.iter().filter(|item| item.group != Group::Sink && !is_read(item.name)) {
        let message = format!("{}: nothing reads the {} {:?}", item.path(), item.group.name(), item.name);
        report.warning(item.at, &item.path(), message, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_is_found_once() {
        let graph = |edges: &'static [(usize, usize)]| {
            move |n: usize| edges.iter().filter(|(from, _)| *from == n).map(|(_, to)| *to).collect::<Vec<_>>()
        };
        assert_eq!(cycles(3, graph(&[(0, 1), (1, 2)])), Vec::<Vec<usize>>::new());
        assert_eq!(cycles(4, graph(&[(0, 1), (1, 2), (2, 1), (3, 3)])), [vec![1, 2], vec![3]]);
        assert_eq!(cycles(3, graph(&[(0, 1), (0, 2), (1, 2)])), Vec::<Vec<usize>>::new(), "a diamond is no cycle");
    }
}
