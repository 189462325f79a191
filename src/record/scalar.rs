//! The values that keys, assets and types are made of.

use std::fmt;
use std::sync::Arc;

use flowstone_operators::route::Route;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A string or an integer, compared by type: integers before strings, integers by value, strings by their bytes.
///
/// Cloning is cheap: strings are short, or shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    /// An integer that fits 64 bits with a sign.
    Int(i64),
    /// An integer above `i64::MAX`; smaller ones are always [`Scalar::Int`], so that equal numbers are equal values.
    UInt(u64),
    /// A string, unescaped.
    Str(SmolStr),
}

/// A [`Scalar`] whose text is somewhere else. Ordered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScalarRef<'a> {
    /// [`Scalar::Int`]
    Int(i64),
    /// [`Scalar::UInt`]
    UInt(u64),
    /// [`Scalar::Str`]
    Str(&'a str),
}

impl Scalar {
    /// An integer that is not negative.
    pub fn unsigned(value: u64) -> Self {
        i64::try_from(value).map_or(Scalar::UInt(value), Scalar::Int)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Scalar::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The same without a share of it.
    pub fn as_ref(&self) -> ScalarRef<'_> {
        match self {
            Scalar::Int(value) => ScalarRef::Int(*value),
            Scalar::UInt(value) => ScalarRef::UInt(*value),
            Scalar::Str(text) => ScalarRef::Str(text),
        }
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.as_ref().write_json(out);
    }
}

impl From<ScalarRef<'_>> for Scalar {
    fn from(value: ScalarRef<'_>) -> Self {
        match value {
            ScalarRef::Int(value) => Scalar::Int(value),
            ScalarRef::UInt(value) => Scalar::UInt(value),
            ScalarRef::Str(text) => Scalar::Str(text.into()),
        }
    }
}

impl ScalarRef<'_> {
    /// Appends the value as JSON.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            ScalarRef::Int(value) => write_integer(value, out),
            ScalarRef::UInt(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            ScalarRef::Str(text) => write_string(text, out),
        }
    }

    /// Appends bytes that differ for different values: what hashes are taken of.
    fn write_hash_bytes(self, out: &mut Vec<u8>) {
        match self {
            ScalarRef::Int(value) => {
                out.push(b'i');
                out.extend_from_slice(&value.to_le_bytes());
            }
            ScalarRef::UInt(value) => {
                out.push(b'u');
                out.extend_from_slice(&value.to_le_bytes());
            }
            ScalarRef::Str(text) => {
                out.push(b's');
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

impl Route for ScalarRef<'_> {
    fn route(&self) -> u64 {
        match self {
            ScalarRef::Str(text) => text.route(),
            ScalarRef::Int(value) => value.route(),
            ScalarRef::UInt(value) => value.route(),
        }
    }
}

impl Route for Scalar {
    fn route(&self) -> u64 {
        self.as_ref().route()
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Scalar::Str(text.into())
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Scalar::Int(value)
    }
}

/// Strings as they are, without quotes.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Int(value) => value.fmt(f),
            Scalar::UInt(value) => value.fmt(f),
            Scalar::Str(text) => text.fmt(f),
        }
    }
}

/// The key of a row: one value or several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// `key: /path`
    One(Scalar),
    /// `key: [/a, /b]`, in that order.
    Composite(Arc<[Scalar]>),
}

impl Key {
    /// The values of the key, in order.
    pub fn parts(&self) -> &[Scalar] {
        match self {
            Key::One(part) => std::slice::from_ref(part),
            Key::Composite(parts) => parts,
        }
    }

    /// Appends the key as a compact JSON array, which is the row key in every sink: `["a7",4000000000]`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_key(self.parts().iter().map(Scalar::as_ref), out);
    }
}

/// A key of one value routes like that value.
impl Route for Key {
    fn route(&self) -> u64 {
        match self {
            Key::One(part) => part.route(),
            Key::Composite(parts) => route_of_parts(parts.iter().map(Scalar::as_ref)),
        }
    }
}

/// The route of a key of several values.
pub(super) fn route_of_parts<'a>(parts: impl Iterator<Item = ScalarRef<'a>>) -> u64 {
    let mut bytes = Vec::new();
    for part in parts {
        let start = bytes.len();
        part.write_hash_bytes(&mut bytes);
        // The length after each part: ["ab","c"] and ["a","bc"] are different keys.
        let length = bytes.len() - start;
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
    }
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

/// Appends `parts` as a compact JSON array.
pub fn write_key<'a>(parts: impl Iterator<Item = ScalarRef<'a>>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, part) in parts.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        part.write_json(out);
    }
    out.push(b']');
}

/// Appends an integer in decimal.
pub fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a JSON string; escapes only what JSON demands, so that equal strings are equal bytes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(key: &Key) -> String {
        let mut out = Vec::new();
        key.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_key_is_a_compact_json_array() {
        let key = Key::Composite(vec![Scalar::from("a\"7\n"), Scalar::Int(-4), Scalar::UInt(u64::MAX)].into());
        assert_eq!(json(&key), r#"["a\"7\n",-4,18446744073709551615]"#);
        assert_eq!(json(&Key::One("é\u{1}".into())), "[\"é\\u0001\"]");
    }

    #[test]
    fn keys_are_compared_by_type() {
        assert_ne!(Key::One("7".into()), Key::One(7.into()));
        assert!(Scalar::Int(9) < Scalar::Int(10), "by value, not by text");
        assert!(Scalar::Int(i64::MAX) < Scalar::UInt(1 << 63));
        assert!(Scalar::UInt(u64::MAX) < Scalar::from(""));
    }

    #[test]
    fn routing_is_pinned() {
        // The hash decides which worker owns a row, and which part of the state: it must never change.
        let composite = Key::Composite(vec!["a7".into(), Scalar::Int(7)].into());
        assert_eq!(
            [Scalar::from("a7").route(), Scalar::Int(7).route(), composite.route()],
            [7420727654420190812, 9324454920402081455, 16925402917578433317]
        );
    }
}
