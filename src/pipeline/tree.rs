//! YAML as a tree that remembers positions.
//!
//! Made of the parser's events and not of a YAML value type: those lose duplicate keys and the positions of keys.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::problem::{Place, Report};

/// Deeper nesting is refused; a pipeline needs six levels.
const MAX_DEPTH: usize = 32;
/// More nodes are refused, counted after aliases are replaced by what they stand for: few bytes can stand for gigabytes.
const MAX_NODES: usize = 200_000;

/// A value and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Place,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes, so that it may stand for a number, a truth value, or nothing.
    pub plain: bool,
    /// Variables were put in: whether it is a string or a number is for the field to say, not for the variable's value.
    pub substituted: bool,
    /// A variable in it has no value: that is said, and nothing more can be said of it.
    pub unknown: bool,
    /// Where the source text starts and ends, in characters.
    pub source: (usize, usize),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub at: Place,
    pub value: Node,
}

impl Node {
    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a mapping with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text of a scalar that is not nothing, and known.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if !scalar.is_null() && !scalar.unknown => Some(&scalar.text),
            _ => None,
        }
    }

    /// The node itself, or the elements of a list.
    pub(super) fn one_or_many(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Whether the node is an empty value, as in `key:`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.is_null())
    }

    fn count(&self) -> usize {
        match &self.content {
            Content::Scalar(_) => 1,
            Content::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Content::Map(entries) => 1 + entries.iter().map(|entry| 1 + entry.value.count()).sum::<usize>(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Content::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
        }
    }
}

impl Scalar {
    /// `key:`, `~` or `null`, as YAML 1.2's core schema has it.
    pub(super) fn is_null(&self) -> bool {
        self.plain && !self.unknown && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// `true` or `false`; other spellings (`yes`, `on`) are strings in YAML 1.2.
    pub(super) fn bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// A whole number in decimal.
    pub(super) fn integer(&self) -> Option<i128> {
        self.text.parse().ok().filter(|_| self.plain)
    }

    /// Whether YAML takes it for a number.
    pub(super) fn is_number(&self) -> bool {
        let digits = self.text.trim_start_matches(['+', '-']);
        let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        self.plain && number && (digits.starts_with("0x") || digits.starts_with("0o") || digits.parse::<f64>().is_ok())
    }
}

/// Reads one YAML document. `None` if there is none, or if it can not be read, which is then in the report.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    let mut builder = Builder { report, open: Vec::new(), anchors: HashMap::new(), nodes: 0, documents: 0, root: None };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span.start, span.end),
            Err(error) => Err((place(*error.marker()), format!("not valid YAML: {}", error.info()))),
        };
        if let Err((at, message)) = step {
            report.problem(at, "", message, None);
            return None;
        }
    }
    builder.root
}

fn place(mark: Marker) -> Place {
    Place { line: mark.line(), column: mark.col() + 1 }
}

/// A list or mapping whose end was not yet seen.
struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<(String, Place)>,
    anchor: usize,
}

struct Builder<'r> {
    report: &'r mut Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

/// What ends the reading.
type Fatal = (Place, String);

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, start: Marker, end: Marker) -> Result<(), Fatal> {
        let at = place(start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((at, "a second YAML document: a pipeline file holds one".to_owned()));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                // A tag such as !!str makes a string of what looks like a number.
                let tagged = self.tag(tag.as_deref(), at);
                let plain = style == ScalarStyle::Plain && tagged != Some("str");
                let source = (start.index(), end.index());
                let scalar = Scalar { text: text.into_owned(), plain, substituted: false, unknown: false, source };
                return self.value(Node { at, content: Content::Scalar(scalar) }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                return self.start(Node { at, content: Content::List(Vec::new()) }, anchor);
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                return self.start(Node { at, content: Content::Map(Vec::new()) }, anchor);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { node, anchor, .. } = self.open.pop().expect("the parser pairs starts and ends");
                return self.value(node, anchor);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err((at, "an alias inside of what it stands for".to_owned()));
                };
                self.nodes += node.count();
                if self.open.len() + node.depth() > MAX_DEPTH {
                    return Err((at, too_deep()));
                }
                return self.value(node, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn start(&mut self, node: Node, anchor: usize) -> Result<(), Fatal> {
        if self.open.len() >= MAX_DEPTH {
            return Err((node.at, too_deep()));
        }
        self.open.push(Open { node, key: None, anchor });
        Ok(())
    }

    /// A whole value: puts it where it belongs.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), Fatal> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err((node.at, format!("too much for a pipeline file: more than {MAX_NODES} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let path = self.path();
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match open.key.take() {
                Some((key, at)) => {
                    let first = entries.iter().find(|entry| entry.key == key).map(|entry| entry.at);
                    match first {
                        None => entries.push(Entry { key, at, value: node }),
                        Some(first) => {
                            let message = format!("duplicate key {key:?}; the first one is in line {}", first.line);
                            self.report.problem(at, &super::join(&path, &key), message, None);
                        }
                    }
                }
                None => match node.content {
                    Content::Scalar(scalar) => open.key = Some((scalar.text, node.at)),
                    _ => return Err((node.at, "a key must be plain text, not a list or a mapping".to_owned())),
                },
            },
            Content::Scalar(_) => unreachable!("only lists and mappings are open"),
        }
        Ok(())
    }

    /// Where the innermost open list or mapping is.
    fn path(&self) -> String {
        let outer = self.open.len().saturating_sub(1);
        self.open[..outer].iter().fold(String::new(), |path, open| match (&open.key, &open.node.content) {
            (Some((key, _)), _) => super::join(&path, key),
            (None, Content::List(items)) => format!("{path}[{}]", items.len()),
            (None, _) => path,
        })
    }

    /// The name of a core tag (`!!str`); others mean nothing here, which is a problem.
    fn tag<'t>(&mut self, tag: Option<&'t Tag>, at: Place) -> Option<&'t str> {
        let tag = tag?;
        if tag.is_yaml_core_schema() {
            return Some(&tag.suffix);
        }
        // A lone "!" only says "not a plain scalar".
        if tag.suffix.is_empty() {
            return Some("str");
        }
        self.report.problem(at, "", format!("unknown tag \"{tag}\""), Some("leave it out".to_owned()));
        None
    }
}

fn too_deep() -> String {
    format!("nested too deeply: more than {MAX_DEPTH} levels")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let mut report = Report::default();
        let root = read(text, &mut report);
        match report.finish() {
            Err(problems) => problems.to_string(),
            Ok(_) => format!("fine: {}", root.is_some()),
        }
    }

    #[test]
    fn positions_are_those_of_an_editor() {
        let mut report = Report::default();
        let root = read("a:\n  é: { b: [x, \"y\"] }\n", &mut report).unwrap();
        let b = root.get("a").and_then(|a| a.value.get("é")).and_then(|e| e.value.get("b")).unwrap();
        assert_eq!((b.at.line, b.at.column), (2, 8));
        let places: Vec<_> = b.value.one_or_many().iter().map(|n| (n.at.line, n.at.column)).collect();
        assert_eq!(places, [(2, 12), (2, 15)]);
    }

    #[test]
    fn aliases_are_replaced_and_can_not_explode() {
        assert_eq!(problems("a: &x { k: 1 }\nb: *x\n"), "fine: true");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
        }
        assert!(problems(&bomb).contains("too much for a pipeline file"), "{}", problems(&bomb));
        assert!(problems("a: &a [*a]").contains("an alias inside of what it stands for"), "{}", problems("a: &a [*a]"));
    }

    #[test]
    fn nesting_is_bounded() {
        for text in ["[".repeat(100), "- ".repeat(1_000), "- ".repeat(100_000)] {
            assert!(problems(&text).contains("nested too deeply"), "{}", problems(&text));
        }
        // The parser has a limit of its own, and reads ahead.
        assert!(problems(&"[".repeat(100_000)).contains("recursion limit exceeded"));
        let deepest = format!("{}x{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(problems(&deepest), "fine: true");
    }

    #[test]
    fn what_yaml_takes_for_numbers() {
        let scalar = |text: &str| Scalar {
            text: text.to_owned(),
            plain: true,
            substituted: false,
            unknown: false,
            source: (0, 0),
        };
        for text in ["1", "-1", "+2.5", ".5", "1e3", "0x1F", "0o17"] {
            assert!(scalar(text).is_number(), "{text}");
        }
        for text in ["", "1s", "/a", "inf", "a1", "."] {
            assert!(!scalar(text).is_number(), "{text}");
        }
    }
}
