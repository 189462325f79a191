//! Taking named fields out of JSON text: one pass, nothing is built but the fields that were asked for.

use self::guess::Guess;
use self::scan::Scan;
use super::path::{FieldPath, Segment};
use super::pieces::Slice;
use super::select::{index, unescape};

mod guess;
mod plain;
mod scan;

/// The paths that a pipeline names, as a tree, so that each object is walked once.
#[derive(Clone, Debug, Default)]
pub struct PathTree {
    root: Node,
    paths: Vec<FieldPath>,
    /// How many nodes there are below the root.
    nodes: usize,
}

/// Stands for a path in a [`PathTree`], and for its value in [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldId(usize);

#[derive(Clone, Debug, Default)]
struct Node {
    /// Numbers the nodes of a tree; 0 is the root.
    number: usize,
    field: Option<FieldId>,
    children: Vec<(String, Node)>,
}

/// What one record's walk found; reused from record to record.
#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<Option<Value>>,
    members: Vec<Member>,
    /// What the members of objects were in the record before, by the number of their node.
    guesses: Vec<Guess>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
struct Value {
    slice: Slice,
    /// Whether it is a string without escapes.
    is_plain_text: bool,
}

/// A member of the top-level object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The member, from its name's opening quote to the end of its value.
    pub whole: Slice,
    /// Its value.
    pub value: Slice,
    /// Which of the top-level names of the tree it has.
    pub name: Option<usize>,
}

/// How deep values may be nested.
const MAX_DEPTH: usize = 128;

/// Why a record's fields could not be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    Syntax(String),
    /// Nested deeper than any reader of the documents can be expected to follow; parsers recurse.
    #[error("not a JSON object: nested deeper than {MAX_DEPTH}")]
    Depth,
    /// A field that the pipeline names is there twice, so that it is not clear which one is meant.
    #[error("field {0} is there twice")]
    Duplicate(FieldPath),
}

impl PathTree {
    /// Adds a path; the same path has one id.
    pub fn add(&mut self, path: &FieldPath) -> FieldId {
        let (mut node, nodes) = (&mut self.root, &mut self.nodes);
        for segment in path.segments() {
            // Fanning out is refused at validation where a single value is needed; "*" is then an ordinary name.
            let name = match segment {
                Segment::Name(name) => name,
                Segment::Each => "*",
            };
            let at = node.children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                *nodes += 1;
                node.children.push((name.to_owned(), Node { number: *nodes, ..Node::default() }));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        *node.field.get_or_insert_with(|| {
            self.paths.push(path.clone());
            FieldId(self.paths.len() - 1)
        })
    }

    /// Makes sure that members of this name can be told by [`Member::name`]; returns the number they have there.
    pub fn add_top_level(&mut self, name: &str) -> usize {
        let (children, nodes) = (&mut self.root.children, &mut self.nodes);
        children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            *nodes += 1;
            children.push((name.to_owned(), Node { number: *nodes, ..Node::default() }));
            children.len() - 1
        })
    }

    /// The path of a field.
    pub fn path(&self, field: FieldId) -> &FieldPath {
        &self.paths[field.0]
    }

    /// Walks a JSON object; returns it as text. Everything in it is checked to be valid JSON, also what nobody asked for.
    ///
    /// # Errors
    /// [`ExtractError`]; `fields` is then meaningless.
    pub fn walk<'a>(&self, payload: &'a [u8], fields: &mut Fields) -> Result<&'a str, ExtractError> {
        let text = std::str::from_utf8(payload).map_err(|e| ExtractError::Syntax(e.to_string()))?;
        fields.values.clear();
        fields.values.resize(self.paths.len(), None);
        fields.members.clear();
        fields.guesses.resize_with(self.nodes + 1, Guess::default);
        let mut scan = Scan::new(payload);
        scan.space();
        if scan.peek() != Some(b'{') {
            return Err(scan.wrong("\"{\""));
        }
        let mut more = scan.open(b'}')?;
        let mut place = 0;
        while more {
            let start = scan.at();
            let name = self.root.member(&mut scan, fields, &mut place)?;
            let value = scan.at();
            self.take(name, &self.root, &mut scan, fields)?;
            let slice = |start| Slice { start: position(start), end: position(scan.at()) };
            fields.members.push(Member { whole: slice(start), value: slice(value), name });
            more = scan.another(b'}')?;
        }
        scan.space();
        match scan.peek() {
            None => Ok(text),
            Some(_) => Err(ExtractError::Syntax(format!("characters after its end, from byte {}", scan.at()))),
        }
    }

    /// Passes a value, which is that of a child of `parent` if one has its name, and takes what is asked for in it.
    fn take(
        &self,
        name: Option<usize>,
        parent: &Node,
        scan: &mut Scan<'_>,
        fields: &mut Fields,
    ) -> Result<(), ExtractError> {
        let Some(node) = name.map(|at| &parent.children[at].1) else { return scan.value() };
        let start = scan.at();
        let mut is_plain_text = false;
        match scan.peek() {
            Some(b'"') => is_plain_text = !scan.string()?,
            Some(b'{') if !node.children.is_empty() => {
                let mut more = scan.open(b'}')?;
                let mut place = 0;
                while more {
                    let name = node.member(scan, fields, &mut place)?;
                    self.take(name, node, scan, fields)?;
                    more = scan.another(b'}')?;
                }
            }
            Some(b'[') if !node.children.is_empty() => {
                let mut more = scan.open(b']')?;
                let mut at = 0;
                while more {
                    let name = node.children.iter().position(|(name, _)| index(name) == Some(at));
                    self.take(name, node, scan, fields)?;
                    more = scan.another(b']')?;
                    at += 1;
                }
            }
            _ => scan.value()?,
        }
        if let Some(field) = node.field {
            let slot = &mut fields.values[field.0];
            if slot.is_some() {
                return Err(ExtractError::Duplicate(self.path(field).clone()));
            }
            let slice = Slice { start: position(start), end: position(scan.at()) };
            *slot = Some(Value { slice, is_plain_text });
        }
        Ok(())
    }
}

impl Node {
    /// Passes the name of a member and what is around its colon: the child that the member belongs to. `place` is where it is
    /// guessed to be.
    #[inline]
    fn member(
        &self,
        scan: &mut Scan<'_>,
        fields: &mut Fields,
        place: &mut usize,
    ) -> Result<Option<usize>, ExtractError> {
        let guess = &mut fields.guesses[self.number];
        if let Some(child) = guess.takes(scan, place) {
            return Ok(child);
        }
        let start = scan.at();
        let child = self.child(scan.name()?);
        guess.learn(place, scan.since(start), child);
        Ok(child)
    }

    /// The child that a member belongs to; of its name as it is written, and whether that has escapes.
    #[inline]
    fn child(&self, (name, has_escapes): (&[u8], bool)) -> Option<usize> {
        let find = |name: &[u8]| self.children.iter().position(|(known, _)| known.as_bytes() == name);
        if has_escapes {
            // A name that stands for no text is nobody's.
            let text = std::str::from_utf8(name).expect("the whole was checked, and quotes are characters");
            return unescape(text).and_then(|name| find(name.as_bytes()));
        }
        find(&name[1..name.len() - 1])
    }
}

impl Fields {
    /// Where a field's value stands in the payload, if it is there.
    pub fn get(&self, field: FieldId) -> Option<Slice> {
        self.values[field.0].map(|value| value.slice)
    }

    /// Where the text of a field stands in the payload, if it is a string that is written as it is: without its quotes.
    pub fn plain_text(&self, field: FieldId) -> Option<Slice> {
        let Value { slice, is_plain_text } = self.values[field.0]?;
        is_plain_text.then(|| Slice { start: slice.start + 1, end: slice.end - 1 })
    }

    /// The members of the top-level object, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("a record is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(paths: &[&str], payload: &str) -> Result<Vec<Option<String>>, ExtractError> {
        let mut tree = PathTree::default();
        let ids: Vec<FieldId> = paths.iter().map(|p| tree.add(&FieldPath::literal(p))).collect();
        let mut fields = Fields::default();
        tree.walk(payload.as_bytes(), &mut fields)?;
        let text = |s: Slice| String::from_utf8(s.of(payload.as_bytes()).to_vec()).unwrap();
        Ok(ids.into_iter().map(|id| fields.get(id).map(text)).collect())
    }

    #[test]
    fn named_fields_are_found_wherever_they_stand() {
        let json = r#" { "a" : {"b": 1, "c": ["x", {"d": 9007199254740993}]}, "e\u0066": "g", "h": null } "#;
        let found = walk(&["/a/b", "/a/c/1/d", "/ef", "/h", "/a/z", "/a"], json).unwrap();
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(found[..5], [some("1"), some("9007199254740993"), some("\"g\""), some("null"), None]);
        assert!(found[5].as_ref().unwrap().starts_with("{\"b\""));
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let bad = [
            "",
            " ",
            "x",
            "[]",
            "1",
            "\"a\"",
            "null",
            "{",
            "{}}",
            "{} {}",
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":01}"#,
            r#"{"a":{"b":}}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":tru}"#,
            r#"{"a":"x}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\x"}"#,
            r#"{'a':1}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":-}"#,
            r#"{a:1}"#,
            r#"{"b":{"c":[1 2]}}"#,
            r#"{"b":{"c" 1}}"#,
        ];
        for json in bad {
            assert!(matches!(walk(&["/a"], json), Err(ExtractError::Syntax(_))), "{json:?}");
        }
        let mut fields = Fields::default();
        assert!(PathTree::default().walk(b"{\"a\":\"\xff\"}", &mut fields).is_err(), "not UTF-8");
    }

    #[test]
    fn depth_costs_no_stack() {
        let nested = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(walk(&["/a/0/0"], &nested(1_000_000)), Err(ExtractError::Depth));
        assert_eq!(walk(&["/a"], &format!("{{\"a\":{}", "[{\"b\":".repeat(1_000_000))), Err(ExtractError::Depth));
        assert!(walk(&["/a"], &nested(MAX_DEPTH - 1)).is_ok());
        assert!(
            walk(&["/a"], &format!("{{\"a\":\"{}\", \"b\":[{}]}}", "[".repeat(1000), ["{}"; 1000].join(","))).is_ok()
        );
    }

    #[test]
    fn a_named_field_that_is_there_twice_is_refused() {
        assert!(matches!(walk(&["/a"], r#"{"a":1,"b":2,"a":1}"#), Err(ExtractError::Duplicate(_))));
        assert!(walk(&["/a"], r#"{"a":1,"b":2,"b":3}"#).is_ok(), "others are the payload's own affair");
    }

    #[test]
    fn members_cover_the_object() {
        let json = r#"{ "a" : 1 ,"b":{"x":"}\""}, "" : [ ] }"#;
        let (mut tree, mut fields) = (PathTree::default(), Fields::default());
        assert_eq!(tree.add_top_level("b"), 0);
        tree.walk(json.as_bytes(), &mut fields).unwrap();
        let text = |s: Slice| std::str::from_utf8(s.of(json.as_bytes())).unwrap();
        let members: Vec<_> = fields.members().iter().map(|m| (text(m.whole), text(m.value), m.name)).collect();
        assert_eq!(
            members,
            [
                (r#""a" : 1"#, "1", None),
                (r#""b":{"x":"}\""}"#, r#"{"x":"}\""}"#, Some(0)),
                (r#""" : [ ]"#, "[ ]", None)
            ]
        );
    }
    fn is_object(bytes: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        text.trim_ascii_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    const SAMPLE: &str = r#"{"a":{"b":[-1.5e+3,0,10.25,true,false,null,"x\\\"\u00e9é"]}, "long name of a member":"a text of some length" ,"e":[],"f":{} }"#;

    proptest::proptest! {
        /// Against another parser: damage of any kind, anywhere.
        #[test]
        fn what_is_valid_is_what_another_parser_takes(
            at in 0..SAMPLE.len(),
            bytes in proptest::collection::vec(proptest::prop_oneof![
                4 => proptest::sample::select(b"{}[]\",:\\-+.eE019tfnu \t\n\x01".to_vec()),
                1 => proptest::num::u8::ANY,
            ], 0..3),
            removed in 0..4usize,
            cut in 0..3 * SAMPLE.len(),
        ) {
            let mut text = SAMPLE.as_bytes().to_vec();
            text.splice(at..(at + removed).min(SAMPLE.len()), bytes);
            text.truncate(cut.max(1));
            let (mut tree, mut fields) = (PathTree::default(), Fields::default());
            tree.add(&FieldPath::literal("/a/b/1"));
            tree.add_top_level("e");
            let found = tree.walk(&text, &mut fields);
            // After a record with other members it is the same: they are only guessed.
            let mut warm = Fields::default();
            tree.walk(SAMPLE.as_bytes(), &mut warm).unwrap();
            proptest::prop_assert_eq!(&tree.walk(&text, &mut warm), &found);
            if found.is_ok() {
                let seen = |fields: &Fields| format!("{:?} {:?}", fields.values, fields.members);
                proptest::prop_assert_eq!(seen(&warm), seen(&fields));
            }
            let is_taken = !matches!(found, Err(ExtractError::Syntax(_)));
            proptest::prop_assert_eq!(is_taken, is_object(&text), "{}: {:?}", String::from_utf8_lossy(&text), found);
        }
    }
}
