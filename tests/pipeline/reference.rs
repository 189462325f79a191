//! The reference page is made from the schema, so that it can not say anything else than the program.

use std::fmt::Write;

use flowstone::pipeline::schema;
use serde_json::{Map, Value};

use super::{golden, repository};

const MARK: &str = "<!-- From here on made from the schema: REWRITE=1 cargo test --test pipeline -->\n";

/// The sections of the page: a title, and the definition that it shows.
const SECTIONS: &[(&str, &str)] = &[
    ("The pipeline", ""),
    ("`dead_letters`", "DeadLetters"),
    ("`sources.NAME`", "SourceSpec"),
    ("`sources.NAME.file`", "FileSource"),
    ("`sources.NAME.kafka`", "KafkaSource"),
    ("`sources.NAME.memory`", "MemorySource"),
    ("`sources.NAME.retention`, `operators.NAME.upsert.retention`", "RetentionSpec"),
    ("`sources.NAME.operation`, `operators.NAME.upsert.operation`", "OperationFields"),
    ("`sources.NAME.operations`, `operators.NAME.upsert.operations`", "OperationsFields"),
    ("`operators.NAME`", "OperatorSpec"),
    ("`operators.NAME.fuse`", "FuseSpec"),
    ("`operators.NAME.fuse.range`", "RangeSpec"),
    ("`operators.NAME.aggregate`", "AggregateSpec"),
    ("`operators.NAME.aggregate.id`", "IdSpec"),
    ("`operators.NAME.aggregate.window`", "WindowSpec"),
    ("`operators.NAME.aggregate.window.hop`", "HopSpec"),
    ("`operators.NAME.aggregate.window.session`", "SessionSpec"),
    ("`operators.NAME.aggregate.compute.NAME`", "ComputeFields"),
    ("`operators.NAME.aggregate.compute.NAME.top`", "TopSpec"),
    ("`operators.NAME.aggregate.compute.NAME.first` and `last`", "EndSpec"),
    ("`operators.NAME.aggregate.compute.NAME.where.PATH`", "ConditionFields"),
    ("`operators.NAME.filter`", "FilterSpec"),
    ("`operators.NAME.map`", "MapSpec"),
    ("`operators.NAME.join`", "JoinSpec"),
    ("`operators.NAME.join.with`", "JoinWith"),
    ("`operators.NAME.distinct`", "DistinctSpec"),
    ("`operators.NAME.upsert`", "UpsertSpec"),
    ("`sinks.NAME`", "SinkSpec"),
    ("`sinks.NAME.sqlite`", "SqliteSink"),
    ("`sinks.NAME.tantivy`", "TantivySink"),
    ("`sinks.NAME.elasticsearch`", "ElasticsearchSink"),
    ("`sinks.NAME.elasticsearch.vector`", "VectorField"),
    ("`sinks.NAME.cassandra`", "CassandraSink"),
    ("`sinks.NAME.cassandra.tls`", "CassandraTls"),
    ("`sinks.NAME.cassandra.partition`, `clustering` and `columns`", "ColumnSpec"),
    ("`sinks.NAME.kafka`", "KafkaSink"),
    ("`sinks.NAME.file` and `sinks.NAME.discard`", "FileSink DiscardSink"),
];

struct Page<'s> {
    definitions: &'s Map<String, Value>,
    out: String,
}

impl Page<'_> {
    fn section(&mut self, title: &str, schema: &Value) {
        let description = schema["description"].as_str().unwrap();
        writeln!(self.out, "\n## {title}\n\n{description}").unwrap();
        self.fields(schema);
    }

    fn fields(&mut self, schema: &Value) {
        let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
            return self.out.push_str("\nNo fields.\n");
        };
        self.out.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        let required = schema.get("required").and_then(Value::as_array);
        for (name, field) in fields {
            let default = match (field.get("default"), required.is_some_and(|r| r.iter().any(|r| r == name))) {
                (_, true) => "**required**".to_owned(),
                (Some(Value::String(text)), _) => format!("`{text}`"),
                (Some(Value::Object(fields)), _) if fields.is_empty() => String::new(),
                (Some(Value::Array(items)), _) if items.is_empty() => String::new(),
                (Some(other), _) => format!("`{other}`"),
                (None, _) => String::new(),
            };
            let meaning = self.meaning(field);
            writeln!(self.out, "| `{name}` | {} | {default} | {meaning} |", self.kind(field)).unwrap();
        }
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> (&'a Value, &'a str) {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.trim_start_matches("#/$defs/");
                (&self.definitions[name], name)
            }
            None => (schema, ""),
        }
    }

    fn kind(&self, schema: &Value) -> String {
        let (schema, name) = self.resolve(schema);
        match name {
            "Span" => return "[duration](#durations-and-sizes)".to_owned(),
            "ByteSize" => return "[size](#durations-and-sizes)".to_owned(),
            "Literal" => return "string, number or truth value".to_owned(),
            "Expression" => return "[expression](#expressions)".to_owned(),
            "FieldPath" | "KeyField" => return "[field path](#field-paths)".to_owned(),
            _ => {}
        }
        let list = |schemas: &Value| schemas.as_array().map(|s| s.iter().map(|s| self.kind(s)).collect::<Vec<_>>());
        if let Some(choices) = schema.get("anyOf").and_then(list) {
            return choices.join(", or ");
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("array") => format!("list of {}", self.kind(&schema["items"])),
            Some("object") => match schema.get("additionalProperties").filter(|a| a.is_object()) {
                Some(values) if self.kind(values).contains("](#") => format!("name: {}", self.kind(values)),
                Some(_) => "name: mapping".to_owned(),
                None => "mapping".to_owned(),
            },
            Some(name) => name.to_owned(),
            None => {
                let choices = schema["oneOf"].as_array().unwrap().iter();
                choices.map(|choice| self.choice(choice)).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// A constant, or a mapping with one field.
    fn choice(&self, choice: &Value) -> String {
        match choice["const"].as_str() {
            Some(name) => format!("`{name}`"),
            None => {
                let (name, field) = choice["properties"].as_object().unwrap().iter().next().unwrap();
                format!("or `{name}:` {}", self.kind(field))
            }
        }
    }

    fn meaning(&self, field: &Value) -> String {
        let mut text = field["description"].as_str().unwrap().replace('|', "\\|").replace('\n', " ");
        let choices = self.resolve(field).0.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        for choice in choices.filter(|choice| choice.get("description").is_some()) {
            let description = choice["description"].as_str().unwrap().replace('\n', " ");
            let field = || choice["properties"].as_object().unwrap().keys().next().unwrap().as_str();
            let name = choice["const"].as_str().unwrap_or_else(field);
            write!(text, " `{name}`: {}.", description.trim_end_matches('.')).unwrap();
        }
        if let Some(least) = field.get("minimum") {
            write!(text, " At least {least}.").unwrap();
        }
        text
    }
}

fn generated(schema: &Value) -> String {
    let definitions = schema["$defs"].as_object().unwrap();
    let mut page = Page { definitions, out: String::new() };
    for (title, names) in SECTIONS.iter().copied() {
        match names.split_once(' ') {
            None if names.is_empty() => page.section(title, schema),
            None => page.section(title, &definitions[names]),
            Some((first, second)) => {
                page.section(title, &definitions[first]);
                let description = definitions[second]["description"].as_str().unwrap();
                writeln!(page.out, "\n{description}").unwrap();
                page.fields(&definitions[second]);
            }
        }
    }
    page.out
}

#[test]
fn the_reference_page_says_what_the_schema_says() {
    let path = repository("docs/pipeline.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (written, _) = page.split_once(MARK).expect("the page has the mark below which it is made");
    let whole = format!("{written}{MARK}{}", generated(&schema()));
    golden(&path, &whole).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn every_mapping_of_the_schema_has_its_section() {
    let schema = schema();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let shown = SECTIONS.iter().any(|(_, names)| names.split(' ').any(|shown| shown == name));
        assert_eq!(shown, definition.get("type").is_some_and(|kind| kind == "object"), "{name}");
    }
}

/// The examples on the page are files that are read.
#[test]
fn the_examples_on_the_page_are_valid() {
    let page = std::fs::read_to_string(repository("docs/pipeline.md")).unwrap();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        let loaded = flowstone::pipeline::parse(example, std::path::Path::new("."), &|_| None).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}
