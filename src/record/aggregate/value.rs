//! Values of fields, as they are compared and counted.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::record::decimal::Decimal;
use crate::record::scalar::write_string;
use crate::record::select::unescape;
use crate::record::{FieldPath, Interner};

/// A value of a field: truth values before numbers before strings, numbers by value, strings by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Value {
    Bool(bool),
    Number(Decimal),
    Text(SmolStr),
}

impl Value {
    /// Reads JSON text; `null` is no value.
    pub(super) fn read(json: &str, path: &FieldPath, strings: &mut Interner) -> Result<Self, String> {
        match json.as_bytes().first() {
            Some(b'"') => text(json, path, strings).map(Value::Text),
            Some(b't') => Ok(Value::Bool(true)),
            Some(b'f') => Ok(Value::Bool(false)),
            Some(b'[' | b'{' | b'n') | None => Err(wrong(path, "a string, a number, true or false", json)),
            Some(_) => number(json, path).map(Value::Number),
        }
    }

    /// What it is called as a member of an object.
    pub(super) fn name(self) -> SmolStr {
        match self {
            Value::Text(text) => text,
            Value::Bool(value) => if value { "true" } else { "false" }.into(),
            Value::Number(number) => {
                let mut out = Vec::new();
                number.write_json(&mut out);
                String::from_utf8(out).expect("digits are characters").into()
            }
        }
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Number(number) => number.write_json(out),
            Value::Text(text) => write_string(text, out),
        }
    }
}

/// Reads a JSON number.
pub(super) fn number(json: &str, path: &FieldPath) -> Result<Decimal, String> {
    Decimal::parse(json).ok_or_else(|| wrong(path, "a number below 1.7e20", json))
}

/// Reads a JSON string.
pub(super) fn text(json: &str, path: &FieldPath, strings: &mut Interner) -> Result<SmolStr, String> {
    let text = unescape(json).ok_or_else(|| wrong(path, "a valid string", json))?;
    Ok(strings.text(&text))
}

pub(super) fn wrong(path: &FieldPath, expected: &str, found: &str) -> String {
    let found: String = found.chars().take(60).collect();
    format!("field {path} is not {expected}: {found}")
}
