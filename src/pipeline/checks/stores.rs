//! State, dead letters, files to read, and stores to write: that they can be, and do not collide.

use std::path::{Component, Path, PathBuf};

use super::super::problem::Report;
use super::super::tree::Node;
use super::{Group, Item, Outline, Settings, Text, servers};

const SQLITE_OWN_COLUMNS: [&str; 3] = ["key", "document", "epoch"];

pub(super) fn check(root: &Node, outline: &Outline<'_>, report: &mut Report) {
    let pipeline = Settings { path: String::new(), node: root };
    state(&pipeline, report);
    for source in outline.group(Group::Source) {
        built_in(source, report);
    }
    for sink in outline.group(Group::Sink) {
        built_in(sink, report);
        if let Some(sqlite) = sink.kind("sqlite") {
            sqlite_names(&sqlite, report);
        }
        servers::check(outline, sink, report);
    }
    collisions(&pipeline, outline, report);
    sources(&pipeline, outline, report);
}

fn state(pipeline: &Settings<'_>, report: &mut Report) {
    let Some(state) = pipeline.text("state") else { return };
    if let Some((scheme, _)) = state.text.split_once("://") {
        let hint = match scheme {
            "file" => return,
            "s3" if cfg!(feature = "s3") => return,
            "s3" => "this program was built without s3; build it with --features s3",
            _ => "expected a directory, s3://BUCKET/PREFIX, or none",
        };
        state.problem(report, format!("state can not be kept at {scheme}://"), Some(hint.to_owned()));
    }
}

/// Brokers and stores are features of the build.
fn built_in(item: &Item<'_>, report: &mut Report) {
    let features = [
        ("kafka", cfg!(feature = "kafka")),
        ("sqlite", cfg!(feature = "sqlite")),
        ("tantivy", cfg!(feature = "tantivy")),
        ("elasticsearch", cfg!(feature = "elasticsearch")),
        ("cassandra", cfg!(feature = "cassandra")),
    ];
    for (feature, _) in features.iter().filter(|(feature, built)| !built && item.is(feature)) {
        let path = item.path();
        let hint = format!("build it with --features {feature}");
        report.problem(item.at, &path, format!("{path}: this program was built without {feature}"), Some(hint));
    }
}

fn sqlite_names(sqlite: &Settings<'_>, report: &mut Report) {
    if let Some(table) = sqlite.text("table") {
        let own = ["sqlite_", "flowstone_"].into_iter().find(|own| table.text.to_lowercase().starts_with(own));
        match own {
            Some(own) => table.problem(report, format!("tables that start with {own:?} are not for data"), None),
            None if !is_identifier(table.text) => table.problem(report, not_identifier(table.text), None),
            None => {}
        }
    }
    let Some(columns) = sqlite.get("columns") else { return };
    let entries = columns.value.entries();
    for (n, column) in entries.iter().enumerate() {
        let path = format!("{}.columns.{}", sqlite.path, column.key);
        // Names of columns that differ only in case are the same to SQLite.
        let same = |name: &str| name.eq_ignore_ascii_case(&column.key);
        let message = if SQLITE_OWN_COLUMNS.into_iter().any(same) {
            format!("the table has a column {:?} already", column.key.to_lowercase())
        } else if !is_identifier(&column.key) {
            not_identifier(&column.key)
        } else if entries[..n].iter().any(|earlier| same(&earlier.key)) {
            format!("the column {:?} is there already: case does not count", column.key)
        } else {
            continue;
        };
        report.problem(column.at, &path, format!("{path}: {message}"), None);
    }
}

fn is_identifier(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn not_identifier(name: &str) -> String {
    format!("{name:?} is not a plain SQL name: a letter or \"_\", then letters, digits and \"_\"")
}

/// Something that the pipeline writes.
struct Target {
    path: PathBuf,
    /// Several tables fit into one file.
    table: Option<String>,
    what: String,
}

/// Two writers must not write the same file, table or directory.
fn collisions(pipeline: &Settings<'_>, outline: &Outline<'_>, report: &mut Report) {
    let state = pipeline.text("state").map_or("./state", |state| state.text);
    let mut targets = Vec::new();
    if state != "none" && !state.contains("://") {
        targets.push(Target { path: lexical(state), table: None, what: "the state directory".to_owned() });
    }
    let letters = dead_letters(pipeline);
    if let Some(path) = dead_letters_path(pipeline) {
        if let Some(letters) = letters.filter(|_| targets.iter().any(|target| target.path == path)) {
            letters.problem(report, "a file is needed, and this is the state directory", None);
        }
        targets.push(Target { path, table: None, what: "the file of the dead letters".to_owned() });
    }
    servers::collisions(outline, report);
    for sink in outline.group(Group::Sink) {
        let kinds = ["sqlite", "tantivy", "file"].into_iter();
        for settings in kinds.filter_map(|kind| sink.kind(kind)) {
            let Some(path) = settings.text("path").filter(|path| !path.text.is_empty()) else { continue };
            let table = settings.text("table").map(|table| table.text.to_lowercase());
            let here = Target { path: lexical(path.text), table, what: format!("the sink {:?}", sink.name) };
            if let Some(other) = targets.iter().find(|other| collide(other, &here)) {
                path.problem(report, format!("{} is written there already", other.what), None);
            }
            targets.push(here);
        }
    }
}

fn collide(a: &Target, b: &Target) -> bool {
    a.path == b.path && (a.table.is_none() || b.table.is_none() || a.table == b.table)
}

fn dead_letters<'t>(pipeline: &Settings<'t>) -> Option<Text<'t>> {
    let settings = Settings { path: "dead_letters".to_owned(), node: &pipeline.get("dead_letters")?.value };
    settings.text("path")
}

fn dead_letters_path(pipeline: &Settings<'_>) -> Option<PathBuf> {
    let state = pipeline.text("state").map_or("./state", |state| state.text);
    match dead_letters(pipeline) {
        Some(path) => Some(lexical(path.text)),
        None if state == "none" || state.contains("://") => None,
        None => Some(lexical(state).join("dead-letters.ndjson")),
    }
}

/// Globs must be right, and not lead to the pipeline's own dead letters: they would be read again and again.
fn sources(pipeline: &Settings<'_>, outline: &Outline<'_>, report: &mut Report) {
    let letters = dead_letters_path(pipeline);
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    for settings in outline.group(Group::Source).filter_map(|source| source.kind("file")) {
        let paths = settings.texts("paths");
        for again in super::duplicates(&paths) {
            again.problem(report, format!("{:?} is in the list already", again.text), None);
        }
        for path in &paths {
            let pattern = match glob::Pattern::new(&lexical(path.text).to_string_lossy()) {
                Ok(pattern) => pattern,
                Err(error) => {
                    path.problem(report, format!("{:?} is not a glob: {}", path.text, error.msg), None);
                    continue;
                }
            };
            if letters.as_ref().is_some_and(|letters| pattern.matches_path_with(letters, options)) {
                let message = format!("{:?} also reads the pipeline's own dead letters", path.text);
                let hint = "narrow it, or write them elsewhere: dead_letters.path".to_owned();
                path.problem(report, message, Some(hint));
            }
        }
    }
}

/// A path with `.` and `..` worked out as far as the text allows; good for comparing, not for opening (links).
fn lexical(path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
