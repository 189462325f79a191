//! The JSON Schema of pipeline files: what editors complete from, what files are checked against, what the reference
//! page is made of.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value};

use super::Pipeline;

/// The JSON Schema (draft 2020-12) of a pipeline file.
///
/// It says everything about a file's shape. Names that refer to each other are checked by [`super::parse`] alone.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(NoNull);
    let mut schema = settings.into_generator().into_root_schema_for::<Pipeline>();
    schema.insert("title".to_owned(), "Flowstone pipeline".into());
    schema.to_value()
}

/// Takes `null` out: an optional field is left out of a file, and is not there with no value.
#[derive(Clone, Debug)]
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(default) = object.get_mut("default") {
            match default {
                Value::Object(fields) => fields.retain(|_, value| !value.is_null()),
                Value::Null => drop(object.remove("default")),
                _ => {}
            }
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            // What the field says of itself stands, the type's description does not replace it.
            for (keyword, value) in only {
                object.entry(keyword).or_insert(value);
            }
        }
    }
}

/// The schema that `schema` refers to, and its name; the schema itself if it is no reference.
pub(super) fn resolve<'s>(schema: &'s Value, definitions: &'s Map<String, Value>) -> (&'s Value, Option<&'s str>) {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return (schema, None) };
    let name = reference.rsplit('/').next().expect("a split has a last part");
    (&definitions[name], Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_do_not_offer_null() {
        let schema = schema();
        let text = schema.to_string();
        assert!(!text.contains("\"null\"") && !text.contains(":null"), "{schema:#}");
        assert_eq!(schema["$defs"]["SinkSpec"]["properties"]["after"]["type"], "string");
        assert_eq!(schema["$defs"]["SourceSpec"]["properties"]["file"]["$ref"], "#/$defs/FileSource");
    }

    /// Each field that holds the settings of a kind must be offered by `oneOf`: it is what "exactly one" is checked by.
    #[test]
    fn every_kind_is_a_choice() {
        let schema = schema();
        let definitions = schema["$defs"].as_object().unwrap();
        for name in ["SourceSpec", "OperatorSpec", "SinkSpec"] {
            let spec = &definitions[name];
            let is_mapping = |field: &Value| resolve(field, definitions).0.get("type").is_some_and(|t| t == "object");
            let fields = spec["properties"].as_object().unwrap().iter();
            let is_kind = |name: &&str| !["retention", "operation"].contains(name);
            let mappings = fields.filter(|(_, f)| is_mapping(f)).map(|(name, _)| name.as_str());
            let kinds: Vec<&str> = mappings.filter(is_kind).collect();
            let choices = spec["oneOf"].as_array().unwrap().iter();
            let choices: Vec<&str> = choices.map(|c| c["required"][0].as_str().unwrap()).collect();
            assert_eq!(kinds, choices, "{name}");
        }
    }
}
