//! Fields that must fit each other: paths, keys, and the numbers of a fuse.

use super::super::join;
use super::super::problem::Report;
use super::super::tree::Entry;
use super::super::units::Span;
use super::{Group, Item, Outline, Settings, Text, aggregates, duplicates, reshaping, single_value};
use crate::record::FieldPath;

/// Stores commit once a second, and then it takes a while.
const LEAST_DETACH: Span = Span::from_millis(2_000);

pub(super) fn check(outline: &Outline<'_>, report: &mut Report) {
    for source in outline.group(Group::Source) {
        keyed(&source.settings(), report);
        without_key(source, report);
        by_message(source, report);
    }
    for sink in outline.group(Group::Sink) {
        on_lag(sink, report);
    }
    for operator in outline.group(Group::Operator) {
        reshaping::check(outline, operator, report);
        if let Some(upsert) = operator.kind("upsert") {
            keyed(&upsert, report);
        }
        if let Some(aggregate) = operator.kind("aggregate") {
            aggregates::check(&aggregate, report);
        }
        if let Some(fuse) = operator.kind("fuse") {
            fuse_paths(&fuse, report);
            fuse_numbers(&fuse, report);
        }
    }
}

/// The fields of whatever has a key.
fn keyed(settings: &Settings<'_>, report: &mut Report) {
    let keys = settings.texts("key");
    for again in duplicates(&keys) {
        again.problem(report, format!("{:?} is in the key already", again.text), None);
    }
    operation(settings, report);
    let time = settings.mapping("retention").and_then(|retention| retention.text("time"));
    let paths = keys.into_iter().chain(settings.text("version")).chain(settings.text("delete")).chain(time);
    paths.for_each(|path| single_value(&path, report));
    let remembers = settings.get("version").is_some() || settings.get("operation").is_some();
    if let (Some(tombstones), false, true) = (settings.text("tombstones"), remembers, settings.get("key").is_some()) {
        let message =
            "has no effect: without \"version\" the newest record is the last one, and no deletion is remembered";
        tombstones.warning(report, message, None);
    }
}

/// Only messages have keys, and one is the whole key.
fn by_message(source: &Item<'_>, report: &mut Report) {
    let keys = source.settings().texts("key");
    let Some(message) = keys.iter().find(|key| key.text == "message") else { return };
    if !source.is("kafka") {
        let hint = "name a field of the records, such as \"/message\"".to_owned();
        message.problem(report, "only what comes from kafka has a message key", Some(hint));
    } else if keys.len() > 1 {
        let hint = "take the others out; message_key: json lets a message key be several values".to_owned();
        message.problem(report, "the message key is the whole key of a row", Some(hint));
    }
}

/// Which operation a row belongs to, and where it says how those stand: neither is of use without the other.
fn operation(settings: &Settings<'_>, report: &mut Report) {
    let mappings = ["operation", "operations"].into_iter().filter_map(|field| settings.mapping(field));
    let fields = ["type", "pivot", "number", "status", "annotations"];
    mappings.flat_map(|mapping| fields.map(|field| mapping.text(field))).flatten().for_each(|path| {
        single_value(&path, report);
    });
    let mut needs = |field: &str, other: &str, hint: &str| {
        let Some(Entry { at, .. }) = settings.get(field).filter(|_| settings.get(other).is_none()) else { return };
        let path = join(&settings.path, field);
        report.problem(*at, &path, format!("{path}: means nothing without {other:?}"), Some(hint.to_owned()));
    };
    needs("operation", "operations", "name the source that says which operations are finished");
    needs("operations", "operation", "say which fields hold a row's operation: { type: …, pivot: …, number: … }");
}

/// Settings that mean something only if there is a key.
fn without_key(source: &Item<'_>, report: &mut Report) {
    if source.is_keyed() {
        return;
    }
    for field in ["version", "delete", "tombstones", "retention", "operation", "operations"] {
        if let Some(Entry { at, .. }) = source.get(field) {
            let path = join(&source.path(), field);
            let message = format!("{path}: means nothing without a key");
            let hint = format!("give {} a key, or say it in the upsert that reads it", source.path());
            report.problem(*at, &path, message, Some(hint));
        }
    }
}

/// A store must have the time to be late without being taken for one that hangs.
fn on_lag(sink: &Item<'_>, report: &mut Report) {
    let Some(entry) = sink.get("on_lag") else { return };
    let settings = Settings { path: join(&sink.path(), "on_lag"), node: &entry.value };
    let Some(detach) = settings.text("detach") else { return };
    if sink.is("discard") {
        return detach.warning(report, "has no effect: what is discarded is never late", None);
    }
    let commit = sink.kind("tantivy").and_then(|tantivy| tantivy.text("commit")?.text.parse::<Span>().ok());
    let least = commit.map_or(LEAST_DETACH, |commit| LEAST_DETACH.max(commit.twice()));
    if detach.text.parse::<Span>().is_ok_and(|limit| limit < least) {
        let why = match commit.filter(|commit| commit.twice() > LEAST_DETACH) {
            Some(commit) => format!("it shows what it has every {commit}, see commit"),
            None => "stores show what they have once a second".to_owned(),
        };
        let message = format!("must be at least {least}, not {:?}: {why}", detach.text);
        detach.problem(report, message, Some("10m lets a store start again".to_owned()));
    }
}

fn fuse_paths(fuse: &Settings<'_>, report: &mut Report) {
    let range = fuse.mapping("range");
    let ends = range.iter().flat_map(|range| ["start", "end"].map(|field| range.text(field))).flatten();
    let single = ["by", "type"].into_iter().filter_map(|field| fuse.text(field)).chain(ends);
    single.for_each(|path| single_value(&path, report));
    for path in fuse.text("context").into_iter().chain(fuse.texts("fields")) {
        top_level(&path, report);
    }
}

fn top_level(path: &Text<'_>, report: &mut Report) {
    let Ok(parsed) = path.text.parse::<FieldPath>() else { return };
    if parsed.segments().len() == 1 && !parsed.fans_out() {
        return;
    }
    let hint = parsed.top_level().map(|_| {
        let end = path.text[1..].find('/').map_or(path.text.len(), |slash| slash + 1);
        format!("did you mean {:?}?", &path.text[..end])
    });
    path.problem(report, format!("a top-level field is needed, as \"/name\", not {:?}", path.text), hint);
}

fn fuse_numbers(fuse: &Settings<'_>, report: &mut Report) {
    for again in duplicates(&fuse.texts("require")) {
        again.problem(report, format!("{:?} is in the list already", again.text), None);
    }
    let bucket = fuse.text("bucket");
    if fuse.text("emit").is_some_and(|emit| emit.text == "segments") {
        if let Some(bucket) = bucket {
            bucket.warning(report, "has no effect: \"emit: segments\" makes no buckets", None);
        }
        return;
    }
    let width = match &bucket {
        Some(bucket) => bucket.text.parse::<Span>().ok(),
        None => Some(super::super::model::default_bucket()),
    };
    let Some(max_range) = fuse.text("max_range") else { return };
    let (Some(width), Ok(longest)) = (width, max_range.text.parse::<Span>()) else { return };
    if longest < width {
        max_range.problem(report, format!("must be at least one bucket ({width}), not {longest}"), None);
    }
}
