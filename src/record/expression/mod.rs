//! Expressions over the fields of a row, in CEL, the [Common Expression Language](https://cel.dev).
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | an expression: compiled once, evaluated row by row |
//! | `refused` | what is refused before a row is seen: functions that there are not, and what has no order |
//! | `value` | values of JSON as values of CEL, and back |
//! | `object` | objects, of which only what an expression asks for is read |

mod object;
mod refused;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use cel::common::types::{CelBool, CelNull};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::select::member;
use object::Object;

/// An expression over the fields of a row. It has the fields of the document as variables, and the whole document as `row`.
///
/// What it gives depends on the document alone: nothing in it has a clock, and nothing an order that could differ.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    program: Arc<Program>,
    env: Arc<Env>,
}

impl Expression {
    /// Whether it is true of a document.
    ///
    /// # Errors
    /// Why it can not be said, for people.
    pub fn holds(&self, json: &str) -> Result<bool, String> {
        self.evaluate(json, |value| match value.downcast_ref::<CelBool>() {
            Some(holds) => Ok(*holds.inner()),
            None => Err(format!("{:?} is neither true nor false: {}", &*self.text, value::shown(value.as_ref()))),
        })
    }

    /// Appends what it gives for a document, as JSON.
    ///
    /// # Errors
    /// Why it gives nothing, for people. Something may have been appended then.
    pub fn write(&self, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
        self.evaluate(json, |value| value::write(value.as_ref(), out))
    }

    fn evaluate<T>(&self, json: &str, take: impl FnOnce(&CowVal<'_, '_>) -> Result<T, String>) -> Result<T, String> {
        let fields = Fields { json, problem: Mutex::new(None) };
        let mut context = Context::with_env(self.env.clone());
        context.set_variable_resolver(&fields);
        let result = Value::resolve_val(self.program.expression(), &context);
        let problem = fields.problem.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (problem, result) {
            (Some(problem), _) => Err(problem),
            (None, Ok(value)) => take(&value),
            (None, Err(error)) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) => no_field(name),
            ExecutionError::NoSuchKey(name) => no_field(name),
            other => {
                let mut reason = other.to_string();
                if let Some(first) = reason.get(..1).map(str::to_lowercase) {
                    reason.replace_range(..1, &first);
                }
                format!("{:?}: {reason}", &*self.text)
            }
        }
    }
}

fn no_field(name: &str) -> String {
    format!("no field {name:?}")
}

/// The fields of a document, each read when it is asked for.
struct Fields<'a> {
    json: &'a str,
    /// Why one of them can not be read.
    problem: Mutex<Option<String>>,
}

impl Fields<'_> {
    fn note(&self, problem: String) {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
    }
}

impl VariableResolver for Fields<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable == "row" {
            return Some(CowVal::owned(Object::new(self.json)));
        }
        // Names with dots are tried before those of their parts.
        if variable.contains('.') || variable.starts_with('@') {
            return None;
        }
        match member(self.json, variable).map(value::read) {
            Some(Ok(value)) => Some(CowVal::Owned(value)),
            Some(Err(reason)) => {
                self.note(format!("field {variable:?}: {reason}"));
                Some(CowVal::owned(CelNull))
            }
            // It would be taken for the type of types.
            None if variable == "type" => {
                self.note(no_field(variable));
                Some(CowVal::owned(CelNull))
            }
            None => None,
        }
    }
}

impl FromStr for Expression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut env = Env::stdlib();
        env.add_extension(cel::extensions::strings).map_err(|error| error.to_string())?;
        let env = Arc::new(env);
        let program = env.compile(text).map_err(|errors| match errors.errors.first() {
            Some(error) => {
                // What the parser could go on with is half of its grammar.
                let message = error.msg.lines().next().unwrap_or_default();
                let message = message.split(" expecting {").next().unwrap_or_default();
                format!("not an expression: at {}:{}: {message}", error.pos.0, error.pos.1)
            }
            None => "not an expression".to_owned(),
        })?;
        refused::check(&program, &env)?;
        Ok(Expression { text: text.into(), program: Arc::new(program), env })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", &*self.text)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "an expression in CEL over the fields of a row, such as score >= 0.5 && label.startsWith(\"J\")"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"id":"r1","type":"SCENE","n":9007199254740993,"big":18446744073709551615,"huge":18446744073709551616,
        "score":0.5,"whole":1,"range":{"start":2,"end":9,"of":{"x":null}},"labels":["a","b\n",{"k":"v"}],"a-b":true,"size":3}"#;

    fn holds(text: &str) -> Result<bool, String> {
        text.parse::<Expression>()?.holds(ROW)
    }

    fn written(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        text.parse::<Expression>()?.write(ROW, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn fields_are_variables() {
        for text in [
            "type == 'SCENE'",
            "n == 9007199254740993",
            "big == 18446744073709551615u",
            "score < 1 && whole >= 0.5",
            "range.end - range.start == 7",
            "range.of.x == null",
            "has(row.range.end) && !has(range.middle) && !has(row.none)",
            "row['a-b'] && 'a-b' in row && !('c' in row)",
            "labels.exists(l, l == 'a') && labels[2].k == 'v'",
            "labels.filter(l, l == 'z').size() == 0",
            "size(labels) == 3 && size(range) == 3 && size == 3",
            "range.map(k, k) == ['start', 'end', 'of']",
            "id.matches('^r[0-9]$') && id.startsWith('r') && id.upperAscii() == 'R1'",
            "row.?none.orValue(7) == 7",
            "range == {'start': 2, 'end': 9, 'of': {'x': null}} || true",
            "true || none",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_said_is_an_error_that_says_why() {
        for (text, reason) in [
            ("none == 1", r#"no field "none""#),
            ("range.middle > 1", r#"no field "middle""#),
            ("huge > 1", r#"field "huge": 18446744073709551616 has more than 64 bits"#),
            ("score", r#""score" is neither true nor false: 0.5"#),
            ("id > 1", "found no matching overload"),
            ("whole / 0 == 1", "division by zero"),
            ("9223372036854775807 + n > 0", "overflow"),
            ("labels[9] == 1", "index out of bounds"),
        ] {
            let found = holds(text).unwrap_err();
            assert!(found.contains(reason), "{text}: {found}");
        }
        let without = r#"{"id":1}"#;
        assert_eq!("type == 'a'".parse::<Expression>().unwrap().holds(without), Err(r#"no field "type""#.to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said_before_a_row_is_seen() {
        for (text, reason) in [
            ("score >= ", "not an expression: at 1:"),
            ("lower(id) == 'a'", "no function is named \"lower\""),
            ("id.startWith('a')", "no function is named \"startWith\""),
            ("{'a': 1, 'b': 2}.map(k, k)", "has no order"),
            ("", "not an expression"),
        ] {
            let found = text.parse::<Expression>().unwrap_err();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }

    #[test]
    fn results_are_json() {
        for (text, json) in [
            ("n + 1", "9007199254740994"),
            ("big", "18446744073709551615"),
            ("score * 3.0", "1.5"),
            ("range", r#"{"start":2,"end":9,"of":{"x":null}}"#),
            ("labels", r#"["a","b\n",{"k":"v"}]"#),
            ("{'b': 1, 'a': [score, null], '1': type}", r#"{"1":"SCENE","a":[0.5,null],"b":1}"#),
            ("id + '-' + type", r#""r1-SCENE""#),
            ("has(row.none) ? none : -1", "-1"),
            ("row.?none", "null"),
            ("row.?id", r#""r1""#),
        ] {
            assert_eq!(written(text).as_deref(), Ok(json), "{text}");
        }
        assert!(written("1.0 / 0.0").unwrap_err().contains("no number"));
        assert!(written("bytes(id)").unwrap_err().contains("bytes"));
    }
}
