//! Deletions that carry a key and no payload: a source's tombstones.

use serde_json::Value;

use super::Decoder;
use crate::record::packed::{Position, Record, State};
use crate::record::scalar::{Key, Scalar};

impl Decoder {
    /// Decodes the deletion of the row with this key: JSON, one value, or an array of all values of the key.
    ///
    /// # Errors
    /// Why it deletes nothing, for people.
    pub fn decode_deletion(&mut self, key: &[u8], position: Position) -> Result<Record, String> {
        if self.key.is_empty() && !self.is_by_message {
            return Err("deletion of a row, and rows have no key".to_owned());
        }
        if let Some(version) = self.version {
            let path = self.fields.path(version);
            return Err(format!("deletion without the version {path}: delete by a record that has it, and `delete`"));
        }
        let (values, wanted) = (message_key(key)?, self.key.len());
        if values.len() != wanted && !self.is_by_message {
            let shown = shown(key);
            return Err(format!("message key has {} values, and rows have a key of {wanted}: {shown}", values.len()));
        }
        let mut writer = std::mem::take(&mut self.writer);
        writer.key(None, &of_values(values));
        writer.state(&State::at(position), false);
        let record = writer.finish();
        self.writer = writer;
        Ok(record)
    }
}

impl Decoder {
    /// Whether the key of a row is that of its message.
    pub fn is_by_message(&self) -> bool {
        self.is_by_message
    }

    /// The key of a row whose message has this key, if it has one: JSON, one value, or an array of several.
    ///
    /// # Errors
    /// Why it is none, for people.
    pub fn key_of_message(key: Option<&[u8]>) -> Result<Key, String> {
        message_key(key.ok_or("message without a key")?).map(of_values)
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).chars().take(60).collect()
}

fn message_key(key: &[u8]) -> Result<Vec<Scalar>, String> {
    let value: Value = serde_json::from_slice(key).map_err(|_| format!("message key is no JSON: {}", shown(key)))?;
    let values = match value {
        Value::Array(values) => values,
        value => vec![value],
    };
    let parts: Option<Vec<Scalar>> = values.iter().map(scalar).collect();
    let parts = parts.filter(|parts| !parts.is_empty());
    parts.ok_or_else(|| format!("message key is not made of strings and integers: {}", shown(key)))
}

fn of_values(mut values: Vec<Scalar>) -> Key {
    if values.len() == 1 { Key::One(values.remove(0)) } else { Key::Composite(values.into()) }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Str(text.as_str().into())),
        Value::Number(number) => number.as_i64().map(Scalar::Int).or_else(|| number.as_u64().map(Scalar::unsigned)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode::DecodeSpec;
    use crate::record::path::FieldPath;

    fn delete(key: &[&'static str], version: Option<&'static str>, text: &str) -> Result<Record, String> {
        let key = key.iter().map(|path| FieldPath::literal(path)).collect();
        let spec = DecodeSpec { key, version: version.map(FieldPath::literal), ..DecodeSpec::default() };
        Decoder::new(&spec).decode_deletion(text.as_bytes(), Position { source: 1, partition: 2, offset: 3 })
    }

    #[test]
    fn a_deletion_has_the_key_that_a_row_would_have() {
        let key = |paths: &[&'static str], text: &str| {
            let record = delete(paths, None, text).unwrap();
            assert!(record.is_deletion());
            let mut out = Vec::new();
            record.key().write_json(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(key(&["/id"], r#""17""#), r#"["17"]"#);
        assert_eq!(key(&["/id"], "17"), "[17]");
        assert_eq!(key(&["/id"], "[18446744073709551615]"), "[18446744073709551615]");
        assert_eq!(key(&["/a", "/b"], r#"["x",-1]"#), r#"["x",-1]"#);
    }

    #[test]
    fn what_names_no_row_is_refused_with_the_reason() {
        let refused = |paths: &[&'static str], version, text: &str, reason: &str| {
            let said = delete(paths, version, text).unwrap_err();
            assert!(said.contains(reason), "{said}");
        };
        refused(&["/id"], None, "a1", "no JSON: a1");
        refused(&["/id"], None, "1.5", "not made of strings and integers");
        refused(&["/id"], None, "null", "not made of strings and integers");
        refused(&["/id"], None, r#"["a","b"]"#, "2 values");
        refused(&["/a", "/b"], None, r#""a""#, "1 values");
        refused(&["/id"], Some("/v"), "1", "without the version /v");
        refused(&[], None, "1", "rows have no key");
    }

    #[test]
    fn a_row_by_its_message_and_its_deletion_have_the_same_key() {
        let spec = DecodeSpec { is_by_message: true, ..DecodeSpec::default() };
        let (mut decoder, position) = (Decoder::new(&spec), Position { source: 1, partition: 2, offset: 3 });
        for (text, expected) in [("\"a\"", "[\"a\"]"), ("7", "[7]"), ("[\"a\",7]", "[\"a\",7]"), ("[\"a\"]", "[\"a\"]")]
        {
            let key = Decoder::key_of_message(Some(text.as_bytes())).unwrap();
            let row = decoder.decode(b"{\"n\":1}", position, || key).unwrap();
            let deletion = decoder.decode_deletion(text.as_bytes(), position).unwrap();
            assert!(deletion.is_deletion() && !row.is_deletion());
            for record in [row, deletion] {
                let mut out = Vec::new();
                record.key().write_json(&mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
        for (key, reason) in [(None, "without a key"), (Some("[]"), "not made of"), (Some("x"), "no JSON")] {
            let said = Decoder::key_of_message(key.map(str::as_bytes)).unwrap_err();
            assert!(said.contains(reason), "{said}");
        }
    }
}
