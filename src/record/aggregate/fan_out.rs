//! The groups of a row: one, or, where `by` has paths with `*`, one for each element.

use smallvec::SmallVec;

use super::spec::AggregateSpec;
use super::value::{text, wrong};
use crate::record::path::Segment;
use crate::record::scalar::{Key, Scalar};
use crate::record::select::select_segments;
use crate::record::{CHILDREN, FieldPath, Interner};

/// A row of more groups than this is refused: fields that fan out multiply.
const MOST_GROUPS: usize = 10_000;

/// Finds the groups of rows.
pub(super) struct FanOut {
    axes: Vec<Axis>,
    /// How many fields `by` has.
    fields: usize,
}

/// Fields that are read from the same elements.
struct Axis {
    /// Where the elements are; the row itself, if there is no `*`.
    elements: Vec<Segment>,
    /// Where an element has them, and their places in `by`.
    fields: Vec<(Vec<Segment>, FieldPath, usize)>,
}

/// Of one element, in the order of [`Axis::fields`].
type Tuple = SmallVec<[Scalar; 2]>;

impl FanOut {
    pub(super) fn new(spec: &AggregateSpec) -> Self {
        let mut axes: Vec<Axis> = Vec::new();
        for (place, (_, path)) in spec.by.iter().enumerate() {
            let segments = path.segments();
            let elements = segments.iter().rposition(|segment| *segment == Segment::Each).map_or(0, |last| last + 1);
            let field = (segments[elements..].to_vec(), path.clone(), place);
            match axes.iter_mut().find(|axis| axis.elements == segments[..elements]) {
                Some(axis) => axis.fields.push(field),
                None => axes.push(Axis { elements: segments[..elements].to_vec(), fields: vec![field] }),
            }
        }
        FanOut { axes, fields: spec.by.len() }
    }

    /// Whether all fields are fields of the same child of a fused document.
    pub(super) fn is_of_children(&self) -> bool {
        let children = [Segment::Name(CHILDREN.to_owned()), Segment::Each];
        matches!(self.axes.as_slice(), [axis] if axis.elements == children)
    }

    /// The key of the group of one element, where all fields are of the same one; nothing, if it lacks one of them.
    pub(super) fn key_of(&self, element: &str, strings: &mut Interner) -> Result<Option<Key>, String> {
        let tuple = self.axes[0].tuple(element, strings)?;
        Ok(tuple.map(|tuple| self.key(tuple)))
    }

    /// Of the values of all fields.
    fn key(&self, tuple: Tuple) -> Key {
        match self.fields {
            1 => Key::One(tuple.into_iter().next().expect("there is one")),
            _ => Key::Composite(tuple.into_iter().collect()),
        }
    }

    /// The keys of a row's groups, each once.
    pub(super) fn keys(&self, json: &str, strings: &mut Interner) -> Result<SmallVec<[Key; 1]>, String> {
        if let [axis] = self.axes.as_slice() {
            return Ok(axis.tuples(json, strings)?.into_iter().map(|tuple| self.key(tuple)).collect());
        }
        let mut keys: Vec<Vec<Option<Scalar>>> = vec![vec![None; self.fields]];
        for axis in &self.axes {
            let tuples = axis.tuples(json, strings)?;
            if keys.len() * tuples.len() > MOST_GROUPS {
                return Err(format!("a row of more than {MOST_GROUPS} groups"));
            }
            let with = |key: &Vec<Option<Scalar>>, tuple: &Tuple| {
                let mut key = key.clone();
                axis.fields.iter().zip(tuple).for_each(|((.., place), scalar)| key[*place] = Some(scalar.clone()));
                key
            };
            keys = keys.iter().flat_map(|key| tuples.iter().map(move |tuple| with(key, tuple))).collect();
        }
        let key = |parts: Vec<Option<Scalar>>| Key::Composite(parts.into_iter().flatten().collect());
        Ok(keys.into_iter().map(key).collect())
    }
}

impl Axis {
    /// The values of the fields in each element, each combination once. Elements that lack one are left out; a row must not.
    fn tuples(&self, json: &str, strings: &mut Interner) -> Result<SmallVec<[Tuple; 1]>, String> {
        let mut tuples: SmallVec<[Tuple; 1]> = SmallVec::new();
        let mut problem = None;
        select_segments(json, &self.elements, &mut |element| {
            match self.tuple(element, strings) {
                Ok(Some(tuple)) => tuples.push(tuple),
                Ok(None) => {}
                Err(reason) => drop(problem.get_or_insert(reason)),
            };
        });
        if let Some(reason) = problem {
            return Err(reason);
        }
        if self.elements.is_empty() && tuples.is_empty() {
            let (_, path, _) = self.fields.iter().find(|(segments, ..)| is_missing(json, segments)).expect("one lacks");
            return Err(format!("no field {path}"));
        }
        tuples.sort_unstable();
        tuples.dedup();
        if tuples.len() > MOST_GROUPS {
            return Err(format!("a row of more than {MOST_GROUPS} groups"));
        }
        Ok(tuples)
    }

    fn tuple(&self, element: &str, strings: &mut Interner) -> Result<Option<Tuple>, String> {
        let mut tuple = Tuple::new();
        for (segments, path, _) in &self.fields {
            let Some(json) = single(element, segments) else { return Ok(None) };
            tuple.push(scalar(json, path, strings)?);
        }
        Ok(Some(tuple))
    }
}

/// What a path without `*` leads to, unless it is `null`.
fn single<'a>(json: &'a str, segments: &[Segment]) -> Option<&'a str> {
    let mut found = None;
    select_segments(json, segments, &mut |json| found = Some(json.trim_ascii()));
    found.filter(|json| *json != "null")
}

fn is_missing(json: &str, segments: &[Segment]) -> bool {
    single(json, segments).is_none()
}

/// Reads a string or an integer.
pub(in crate::record) fn scalar(json: &str, path: &FieldPath, strings: &mut Interner) -> Result<Scalar, String> {
    if json.starts_with('"') {
        return text(json, path, strings).map(Scalar::Str);
    }
    let integer = json.parse().map(Scalar::Int).ok().or_else(|| json.parse().map(Scalar::UInt).ok());
    integer.ok_or_else(|| wrong(path, "a string or an integer of 64 bits", json))
}
