//! The values of the further columns: taken from the rendered document by path, without parsing the rest of it.

use std::borrow::Cow;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::record::{FieldPath, select, unescape};

/// A value as SQLite stores it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(*value),
            Cell::Real(value) => ValueRef::Real(*value),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// What `path` leads to in `document`, which is JSON: strings as text, integers as integers (as text if they do not fit 64
/// bits, so that they stay exact), other numbers as floats, booleans as 0 and 1, arrays and objects as JSON text, nothing as
/// null. A path that fans out gives a JSON array of all that it leads to. `scratch` holds what had to be put together.
pub(super) fn cell<'a>(document: &'a str, path: &FieldPath, scratch: &'a mut String) -> Cell<'a> {
    if !path.fans_out() {
        let mut leaf = None;
        select(document, path, |json| leaf = Some(json));
        return leaf.map_or(Cell::Null, scalar);
    }
    scratch.clear();
    scratch.push('[');
    select(document, path, |json| {
        if scratch.len() > 1 {
            scratch.push(',');
        }
        scratch.push_str(json);
    });
    scratch.push(']');
    Cell::Text(Cow::Borrowed(scratch))
}

fn scalar(json: &str) -> Cell<'_> {
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        None | Some(b'n') => Cell::Null,
        Some(b't') => Cell::Integer(1),
        Some(b'f') => Cell::Integer(0),
        Some(b'"') => string(json),
        Some(b'{' | b'[') => Cell::Text(Cow::Borrowed(json)),
        Some(_) => number(json),
    }
}

/// An escape that stands for no character (half of a surrogate pair) leaves the text as it is written.
fn string(json: &str) -> Cell<'_> {
    Cell::Text(unescape(json).unwrap_or(Cow::Borrowed(json)))
}

fn number(json: &str) -> Cell<'_> {
    if json.contains(['.', 'e', 'E']) {
        return json.parse().map_or(Cell::Text(Cow::Borrowed(json)), Cell::Real);
    }
    json.parse().map_or(Cell::Text(Cow::Borrowed(json)), Cell::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#" {"ids":{"ASSET/ID":"a7","n":0},"start":9007199254740993,"low":-9223372036854775808,
        "huge":18446744073709551615,"ratio":0.25,"exp":1e3,"yes":true,"no":false,"none":null,"text":"Joey \"J\" \u00e9",
        "list":[{"label":"a","tags":["x","y"]},{"tags":[]},{"label":null,"tags":"z"},7],"nested":[[1],[2,3]]} "#;

    #[track_caller]
    fn check(path: &str, expected: &Cell<'_>) {
        assert_eq!(&cell(DOCUMENT, &FieldPath::literal(path), &mut String::new()), expected, "{path}");
    }

    fn text(text: &str) -> Cell<'_> {
        Cell::Text(text.into())
    }

    #[test]
    fn values_keep_their_type() {
        check("/ids/ASSET~1ID", &text("a7"));
        check("/text", &text("Joey \"J\" é"));
        check("/ratio", &Cell::Real(0.25));
        check("/exp", &Cell::Real(1000.0));
        check("/yes", &Cell::Integer(1));
        check("/no", &Cell::Integer(0));
    }

    #[test]
    fn integers_are_exact() {
        check("/start", &Cell::Integer((1 << 53) + 1));
        check("/low", &Cell::Integer(i64::MIN));
        check("/huge", &text("18446744073709551615"));
    }

    #[test]
    fn null_and_absent_are_null() {
        for path in ["/none", "/missing", "/ids/missing", "/text/deeper", "/list/9", "/list/00", "/list/x"] {
            check(path, &Cell::Null);
        }
    }

    #[test]
    fn arrays_and_objects_are_json_text() {
        check("/ids", &text(r#"{"ASSET/ID":"a7","n":0}"#));
        check("/list/0/tags", &text(r#"["x","y"]"#));
        check("/list/0/tags/1", &text("y"));
    }

    #[test]
    fn a_star_gives_an_array_of_all_values() {
        check("/list/*/label", &text(r#"["a",null]"#));
        check("/list/*/tags/*", &text(r#"["x","y"]"#));
        check("/nested/*", &text("[[1],[2,3]]"));
        check("/nested/*/*", &text("[1,2,3]"));
        check("/nested/*/0", &text("[1,2]"));
        check("/ids/*", &text("[]"));
        check("/missing/*", &text("[]"));
    }
}
