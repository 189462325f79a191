//! `join`: by which values rows meet, and what a pair is.

use super::members::put_in;
use super::single::{json_of, made_row};
use crate::record::aggregate::{GroupKey, scalar};
use crate::record::select::select;
use crate::record::{FieldPath, Interner, Key, Renderer, Row, Scalar};

/// A `join`, compiled.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// The fields of the left rows by which they are joined.
    pub on: Vec<FieldPath>,
    /// Those of the right rows; by default their key. Then there is one partner at most.
    pub with_on: Option<Vec<FieldPath>>,
    /// The field of the result that holds the right row's document.
    pub name: String,
    /// Whether a left row without a partner has a row.
    pub keeps_unmatched: bool,
    /// Whether a left row is looked up once, when it comes, and stays with what it has found. Its pairs are a table.
    pub stays: bool,
}

/// Finds by which values rows of one side meet those of the other.
pub(crate) struct Meeting {
    /// None if it is the key.
    on: Option<Vec<FieldPath>>,
    strings: Interner,
    renderer: Renderer,
    document: Vec<u8>,
}

impl Meeting {
    pub(crate) fn of_left(spec: &JoinSpec) -> Self {
        Meeting::new(Some(spec.on.clone()))
    }

    pub(crate) fn of_right(spec: &JoinSpec) -> Self {
        Meeting::new(spec.with_on.clone())
    }

    fn new(on: Option<Vec<FieldPath>>) -> Self {
        Meeting { on, strings: Interner::new(), renderer: Renderer::default(), document: Vec::new() }
    }

    /// The values; none if the row lacks one, so that it meets nobody.
    ///
    /// # Errors
    /// If one is something else than a string or an integer.
    pub(crate) fn key(&mut self, row: &Row) -> Result<Option<Key>, String> {
        let Meeting { on, strings, renderer, document } = self;
        let Some(on) = on else { return Ok(Some(Key::Composite(row.key().parts().into()))) };
        let json = json_of(row, renderer, document);
        let mut parts: Vec<Scalar> = Vec::with_capacity(on.len());
        for path in &*on {
            let mut found = None;
            select(json, path, |json| found = Some(json.trim_ascii()));
            let Some(json) = found.filter(|json| *json != "null") else { return Ok(None) };
            parts.push(scalar(json, path, strings)?);
        }
        Ok(Some(Key::Composite(parts.into())))
    }
}

/// Makes rows of pairs: the left row's document, with the right one's in it.
pub(crate) struct Pairing {
    name: String,
    /// Whether a left row may have several partners: then theirs is a part of the key.
    has_several: bool,
    renderer: Renderer,
    left: Vec<u8>,
    right: Vec<u8>,
    made: Vec<u8>,
}

impl Pairing {
    pub(crate) fn new(spec: &JoinSpec) -> Self {
        let (name, has_several) = (spec.name.clone(), spec.with_on.is_some());
        let (left, right, made) = (Vec::new(), Vec::new(), Vec::new());
        Pairing { name, has_several, renderer: Renderer::default(), left, right, made }
    }

    /// The row of a pair, or of a left row alone.
    pub(crate) fn row(&mut self, left: &Row, right: Option<&Row>) -> Row {
        let key = match right.filter(|_| self.has_several) {
            Some(right) => Key::Composite(left.key().parts().iter().chain(right.key().parts()).cloned().collect()),
            None => left.key(),
        };
        made_row(GroupKey { by: key, window: None }, self.document(left, right))
    }

    /// Its document.
    pub(super) fn document(&mut self, left: &Row, right: Option<&Row>) -> &[u8] {
        let Pairing { name, has_several: _, renderer, left: left_document, right: right_document, made } = self;
        let value = right.map_or("null", |right| json_of(right, renderer, right_document));
        let json = json_of(left, renderer, left_document);
        made.clear();
        put_in(json, &[(name, value.as_bytes())], made);
        made
    }
}
