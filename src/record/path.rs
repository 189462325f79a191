//! Field paths: JSON Pointer (RFC 6901), with `*` for "each element" where a path may fan out.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path to a field, such as `/time_range/start_time_ns`, or `/source_annotations/*/label`.
///
/// `~1` stands for `/` and `~0` for `~` in a name. Never empty: the whole document is not a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member of an object; a number also selects an element of an array.
    Name(String),
    /// Each element of an array.
    Each,
}

impl FieldPath {
    /// A path that is known to be right.
    ///
    /// # Panics
    /// If it is not.
    pub fn literal(text: &str) -> Self {
        text.parse().expect("a literal field path")
    }

    /// The path of a member of the top-level object.
    pub fn of_member(name: &str) -> Self {
        FieldPath { segments: vec![Segment::Name(name.to_owned())] }
    }

    /// The path of these steps, unless there are none.
    pub(super) fn of_segments(segments: &[Segment]) -> Option<Self> {
        (!segments.is_empty()).then(|| FieldPath { segments: segments.to_vec() })
    }

    /// The steps; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The member of the top-level object that the path leads into.
    pub fn top_level(&self) -> Option<&str> {
        match &self.segments[0] {
            Segment::Name(name) => Some(name),
            Segment::Each => None,
        }
    }

    /// Whether the path may lead to several values.
    pub fn fans_out(&self) -> bool {
        self.segments.contains(&Segment::Each)
    }
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("a field path starts with '/': expected \"/{text}\"? not {text:?}"));
        };
        let segments = rest.split('/').map(|segment| match segment {
            "" => Err(format!("empty name in field path {text:?}")),
            "*" => Ok(Segment::Each),
            name => unescape(name)
                .map(Segment::Name)
                .ok_or_else(|| format!("'~' in a field path must be \"~0\" (for '~') or \"~1\" (for '/'): {text:?}")),
        });
        Ok(FieldPath { segments: segments.collect::<Result<_, _>>()? })
    }
}

fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Each => f.write_str("/*")?,
                Segment::Name(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?,
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for FieldPath {
    fn schema_name() -> Cow<'static, str> {
        "FieldPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(/([^/~]|~[01])+)+$",
            "description": "a field path: a JSON Pointer such as /time_range/start_time_ns; * stands for each element of an array"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_json_pointers_with_a_star() {
        let path: FieldPath = "/source_annotations/*/a~1b~0c".parse().unwrap();
        let name = |n: &str| Segment::Name(n.to_owned());
        assert_eq!(path.segments(), [name("source_annotations"), Segment::Each, name("a/b~c")]);
        assert_eq!(path.to_string(), "/source_annotations/*/a~1b~0c");
        assert!(path.fans_out());
        assert_eq!(path.top_level(), Some("source_annotations"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "label", "/", "/a//b", "/a/", "/a~2"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text:?}");
        }
    }
}
