//! `filter` and `map`: what becomes of one row.

use super::members::{Member, put_in};
use crate::record::aggregate::{GroupKey, Grouped};
use crate::record::{Expression, Renderer, Row};

/// A `filter` or a `map`, compiled.
#[derive(Clone, Debug)]
pub enum ReshapeSpec {
    /// Rows of which this is true stay as they are; the others go.
    Filter(Expression),
    /// Rows get other documents.
    Map {
        /// The names of fields, and what they are.
        fields: Vec<(String, Expression)>,
        /// Whether the other fields stay.
        keeps_rest: bool,
    },
}

/// Makes rows of rows. What a row becomes depends on the row alone, so that its retraction takes the same away.
pub(crate) struct Reshaper {
    spec: ReshapeSpec,
    renderer: Renderer,
    document: Vec<u8>,
    values: Vec<u8>,
    made: Vec<u8>,
}

impl Reshaper {
    pub(crate) fn new(spec: &ReshapeSpec) -> Self {
        let (document, values, made) = (Vec::new(), Vec::new(), Vec::new());
        Reshaper { spec: spec.clone(), renderer: Renderer::default(), document, values, made }
    }

    /// What becomes of a row, if anything.
    ///
    /// # Errors
    /// Why it can not be said, for people.
    pub(crate) fn take(&mut self, row: Row) -> Result<Option<Row>, (Row, String)> {
        let Reshaper { spec, renderer, document, values, made } = self;
        let result = {
            let json = json_of(&row, renderer, document);
            match spec {
                ReshapeSpec::Filter(condition) => condition.holds(json).map(Outcome::same_if),
                ReshapeSpec::Map { fields, keeps_rest } => {
                    mapped(json, fields, *keeps_rest, values, made).map(|()| Outcome::Made)
                }
            }
        };
        match result {
            Ok(Outcome::Same) => Ok(Some(row)),
            Ok(Outcome::Nothing) => Ok(None),
            Ok(Outcome::Made) => Ok(Some(made_row(GroupKey { by: row.key(), window: None }, made))),
            Err(reason) => Err((row, reason)),
        }
    }
}

enum Outcome {
    Same,
    Nothing,
    Made,
}

impl Outcome {
    fn same_if(holds: bool) -> Self {
        if holds { Outcome::Same } else { Outcome::Nothing }
    }
}

/// A row's document.
pub(super) fn json_of<'a>(row: &'a Row, renderer: &mut Renderer, document: &'a mut Vec<u8>) -> &'a str {
    let bytes = match row {
        Row::Record(record) => record.payload().expect("a table emits no deletions"),
        Row::Group(group) => return &group.document,
        other => {
            document.clear();
            renderer.document(other, document);
            document
        }
    };
    std::str::from_utf8(bytes).expect("decode has checked the encoding")
}

/// The row that an operator made.
pub(super) fn made_row(key: GroupKey, document: &[u8]) -> Row {
    let document = std::str::from_utf8(document).expect("JSON text").into();
    Row::Group(std::sync::Arc::new(Grouped { key, document }))
}

fn mapped(
    json: &str,
    fields: &[(String, Expression)],
    keeps_rest: bool,
    values: &mut Vec<u8>,
    made: &mut Vec<u8>,
) -> Result<(), String> {
    values.clear();
    made.clear();
    let mut ends = Vec::with_capacity(fields.len());
    for (name, expression) in fields {
        expression.write(json, values).map_err(|reason| format!("{name:?}: {reason}"))?;
        ends.push(values.len());
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let parts = starts.zip(&ends).map(|(start, end)| &values[start..*end]);
    let members: Vec<Member<'_>> = fields.iter().map(|(name, _)| name.as_str()).zip(parts).collect();
    put_in(if keeps_rest { json } else { "{}" }, &members, made);
    Ok(())
}
