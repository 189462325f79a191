//! Taking named fields out of JSON text: one lazy pass, nothing is built but the fields that were asked for.

use sonic_rs::{LazyValue, to_array_iter, to_object_iter};

use super::path::{FieldPath, Segment};
use super::row::Slice;

/// The paths that a pipeline names, as a tree, so that each object is walked once.
#[derive(Clone, Debug, Default)]
pub struct PathTree {
    root: Node,
    paths: Vec<FieldPath>,
}

/// Stands for a path in a [`PathTree`], and for its value in [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldId(usize);

#[derive(Clone, Debug, Default)]
struct Node {
    field: Option<FieldId>,
    children: Vec<(String, Node)>,
}

/// What one record's walk found; reused from record to record.
#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<Option<Slice>>,
    members: Vec<Member>,
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
        let mut node = &mut self.root;
        for segment in path.segments() {
            // Fanning out is refused at validation where a single value is needed; "*" is then an ordinary name.
            let name = match segment {
                Segment::Name(name) => name,
                Segment::Each => "*",
            };
            let at = node.children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                node.children.push((name.to_owned(), Node::default()));
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
        let children = &mut self.root.children;
        children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            children.push((name.to_owned(), Node::default()));
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
        if is_too_deep(payload) {
            return Err(ExtractError::Depth);
        }
        let mut end = 0;
        for entry in to_object_iter(text) {
            let (name, value) = entry.map_err(|e| syntax(&e))?;
            let value_slice = slice_of(payload, &value);
            let quote = memchr::memchr(b'"', &payload[end..]).expect("a member has a name") + end;
            end = value_slice.end as usize;
            let whole = Slice { start: position(quote), end: value_slice.end };
            let at = self.root.children.iter().position(|(n, _)| *n == name);
            fields.members.push(Member { whole, value: value_slice, name: at });
            if let Some(at) = at {
                self.take(&self.root.children[at].1, payload, &value, fields)?;
            }
        }
        // The iterator stops at the brace that closes the object. An empty object has no value to start behind.
        let close = memchr::memchr(b'}', &payload[end..]).map_or(payload.len(), |at| end + at + 1);
        match payload[close..].iter().find(|b| !b.is_ascii_whitespace()) {
            None => Ok(text),
            Some(_) => Err(ExtractError::Syntax("characters after its end".to_owned())),
        }
    }

    fn take(
        &self,
        node: &Node,
        payload: &[u8],
        value: &LazyValue<'_>,
        fields: &mut Fields,
    ) -> Result<(), ExtractError> {
        if let Some(field) = node.field {
            let slot = &mut fields.values[field.0];
            if slot.is_some() {
                return Err(ExtractError::Duplicate(self.path(field).clone()));
            }
            *slot = Some(slice_of(payload, value));
        }
        if node.children.is_empty() {
            return Ok(());
        }
        let raw = value.as_raw_str();
        match raw.as_bytes().first() {
            Some(b'{') => {
                for entry in to_object_iter(raw) {
                    let (name, inner) = entry.map_err(|e| syntax(&e))?;
                    if let Some((_, child)) = node.children.iter().find(|(n, _)| *n == name) {
                        self.take(child, payload, &inner, fields)?;
                    }
                }
            }
            Some(b'[') => {
                for (index, inner) in to_array_iter(raw).enumerate() {
                    let inner = inner.map_err(|e| syntax(&e))?;
                    if let Some((_, child)) = node.children.iter().find(|(n, _)| super::select::index(n) == Some(index))
                    {
                        self.take(child, payload, &inner, fields)?;
                    }
                }
            }
            _ => (),
        }
        Ok(())
    }
}

impl Fields {
    /// Where a field's value stands in the payload, if it is there.
    pub fn get(&self, field: FieldId) -> Option<Slice> {
        self.values[field.0]
    }

    /// The members of the top-level object, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// Whether brackets are nested deeper than [`MAX_DEPTH`]. Nearly all records have fewer brackets than that in all.
fn is_too_deep(payload: &[u8]) -> bool {
    if memchr::memchr2_iter(b'[', b'{', payload).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut in_string, mut bytes) = (0usize, false, payload.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => (),
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn syntax(error: &sonic_rs::Error) -> ExtractError {
    // The parser's message goes on with an excerpt over several lines; the payload is kept anyway.
    let text = error.to_string();
    ExtractError::Syntax(text.split('\n').next().unwrap_or_default().trim().to_owned())
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("a record is shorter than 4 GiB")
}

/// Where a value that borrows from `payload` stands in it.
fn slice_of(payload: &[u8], value: &LazyValue<'_>) -> Slice {
    let raw = value.as_raw_str();
    let start = raw.as_ptr() as usize - payload.as_ptr() as usize;
    Slice { start: position(start), end: position(start + raw.len()) }
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
}
