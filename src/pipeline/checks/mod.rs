//! What a schema can not say of a pipeline file: names that refer to each other, fields that fit each other, stores that do
//! not collide.
//!
//! All of it works on the tree, and not on the model: the model exists only once nothing is wrong.

use super::problem::{Place, Report};
use super::tree::{Content, Entry, Node};
use crate::record::FieldPath;

mod aggregates;
mod fields;
mod kafka;
mod names;
mod references;
mod reshaping;
mod servers;
mod stores;

/// Reports what is wrong with a pipeline as a whole. What is missing or of the wrong type was reported before, and is passed
/// over here.
pub(super) fn check(root: &Node, report: &mut Report) {
    let outline = Outline::of(root);
    names::check(&outline, report);
    references::check(&outline, report);
    fields::check(&outline, report);
    stores::check(root, &outline, report);
    kafka::check(&outline, report);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Source,
    Operator,
    Sink,
}

impl Group {
    /// The field of the pipeline that holds the group.
    fn field(self) -> &'static str {
        match self {
            Group::Source => "sources",
            Group::Operator => "operators",
            Group::Sink => "sinks",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Group::Source => "source",
            Group::Operator => "operator",
            Group::Sink => "sink",
        }
    }

    /// One of the group, with its article.
    fn one(self) -> String {
        let article = if self == Group::Operator { "an" } else { "a" };
        format!("{article} {}", self.name())
    }
}

/// A source, operator or sink.
struct Item<'t> {
    group: Group,
    name: &'t str,
    at: Place,
    node: &'t Node,
}

impl<'t> Item<'t> {
    /// Where it is in the file: `operators.moments`.
    fn path(&self) -> String {
        format!("{}.{}", self.group.field(), self.name)
    }

    /// One of its fields, if it is there.
    fn get(&self, field: &str) -> Option<&'t Entry> {
        self.node.get(field)
    }

    /// The settings of a kind, if it is of that kind.
    fn kind(&self, kind: &str) -> Option<Settings<'t>> {
        let entry = self.get(kind)?;
        Some(Settings { path: super::join(&self.path(), kind), node: &entry.value })
    }

    /// Its own fields, besides the settings of its kind.
    fn settings(&self) -> Settings<'t> {
        Settings { path: self.path(), node: self.node }
    }

    /// A source with a key: a table.
    fn is_keyed(&self) -> bool {
        self.get("key").is_some()
    }

    fn is(&self, kind: &str) -> bool {
        self.get(kind).is_some()
    }
}

/// A mapping and where it is in the file.
struct Settings<'t> {
    path: String,
    node: &'t Node,
}

impl<'t> Settings<'t> {
    fn get(&self, field: &str) -> Option<&'t Entry> {
        self.node.get(field)
    }

    /// The texts in a field that holds one or a list of them.
    fn texts(&self, field: &str) -> Vec<Text<'t>> {
        let Some(entry) = self.get(field) else { return Vec::new() };
        let list = matches!(entry.value.content, Content::List(_));
        let texts = entry.value.one_or_many().iter().enumerate().filter_map(|(n, node)| {
            let path = super::join(&self.path, field);
            let path = if list { format!("{path}[{n}]") } else { path };
            Some(Text { text: node.text()?, at: node.at, path })
        });
        texts.collect()
    }

    /// The mapping in a field.
    fn mapping(&self, field: &str) -> Option<Settings<'t>> {
        let entry = self.get(field)?;
        Some(Settings { path: super::join(&self.path, field), node: &entry.value })
    }

    /// The source of operations: `operations: NAME`, or `operations: { from: NAME }`.
    fn operations(&self) -> Option<Text<'t>> {
        self.text("operations").or_else(|| self.mapping("operations")?.text("from"))
    }

    /// The text in a field.
    fn text(&self, field: &str) -> Option<Text<'t>> {
        let entry = self.get(field)?;
        Some(Text { text: entry.value.text()?, at: entry.value.at, path: super::join(&self.path, field) })
    }
}

/// A text and where it is.
struct Text<'t> {
    text: &'t str,
    at: Place,
    path: String,
}

impl Text<'_> {
    fn problem(&self, report: &mut Report, message: impl std::fmt::Display, hint: Option<String>) {
        report.problem(self.at, &self.path, format!("{}: {message}", self.path), hint);
    }

    fn warning(&self, report: &mut Report, message: impl std::fmt::Display, hint: Option<String>) {
        report.warning(self.at, &self.path, format!("{}: {message}", self.path), hint);
    }
}

/// The texts that are there a second time.
fn duplicates<'a, 't>(texts: &'a [Text<'t>]) -> impl Iterator<Item = &'a Text<'t>> {
    let seen_before = |n: usize, text: &str| texts[..n].iter().any(|earlier| earlier.text == text);
    texts.iter().enumerate().filter(move |(n, text)| seen_before(*n, text.text)).map(|(_, text)| text)
}

/// Reports a path that stands for several values.
fn single_value(path: &Text<'_>, report: &mut Report) {
    if path.text.parse::<FieldPath>().is_ok_and(|parsed| parsed.fans_out()) {
        path.problem(report, format!("one value is needed, and \"*\" in {:?} stands for several", path.text), None);
    }
}

/// All sources, operators and sinks, in this order.
struct Outline<'t> {
    items: Vec<Item<'t>>,
}

impl<'t> Outline<'t> {
    fn of(root: &'t Node) -> Self {
        let groups = [Group::Source, Group::Operator, Group::Sink];
        let items = groups.into_iter().flat_map(|group| {
            let entries = root.get(group.field()).map_or(&[][..], |entry| entry.value.entries());
            entries.iter().map(move |entry| Item { group, name: &entry.key, at: entry.at, node: &entry.value })
        });
        Outline { items: items.collect() }
    }

    fn group(&self, group: Group) -> impl Iterator<Item = &Item<'t>> {
        self.items.iter().filter(move |item| item.group == group)
    }

    /// Sources, operators and sinks, each asked for before the next.
    fn find(&self, name: &str) -> Option<&Item<'t>> {
        self.items.iter().find(|item| item.name == name)
    }
}
