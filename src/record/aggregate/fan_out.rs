//! The groups of a row: one, or, where `by` has paths with `*`, one for each element.

use smallvec::SmallVec;

use super::fields::Inputs;
use super::places::{PlaceId, Places};
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
    /// Where the elements are; of the row itself, if there is no `*`, nothing.
    elements: Vec<Segment>,
    /// The same, among the fields that are read.
    at: Option<PlaceId>,
    fields: Vec<Field>,
}

struct Field {
    /// Where an element has it.
    segments: Vec<Segment>,
    /// Where the row has it, if that is the element.
    at: Option<PlaceId>,
    path: FieldPath,
    /// Its place in `by`.
    place: usize,
}

/// The keys of a row's groups.
pub(super) enum Keys {
    /// No field fans out.
    One(Key),
    Several(SmallVec<[Key; 1]>),
}

impl Keys {
    /// Gives `each` all of them with what the row gives; the last one gets the inputs themselves.
    #[inline]
    pub(super) fn give(self, inputs: Inputs, mut each: impl FnMut(Key, Inputs)) {
        match self {
            Keys::One(key) => each(key, inputs),
            Keys::Several(mut keys) => {
                let Some(last) = keys.pop() else { return };
                keys.into_iter().for_each(|key| each(key, inputs.clone()));
                each(last, inputs);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Keys::Several(keys) if keys.is_empty())
    }
}

/// Of one element, in the order of [`Axis::fields`].
type Tuple = SmallVec<[Scalar; 2]>;

impl FanOut {
    pub(super) fn new(spec: &AggregateSpec, places: &mut Places) -> Self {
        let mut axes: Vec<Axis> = Vec::new();
        for (place, (_, path)) in spec.by.iter().enumerate() {
            let segments = path.segments();
            let elements = segments.iter().rposition(|segment| *segment == Segment::Each).map_or(0, |last| last + 1);
            let (elements, segments) = (segments[..elements].to_vec(), segments[elements..].to_vec());
            let at = elements.is_empty().then(|| places.add(path));
            let field = Field { segments, at, path: path.clone(), place };
            match axes.iter_mut().find(|axis| axis.elements == elements) {
                Some(axis) => axis.fields.push(field),
                None => {
                    let at = FieldPath::of_segments(&elements).map(|path| places.add(&path));
                    axes.push(Axis { elements, at, fields: vec![field] });
                }
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
        let tuple = self.axes[0].tuple(|field| single(element, &field.segments), strings)?;
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
    pub(super) fn keys(&self, json: &str, places: &Places, strings: &mut Interner) -> Result<Keys, String> {
        if let [axis] = self.axes.as_slice() {
            if axis.at.is_none() {
                return axis.key_of_row(json, places, strings).map(Keys::One);
            }
            let tuples = axis.tuples(json, places, strings)?;
            return Ok(Keys::Several(tuples.into_iter().map(|tuple| self.key(tuple)).collect()));
        }
        let mut keys: Vec<Vec<Option<Scalar>>> = vec![vec![None; self.fields]];
        for axis in &self.axes {
            let tuples = axis.tuples(json, places, strings)?;
            if keys.len() * tuples.len() > MOST_GROUPS {
                return Err(format!("a row of more than {MOST_GROUPS} groups"));
            }
            let with = |key: &Vec<Option<Scalar>>, tuple: &Tuple| {
                let mut key = key.clone();
                axis.fields.iter().zip(tuple).for_each(|(field, scalar)| key[field.place] = Some(scalar.clone()));
                key
            };
            keys = keys.iter().flat_map(|key| tuples.iter().map(move |tuple| with(key, tuple))).collect();
        }
        let key = |parts: Vec<Option<Scalar>>| Key::Composite(parts.into_iter().flatten().collect());
        Ok(Keys::Several(keys.into_iter().map(key).collect()))
    }
}

impl Axis {
    /// The values of the fields in each element, each combination once. Elements that lack one are left out; a row must not.
    fn tuples(&self, json: &str, places: &Places, strings: &mut Interner) -> Result<SmallVec<[Tuple; 1]>, String> {
        let mut tuples: SmallVec<[Tuple; 1]> = SmallVec::new();
        let Some(at) = self.at else {
            tuples.push(self.of_row(json, places, strings)?);
            return Ok(tuples);
        };
        let mut problem = None;
        places.each(json, at, |element| {
            match self.tuple(|field| single(element, &field.segments), strings) {
                Ok(Some(tuple)) => tuples.push(tuple),
                Ok(None) => {}
                Err(reason) => drop(problem.get_or_insert(reason)),
            };
        });
        if let Some(reason) = problem {
            return Err(reason);
        }
        tuples.sort_unstable();
        tuples.dedup();
        if tuples.len() > MOST_GROUPS {
            return Err(format!("a row of more than {MOST_GROUPS} groups"));
        }
        Ok(tuples)
    }

    /// The key that the values of the row itself make.
    #[inline]
    fn key_of_row(&self, json: &str, places: &Places, strings: &mut Interner) -> Result<Key, String> {
        match self.fields.as_slice() {
            [Field { at: Some(at), path, .. }] => match places.single(json, *at) {
                Some(value) => scalar(value, path, strings).map(Key::One),
                None => Err(format!("no field {path}")),
            },
            _ => Ok(Key::Composite(self.of_row(json, places, strings)?.into_iter().collect())),
        }
    }

    /// The values of the row itself.
    #[inline]
    fn of_row(&self, json: &str, places: &Places, strings: &mut Interner) -> Result<Tuple, String> {
        let value = |field: &Field| field.at.and_then(|at| places.single(json, at));
        self.tuple(value, strings)?.ok_or_else(|| {
            let field = self.fields.iter().find(|field| value(field).is_none()).expect("one lacks");
            format!("no field {}", field.path)
        })
    }

    /// The values of one element.
    #[inline]
    fn tuple<'a>(
        &self,
        value: impl Fn(&Field) -> Option<&'a str>,
        strings: &mut Interner,
    ) -> Result<Option<Tuple>, String> {
        let mut tuple = Tuple::new();
        for field in &self.fields {
            let Some(json) = value(field) else { return Ok(None) };
            tuple.push(scalar(json, &field.path, strings)?);
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

/// Reads a string or an integer.
pub(in crate::record) fn scalar(json: &str, path: &FieldPath, strings: &mut Interner) -> Result<Scalar, String> {
    if json.starts_with('"') {
        return text(json, path, strings).map(Scalar::Str);
    }
    let integer = json.parse().map(Scalar::Int).ok().or_else(|| json.parse().map(Scalar::UInt).ok());
    integer.ok_or_else(|| wrong(path, "a string or an integer of 64 bits", json))
}
