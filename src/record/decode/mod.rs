//! From payload bytes to records: the fields that the pipeline names are taken, checked, and nothing else is touched.

use flowstone_operators::interval::{Boundary, Interval};
use smallvec::SmallVec;

use self::fields::NamedFields;
use self::operation::{OperationFields, OperationFound};
use crate::record::extract::{ExtractError, FieldId, Member, PathTree};
use crate::record::packed::{FacetParts, Position, Record, RecordWriter, State};
use crate::record::path::FieldPath;
use crate::record::pieces::{ChildPiece, Lead, Slice};
use crate::record::scalar::{Key, ScalarRef};

mod deletion;
mod fields;
mod fingerprint;
mod operation;

pub(in crate::record) use fingerprint::NO_FACETS;
pub use fingerprint::fingerprint;
pub use operation::{OperationDecoder, OperationsSpec};

/// What a table takes from its records.
#[derive(Clone, Debug, Default)]
pub struct DecodeSpec {
    /// The fields of the key; without any, a record's key is where it came from.
    pub key: Vec<FieldPath>,
    /// The key is that of the message; then it has no fields.
    pub is_by_message: bool,
    /// The field that orders the records of a key.
    pub version: Option<FieldPath>,
    /// The field whose `true` marks a deletion.
    pub delete: Option<FieldPath>,
    /// The field that holds the time after which a row is kept for a while only.
    pub time: Option<FieldPath>,
    /// The operation that a row belongs to, if rows do.
    pub operation: Option<OperationSpec>,
    /// What each `fuse` that reads the table takes.
    pub facets: Vec<FacetSpec>,
}

/// What says which operation a record belongs to, or is about.
#[derive(Clone, Debug)]
pub struct OperationSpec {
    /// The type of what operations produce.
    pub kind: FieldPath,
    /// What they are about.
    pub pivot: FieldPath,
    /// The number of the operation. Without it, a row belongs to none.
    pub number: FieldPath,
}

/// What a `fuse` takes from the records of its table.
#[derive(Clone, Debug)]
pub struct FacetSpec {
    /// The asset.
    pub by: FieldPath,
    /// The type (modality).
    pub kind: FieldPath,
    /// The start of the range.
    pub start: FieldPath,
    /// The end of the range.
    pub end: FieldPath,
    /// What the end means.
    pub boundary: Boundary,
    /// Longer ranges are refused.
    pub max_range_ns: i64,
    /// The top-level field that documents take over.
    pub context: String,
    /// The top-level fields that children keep besides key, type and range; `None` keeps all.
    pub keep: Option<Vec<String>>,
}

/// Decodes the records of one table.
#[derive(Debug)]
pub struct Decoder {
    fields: NamedFields,
    key: Vec<FieldId>,
    is_by_message: bool,
    version: Option<FieldId>,
    delete: Option<FieldId>,
    time: Option<FieldId>,
    operation: Option<OperationFields>,
    facets: Vec<FacetPlan>,
    fingerprint: u64,
    writer: RecordWriter,
}

#[derive(Debug)]
struct FacetPlan {
    by: FieldId,
    kind: FieldId,
    start: FieldId,
    end: FieldId,
    boundary: Boundary,
    max_range_ns: i64,
    /// Numbers of top-level names.
    context: usize,
    type_member: Option<usize>,
    /// What becomes of the top-level members, by the numbers of their names.
    parts: Vec<Part>,
    /// What becomes of all others.
    others: Part,
}

/// What becomes of a member in a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Kept,
    /// The type: it is kept with another name.
    Type,
    Dropped,
}

impl Decoder {
    /// A decoder for the records of one table.
    pub fn new(spec: &DecodeSpec) -> Self {
        let mut tree = PathTree::default();
        let key: Vec<FieldId> = spec.key.iter().map(|path| tree.add(path)).collect();
        let version = spec.version.as_ref().map(|path| tree.add(path));
        let delete = spec.delete.as_ref().map(|path| tree.add(path));
        let time = spec.time.as_ref().map(|path| tree.add(path));
        let facets = spec.facets.iter().map(|facet| FacetPlan::new(facet, spec, &mut tree)).collect();
        let operation = spec.operation.as_ref().map(|operation| OperationFields::new(operation, &mut tree));
        let (fingerprint, fields, writer) = (fingerprint(spec), NamedFields::new(tree), RecordWriter::default());
        let is_by_message = spec.is_by_message;
        Decoder { fields, key, is_by_message, version, delete, time, operation, facets, fingerprint, writer }
    }

    /// Decodes one record. `origin` is its key if the table has no fields for it.
    ///
    /// # Errors
    /// The first reason why the record can not be processed, for people.
    pub fn decode(
        &mut self,
        payload: &[u8],
        position: Position,
        origin: impl FnOnce() -> Key,
    ) -> Result<Record, String> {
        let payload = self.fields.walk(payload)?;
        let mut writer = std::mem::take(&mut self.writer);
        let written = self.write(payload, position, origin, &mut writer);
        let record = written.map(|()| writer.finish());
        self.writer = writer;
        record
    }

    fn write(
        &self,
        payload: &str,
        position: Position,
        origin: impl FnOnce() -> Key,
        writer: &mut RecordWriter,
    ) -> Result<(), String> {
        let fields = &self.fields;
        let operation =
            self.operation.as_ref().map(|operation| operation.of_row(fields, payload)).transpose()?.flatten();
        let operation = operation.as_ref().map(OperationFound::as_ref);
        match self.key.as_slice() {
            [] => writer.key(operation, &origin()),
            [field] => writer.key_of(operation, fields.scalar(payload, *field)?.as_ref()),
            several => {
                let parts = several.iter().map(|field| Ok(fields.scalar(payload, *field)?.as_ref().into()));
                writer.key(operation, &Key::Composite(parts.collect::<Result<_, String>>()?));
            }
        }
        let version = "an integer of 64 bits or an RFC 3339 time";
        let version = self.version.map(|field| fields.integer_or_time(payload, field, version)).transpose()?;
        let state = State { version, ..State::at(position) };
        if self.is_deletion(payload)? {
            // Deleted keys count among those that an operation waits for.
            writer.state(&State { is_remembered: operation.is_some(), ..state }, false);
            return Ok(());
        }
        let time = "a time: integer nanoseconds since 1970, or RFC 3339";
        let time_ns = self.time.map(|field| fields.integer_or_time(payload, field, time)).transpose()?;
        writer.state(&State { time_ns, ..state }, true);
        writer.body(self.fingerprint, payload.len(), self.facets.len());
        for plan in &self.facets {
            self.facets(payload, plan, writer)?;
        }
        writer.payload(payload.as_bytes());
        Ok(())
    }

    /// Gives `writer` what each `fuse` takes from the payload of a row that was decoded before, perhaps for other operators; or
    /// why it can not use the row.
    ///
    /// # Errors
    /// If the payload is no JSON object.
    pub(in crate::record) fn facets_again(
        &mut self,
        payload: &[u8],
        writer: &mut RecordWriter,
    ) -> Result<(), ExtractError> {
        let payload = self.fields.walk_again(payload)?;
        writer.body(self.fingerprint, payload.len(), self.facets.len());
        for plan in &self.facets {
            if let Err(reason) = self.facets(payload, plan, writer) {
                writer.unusable(&reason);
            }
        }
        writer.payload(payload.as_bytes());
        Ok(())
    }

    fn is_deletion(&self, payload: &str) -> Result<bool, String> {
        let Some(field) = self.delete else { return Ok(false) };
        match self.fields.get(field).map(|slice| slice.of(payload.as_bytes())) {
            Some(b"true") => Ok(true),
            None | Some(b"false" | b"null") => Ok(false),
            Some(_) => Err(self.fields.wrong(field, "true or false", self.fields.value(payload, field)?)),
        }
    }

    /// Nothing is written if there is an error.
    fn facets(&self, payload: &str, plan: &FacetPlan, writer: &mut RecordWriter) -> Result<(), String> {
        let fields = &self.fields;
        let asset = fields.scalar(payload, plan.by)?;
        let kind = fields.scalar(payload, plan.kind).or_else(|error| match fields.value(payload, plan.kind)? {
            raw if raw.starts_with('"') => Err(error),
            raw => Err(fields.wrong(plan.kind, "a string", raw)),
        })?;
        let ScalarRef::Str(kind) = kind.as_ref() else {
            return Err(fields.wrong(plan.kind, "a string", fields.value(payload, plan.kind)?));
        };
        let (start_ns, end_ns) = (fields.time_ns(payload, plan.start)?, fields.time_ns(payload, plan.end)?);
        let interval = Interval::from_range(start_ns, end_ns, plan.boundary).map_err(|e| e.to_string())?;
        if interval.length_ns() > plan.max_range_ns {
            let (length, most) = (interval.length_ns(), plan.max_range_ns);
            return Err(format!("range is longer than max_range: {length} ns, at most {most} ns"));
        }
        let context = fields.members().iter().find(|m| m.name == Some(plan.context)).map(|m| m.whole);
        let pieces = plan.child(fields.members(), fields.get(plan.kind).expect("found above"));
        writer.facets(FacetParts { asset: asset.as_ref(), kind, interval, context, pieces });
        Ok(())
    }
}

impl FacetPlan {
    fn new(facet: &FacetSpec, spec: &DecodeSpec, tree: &mut PathTree) -> Self {
        let top = |path: &FieldPath| path.top_level().unwrap_or_default().to_owned();
        let mut number = |name: &str| tree.add_top_level(name);
        let context = number(&facet.context);
        let type_member = (facet.kind.segments().len() == 1).then(|| number(&top(&facet.kind)));
        let dropped: Vec<_> =
            std::iter::once(context).chain(spec.delete.as_ref().map(|path| number(&top(path)))).collect();
        let kept: Vec<_> = facet.keep.as_ref().map_or_else(Vec::new, |names| {
            let always = [&facet.kind, &facet.start, &facet.end].into_iter().chain(&spec.key).map(top);
            always.chain(names.iter().cloned()).map(|name| number(&name)).collect()
        });
        let others = if facet.keep.is_none() { Part::Kept } else { Part::Dropped };
        let known = dropped.iter().chain(&kept).chain(&type_member).max().map_or(0, |last| last + 1);
        let part = |name| match () {
            () if type_member == Some(name) => Part::Type,
            () if dropped.contains(&name) => Part::Dropped,
            () if kept.contains(&name) => Part::Kept,
            () => others,
        };
        let parts = (0..known).map(part).collect();
        FacetPlan {
            by: tree.add(&facet.by),
            kind: tree.add(&facet.kind),
            start: tree.add(&facet.start),
            end: tree.add(&facet.end),
            boundary: facet.boundary,
            max_range_ns: facet.max_range_ns,
            context,
            type_member,
            parts,
            others,
        }
    }

    /// The payload without the members that children do not have, and with the type's member renamed.
    fn child(&self, members: &[Member], type_value: Slice) -> SmallVec<[ChildPiece; 3]> {
        let mut pieces: SmallVec<[ChildPiece; 3]> = SmallVec::new();
        if self.type_member.is_none() {
            pieces.push(ChildPiece::new(type_value, Lead::Type));
        }
        // Kept members that adjoin are one piece, which is not complete until the next one does not.
        let mut open: Option<(Slice, Lead)> = None;
        for member in members {
            let part = member.name.map_or(self.others, |name| self.parts.get(name).copied().unwrap_or(self.others));
            match (part, &mut open) {
                (Part::Kept, Some((piece, _))) => piece.end = member.whole.end,
                (Part::Kept, None) => {
                    open = Some((member.whole, if pieces.is_empty() { Lead::None } else { Lead::Comma }));
                }
                (Part::Type, _) => {
                    pieces.extend(open.take().map(|(piece, lead)| ChildPiece::new(piece, lead)));
                    open = Some((member.value, if pieces.is_empty() { Lead::Type } else { Lead::CommaType }));
                }
                (Part::Dropped, _) => pieces.extend(open.take().map(|(piece, lead)| ChildPiece::new(piece, lead))),
            }
        }
        pieces.extend(open.map(|(piece, lead)| ChildPiece::new(piece, lead)));
        pieces
    }
}

#[cfg(test)]
mod tests;
