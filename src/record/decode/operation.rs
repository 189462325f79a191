//! Which operation a record belongs to; and records that are about operations.

use flowstone_operators::generations::Stage;

use super::OperationSpec;
use super::fields::{Found, NamedFields};
use crate::record::extract::{FieldId, PathTree};
use crate::record::packed::{OperationRef, Position, Record, RecordWriter, State};
use crate::record::path::FieldPath;

/// What is taken from the records of a source of operations.
#[derive(Clone, Debug)]
pub struct OperationsSpec {
    /// Which operation a record is about.
    pub operation: OperationSpec,
    /// How it stands: `STARTED`, `FINISHED` or `CANCELED`.
    pub status: FieldPath,
    /// Of one that is finished: how many annotations it has. Without it, nothing is waited for.
    pub annotations: FieldPath,
}

/// The fields that say which operation it is.
#[derive(Debug)]
pub(super) struct OperationFields {
    kind: FieldId,
    pivot: FieldId,
    number: FieldId,
}

/// An operation as it was found in a payload.
pub(super) struct OperationFound<'a> {
    kind: Found<'a>,
    pivot: Found<'a>,
    number: u64,
}

impl OperationFields {
    pub(super) fn new(spec: &OperationSpec, tree: &mut PathTree) -> Self {
        OperationFields { kind: tree.add(&spec.kind), pivot: tree.add(&spec.pivot), number: tree.add(&spec.number) }
    }

    /// The operation that a row belongs to: none if it has no number.
    pub(super) fn of_row<'a>(
        &self,
        fields: &NamedFields,
        payload: &'a str,
    ) -> Result<Option<OperationFound<'a>>, String> {
        fields.is_there(payload, self.number).then(|| self.of(fields, payload)).transpose()
    }

    fn of<'a>(&self, fields: &NamedFields, payload: &'a str) -> Result<OperationFound<'a>, String> {
        let number = "the number of an operation: an integer from 0 to 2^64 - 1";
        let number = fields.unsigned(payload, self.number, number)?;
        let (kind, pivot) = (fields.scalar(payload, self.kind)?, fields.scalar(payload, self.pivot)?);
        Ok(OperationFound { kind, pivot, number })
    }
}

impl OperationFound<'_> {
    pub(super) fn as_ref(&self) -> OperationRef<'_> {
        OperationRef { kind: self.kind.as_ref(), pivot: self.pivot.as_ref(), number: self.number }
    }
}

/// Decodes records that are about operations.
#[derive(Debug)]
pub struct OperationDecoder {
    fields: NamedFields,
    operation: OperationFields,
    status: FieldId,
    annotations: FieldId,
    writer: RecordWriter,
}

impl OperationDecoder {
    /// A decoder for the records of one source.
    pub fn new(spec: &OperationsSpec) -> Self {
        let mut tree = PathTree::default();
        let operation = OperationFields::new(&spec.operation, &mut tree);
        let (status, annotations) = (tree.add(&spec.status), tree.add(&spec.annotations));
        OperationDecoder {
            fields: NamedFields::new(tree),
            operation,
            status,
            annotations,
            writer: RecordWriter::default(),
        }
    }

    /// Decodes one record.
    ///
    /// # Errors
    /// The first reason why the record can not be processed, for people.
    pub fn decode(&mut self, payload: &[u8], position: Position) -> Result<Record, String> {
        let text = self.fields.walk(payload)?;
        let operation = self.operation.of(&self.fields, text)?;
        let stage = self.stage(text)?;
        self.writer.operation(operation.as_ref());
        self.writer.state(&State { stage: Some(stage), ..State::at(position) }, true);
        // It has no facets, so that it does not matter how they are taken.
        self.writer.body(0, text.len(), 0);
        self.writer.payload(text.as_bytes());
        Ok(self.writer.finish())
    }

    fn stage(&self, payload: &str) -> Result<Stage, String> {
        let fields = &self.fields;
        match fields.word(payload, self.status)? {
            Some("STARTED") => Ok(Stage::Started),
            Some("CANCELED") => Ok(Stage::Canceled),
            Some("FINISHED") if fields.is_there(payload, self.annotations) => {
                let annotations = "a number of annotations: an integer from 0 to 2^64 - 1";
                Ok(Stage::Finished { awaits: fields.unsigned(payload, self.annotations, annotations)? })
            }
            Some("FINISHED") => Ok(Stage::Finished { awaits: 0 }),
            _ => {
                let found = fields.value(payload, self.status)?;
                Err(fields.wrong(self.status, "\"STARTED\", \"FINISHED\" or \"CANCELED\"", found))
            }
        }
    }
}
