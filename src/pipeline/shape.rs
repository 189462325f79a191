//! Checks a tree against the JSON Schema, and makes the value that serde reads.
//!
//! Not by a general validator: those speak of JSON ("is not valid under any of the given schemas"), not of lines, and stop
//! short of naming what was meant. The schema is our own, so only the keywords that it uses need to be known; a test sees to
//! it that there are no others.

use serde_json::{Map, Value};

use super::problem::{Place, Report, name_hint, nearest};
use super::schema::resolve;
use super::topics::KeyField;
use super::tree::{Content, Node, Scalar};
use super::units::{ByteSize, Span};
use crate::record::{Expression, FieldPath};

/// Checks `root` against `schema`. What the answer holds is only of use if there were no problems.
pub(super) fn check(root: &Node, schema: &Value, report: &mut Report) -> Value {
    let definitions = schema["$defs"].as_object().expect("the generated schema has definitions");
    let mut checker = Checker { definitions, report };
    checker.value(root, schema, Here { at: root.at, path: "" })
}

/// Where a value is; an empty one has no place of its own, so it is the place of its key.
#[derive(Clone, Copy)]
struct Here<'p> {
    at: Place,
    path: &'p str,
}

struct Checker<'a> {
    definitions: &'a Map<String, Value>,
    report: &'a mut Report,
}

impl<'a> Checker<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, here: Here<'_>) -> Value {
        if matches!(&node.content, Content::Scalar(scalar) if scalar.unknown) {
            return Value::Null;
        }
        let asked = schema;
        let (schema, name) = resolve(asked, self.definitions);
        if let (Some("Literal"), Content::Scalar(scalar)) = (name, &node.content)
            && !scalar.is_null()
        {
            return scalar.text.clone().into();
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let fitting = choices.iter().find(|choice| self.fits(node, choice));
            return match fitting {
                Some(choice) => self.value(node, choice, here),
                None => self.wrong(node, asked, here),
            };
        }
        match (type_of(schema), &node.content) {
            ("object", Content::Map(_)) => self.mapping(node, schema, here),
            // `memory:` alone means `memory: {}`.
            ("object", Content::Scalar(scalar)) if scalar.is_null() => self.mapping(node, schema, here),
            ("array", Content::List(items)) => self.list(items, schema, here),
            ("choice", Content::Scalar(scalar)) if !scalar.is_null() => self.choice(scalar, schema, here),
            ("choice", Content::Map(_)) if mapping_choice(schema).is_some() => {
                self.mapping(node, mapping_choice(schema).expect("asked above"), here)
            }
            ("string", Content::Scalar(scalar)) if scalar.substituted || !scalar.is_null() => {
                self.string(scalar, schema, name, here)
            }
            ("integer", Content::Scalar(scalar)) => match scalar.integer() {
                Some(number) => self.integer(number, schema, here),
                None => self.wrong(node, asked, here),
            },
            ("boolean", Content::Scalar(scalar)) if scalar.bool().is_some() => scalar.bool().into(),
            _ => self.wrong(node, asked, here),
        }
    }

    /// Whether a choice is the one that was meant, by its type alone.
    fn fits(&self, node: &Node, choice: &Value) -> bool {
        let kind = type_of(resolve(choice, self.definitions).0);
        match &node.content {
            Content::List(_) => kind == "array",
            Content::Scalar(scalar) => !matches!(kind, "array" | "object") && !scalar.is_null(),
            Content::Map(_) => kind == "object",
        }
    }

    fn list(&mut self, items: &[Node], schema: &'a Value, here: Here<'_>) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            self.say(here, format!("expected at least {least} entry in the list"), None);
        }
        let values = items.iter().enumerate().map(|(n, item)| {
            let path = format!("{}[{n}]", here.path);
            self.value(item, &schema["items"], Here { at: item.at, path: &path })
        });
        Value::Array(values.collect())
    }

    fn choice(&mut self, scalar: &Scalar, schema: &'a Value, here: Here<'_>) -> Value {
        let names: Vec<&str> = choices(schema).collect();
        if !names.contains(&scalar.text.as_str()) {
            let message = format!("expected {}, not {:?}", self.expected(schema), scalar.text);
            let near = nearest(&scalar.text, &names).map(|near| format!("did you mean {near:?}?"));
            self.say(here, message, self.value_hint(&scalar.text, schema).or(near));
        }
        scalar.text.clone().into()
    }

    /// The hint that the name of a field deserves where the field itself is needed.
    fn value_hint(&self, text: &str, schema: &Value) -> Option<String> {
        let fields = mapping_choice(schema)?.get("properties")?.as_object()?;
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let near = nearest(text, &names)?;
        Some(format!("{near:?} takes a value: {}", self.expected(&fields[near])))
    }

    fn string(&mut self, scalar: &Scalar, schema: &'a Value, name: Option<&str>, here: Here<'_>) -> Value {
        let text = &scalar.text;
        if let Some(read) = name.and_then(reader) {
            if let Err(message) = read(text) {
                self.say(here, message, None);
            }
        } else if (scalar.is_number() || scalar.bool().is_some()) && !scalar.substituted {
            self.say(here, format!("expected a string, not {text}"), Some(format!("put it in quotes: \"{text}\"")));
        } else if text.is_empty() && schema.get("minLength").is_some() {
            self.say(here, "expected a string that is not empty".to_owned(), None);
        }
        text.clone().into()
    }

    fn integer(&mut self, number: i128, schema: &'a Value, here: Here<'_>) -> Value {
        let least = schema.get("minimum").and_then(Value::as_i64).map_or(i128::from(i64::MIN), i128::from);
        let most = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => i128::from(u32::MAX),
            _ => i128::from(i64::MAX),
        };
        if !(least..=most).contains(&number) {
            self.say(here, format!("expected a whole number from {least} to {most}, not {number}"), None);
        }
        i64::try_from(number).map_or(Value::Null, Value::from)
    }

    fn mapping(&mut self, node: &Node, schema: &'a Value, here: Here<'_>) -> Value {
        let fields = schema.get("properties").and_then(Value::as_object);
        let any = schema.get("additionalProperties").filter(|any| any.is_object());
        let mut values = Map::new();
        let mut unknown = Vec::new();
        for entry in node.entries() {
            let path = super::join(here.path, &entry.key);
            let at = if entry.value.is_null() { entry.at } else { entry.value.at };
            match fields.and_then(|fields| fields.get(&entry.key)).or(any) {
                Some(field) => {
                    let value = self.value(&entry.value, field, Here { at, path: &path });
                    values.insert(entry.key.clone(), value);
                }
                None => {
                    let hint = fields.and_then(|fields| self.unknown_hint(&entry.key, node, fields));
                    let message = format!("unknown field {:?} in {}", entry.key, place_name(here.path));
                    self.report.problem(entry.at, &path, message, hint);
                    unknown.push(entry.key.as_str());
                }
            }
        }
        let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
        if (node.entries().len() as u64) < least {
            self.say(here, format!("expected at least {least} entry"), None);
        }
        self.missing(&values, &unknown, schema, here);
        self.exactly_one(node, &unknown, schema, here);
        Value::Object(values)
    }

    /// What to say of an unknown field: a near name, or the part of the mapping that it belongs in, or all names.
    fn unknown_hint(&self, key: &str, node: &Node, fields: &Map<String, Value>) -> Option<String> {
        if key == "<<" {
            return Some("merge keys are not part of YAML 1.2: write the fields out".to_owned());
        }
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let home = node.entries().iter().find(|entry| {
            let field = fields.get(&entry.key).map(|field| resolve(field, self.definitions).0);
            field.and_then(|field| field.get("properties")).is_some_and(|inner| inner.get(key).is_some())
        });
        match (nearest(key, &names), home) {
            (None, Some(home)) => Some(format!("it belongs in {:?}", home.key)),
            _ => name_hint(key, names),
        }
    }

    /// Fields that must be there; not those that are there with a misspelt name, which is said already.
    fn missing(&mut self, values: &Map<String, Value>, unknown: &[&str], schema: &'a Value, here: Here<'_>) {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !values.contains_key(*name)) {
            if !unknown.iter().any(|key| nearest(key, &[name]).is_some()) {
                let message = format!("missing field {name:?} in {}", place_name(here.path));
                let path = super::join(here.path, name);
                self.report.problem(here.at, &path, message, self.meaning(schema, name));
            }
        }
    }

    /// What a field is for, as a hint.
    fn meaning(&self, schema: &Value, name: &str) -> Option<String> {
        let description = schema.get("properties")?.get(name)?.get("description")?.as_str()?;
        let sentence = description.trim_end_matches('.');
        let (first, rest) = sentence.split_at_checked(1)?;
        let acronym = rest.starts_with(|c: char| c.is_uppercase());
        Some(if acronym { sentence.to_owned() } else { first.to_lowercase() + rest })
    }

    /// The kinds of a source, operator or sink: a mapping holds one of them.
    fn exactly_one(&mut self, node: &Node, unknown: &[&str], schema: &'a Value, here: Here<'_>) {
        let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
        let kinds: Vec<&str> = choices.iter().filter_map(|choice| choice["required"][0].as_str()).collect();
        let found: Vec<_> = node.entries().iter().filter(|entry| kinds.contains(&entry.key.as_str())).collect();
        match found.as_slice() {
            [_] => {}
            [] => {
                // An unknown field with settings below it was meant as the kind.
                let meant = |key: &&str| node.get(key).is_some_and(|e| e.value.is_null() || e.value.text().is_none());
                if !unknown.iter().any(meant) {
                    let message = format!("expected exactly one of {} in {}", kinds.join(", "), place_name(here.path));
                    self.report.problem(here.at, here.path, format!("{message}, found none"), None);
                }
            }
            [first, others @ ..] => {
                for other in others {
                    let message = format!("expected exactly one of {} in {}", kinds.join(", "), place_name(here.path));
                    let path = super::join(here.path, &other.key);
                    let message = format!("{message}, found {:?} besides {:?}", other.key, first.key);
                    self.report.problem(other.at, &path, message, None);
                }
            }
        }
    }

    /// A value of the wrong type.
    fn wrong(&mut self, node: &Node, schema: &'a Value, here: Here<'_>) -> Value {
        let (resolved, _) = resolve(schema, self.definitions);
        let spoken = node.text().filter(|text| ["yes", "no", "on", "off"].contains(text));
        let hint = match (type_of(resolved), spoken) {
            ("boolean", Some(text)) => Some(format!("write {}", matches!(text, "yes" | "on"))),
            _ => None,
        };
        self.say(here, format!("expected {}, not {}", self.expected(schema), found(node)), hint);
        Value::Null
    }

    /// In words, what a schema wants.
    fn expected(&self, schema: &Value) -> String {
        let (schema, name) = resolve(schema, self.definitions);
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            return choices.iter().map(|choice| self.expected(choice)).collect::<Vec<_>>().join(", or ");
        }
        let description = || schema.get("description").and_then(Value::as_str);
        match type_of(schema) {
            "object" => match schema.get("properties").and_then(Value::as_object) {
                Some(fields) => format!("a mapping with {}", fields.keys().cloned().collect::<Vec<_>>().join(", ")),
                None => "a mapping".to_owned(),
            },
            "array" => "a list".to_owned(),
            "choice" => {
                let names = choices(schema).collect::<Vec<_>>().join(", ");
                match mapping_choice(schema) {
                    Some(mapping) => format!("{names}, or {}", self.expected(mapping)),
                    None => format!("one of {names}"),
                }
            }
            "integer" => "a whole number".to_owned(),
            "boolean" => "true or false".to_owned(),
            _ => name.and(description()).unwrap_or("a string").to_owned(),
        }
    }

    fn say(&mut self, here: Here<'_>, message: String, hint: Option<String>) {
        let message = if here.path.is_empty() { message } else { format!("{}: {message}", here.path) };
        self.report.problem(here.at, here.path, message, hint);
    }
}

/// The JSON type; "choice" for a list of constants, besides which there may be a mapping.
fn type_of(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some(name) => name,
        None if schema.get("oneOf").is_some() => "choice",
        None => "any",
    }
}

fn choices(schema: &Value) -> impl Iterator<Item = &str> {
    let choices = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    choices.filter_map(|choice| choice.get("const").and_then(Value::as_str))
}

/// The choice that is a mapping, if there is one besides the constants.
fn mapping_choice(schema: &Value) -> Option<&Value> {
    let choices = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    choices.into_iter().find(|choice| type_of(choice) == "object")
}

/// Reads a text, or says what is wrong with it.
type Reader = fn(&str) -> Result<(), String>;

/// What reads the text of a type that is written as a string. It says more than the schema's pattern could.
fn reader(name: &str) -> Option<Reader> {
    match name {
        "Span" => Some(|text| text.parse::<Span>().map(drop)),
        "ByteSize" => Some(|text| text.parse::<ByteSize>().map(drop)),
        "FieldPath" => Some(|text| text.parse::<FieldPath>().map(drop)),
        "Expression" => Some(|text| text.parse::<Expression>().map(drop)),
        "KeyField" => Some(|text| text.parse::<KeyField>().map(drop)),
        _ => None,
    }
}

/// How a mapping is named in messages.
fn place_name(path: &str) -> &str {
    if path.is_empty() { "the pipeline" } else { path }
}

/// In words, what stands in the file.
fn found(node: &Node) -> String {
    match &node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a mapping".to_owned(),
        Content::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
        Content::Scalar(scalar) if scalar.is_number() || scalar.bool().is_some() => scalar.text.clone(),
        Content::Scalar(scalar) => format!("{:?}", scalar.text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::schema;
    use super::*;

    /// Keywords that are checked here, and those that only speak to people.
    const CHECKED: [&str; 15] = [
        "$ref",
        "$defs",
        "type",
        "properties",
        "additionalProperties",
        "required",
        "oneOf",
        "anyOf",
        "const",
        "items",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "format",
    ];
    const SPOKEN: [&str; 4] = ["$schema", "title", "description", "default"];

    fn walk(schema: &Value, name: Option<&str>) {
        let Some(keywords) = schema.as_object() else { return };
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "properties" | "$defs" => value.as_object().unwrap().iter().for_each(|(name, s)| walk(s, Some(name))),
                "oneOf" | "anyOf" => value.as_array().unwrap().iter().for_each(|choice| walk(choice, None)),
                "items" | "additionalProperties" => walk(value, None),
                // A pattern is only ever checked through the type that it describes.
                "pattern" => assert!(name.and_then(reader).is_some(), "no reader for {name:?}"),
                // Of 64 bits are offsets, and no log has more than half of those.
                "format" => assert!(value == "uint32" || value == "uint64", "{value}"),
                other => assert!(CHECKED.contains(&other) || SPOKEN.contains(&other), "unknown keyword {other}"),
            }
        }
    }

    #[test]
    fn the_schema_has_no_keyword_that_is_not_checked() {
        walk(&schema(), None);
    }
}
