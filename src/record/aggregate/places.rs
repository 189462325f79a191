//! The fields that an `aggregate` reads of a document, found by walking through it once.

use super::value::wrong;
use crate::record::FieldPath;
use crate::record::extract::{ExtractError, FieldId, Fields, PathTree};
use crate::record::path::Segment;
use crate::record::select::select_segments;

/// The fields that are read, and where they are in the document at hand.
#[derive(Debug, Default)]
pub(super) struct Places {
    tree: PathTree,
    fields: Fields,
    places: Vec<Place>,
}

/// A field of [`Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceId(usize);

#[derive(Debug)]
struct Place {
    path: FieldPath,
    /// What stands before the first `*`; nothing if the path begins with it, which leads nowhere in an object.
    field: Option<FieldId>,
    /// The path from there on.
    rest: Vec<Segment>,
}

impl Places {
    /// Adds a field; the same path has one place.
    pub(super) fn add(&mut self, path: &FieldPath) -> PlaceId {
        if let Some(known) = self.places.iter().position(|place| place.path == *path) {
            return PlaceId(known);
        }
        let segments = path.segments();
        let stem = segments.iter().position(|segment| *segment == Segment::Each).unwrap_or(segments.len());
        let field = FieldPath::of_segments(&segments[..stem]).map(|stem| self.tree.add(&stem));
        self.places.push(Place { path: path.clone(), field, rest: segments[stem..].to_vec() });
        PlaceId(self.places.len() - 1)
    }

    /// Finds the fields in a document; returns it as text.
    ///
    /// # Errors
    /// If it is no JSON object, or has one of the fields twice.
    pub(super) fn find<'a>(&mut self, document: &'a [u8]) -> Result<&'a str, ExtractError> {
        self.tree.walk(document, &mut self.fields)
    }

    /// Whether a field may have several values.
    pub(super) fn fans_out(&self, at: PlaceId) -> bool {
        !self.places[at.0].rest.is_empty()
    }

    /// The path of a field.
    pub(super) fn path(&self, at: PlaceId) -> &FieldPath {
        &self.places[at.0].path
    }

    /// Calls `each` with the JSON text of every value that the field has, in order. `json` is the text that was found.
    #[inline]
    pub(super) fn each<'a>(&self, json: &'a str, at: PlaceId, mut each: impl FnMut(&'a str)) {
        let place = &self.places[at.0];
        let Some(slice) = place.field.and_then(|field| self.fields.get(field)) else { return };
        let found = &json[slice.start as usize..slice.end as usize];
        match place.rest.as_slice() {
            [] => each(found),
            rest => select_segments(found, rest, &mut |json| each(json.trim_ascii())),
        }
    }

    /// The value of a field that does not fan out; none if it is not there, or `null`.
    #[inline]
    pub(super) fn single<'a>(&self, json: &'a str, at: PlaceId) -> Option<&'a str> {
        let mut found = None;
        self.each(json, at, |json| found = Some(json));
        found.filter(|json| *json != "null")
    }

    /// Says that a value of a field is not what it has to be.
    pub(super) fn wrong(&self, at: PlaceId, expected: &str, found: &str) -> String {
        wrong(self.path(at), expected, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_of_a_field_is_found() {
        let mut places = Places::default();
        let paths = ["/a", "/b/*/c", "/b", "/b/1/c", "/*/c", "/z", "/n"];
        let ids = paths.map(|path| places.add(&FieldPath::literal(path)));
        assert_eq!(places.add(&FieldPath::literal("/b")), ids[2]);
        let json = places.find(br#" {"a" : 1 ,"b":[ {"c": "x" } , {"c":2},{}, 7 ],"n":null}"#).unwrap();
        let all = |at: usize| {
            let mut found = Vec::new();
            places.each(json, ids[at], |json| found.push(json));
            found
        };
        assert_eq!([all(0), all(1), all(3)], [vec!["1"], vec!["\"x\"", "2"], vec!["2"]]);
        assert!(all(2)[0].starts_with("[ {"));
        assert_eq!([all(4), all(5), all(6)], [vec![], vec![], vec!["null"]]);
        assert_eq!((places.single(json, ids[6]), places.single(json, ids[0])), (None, Some("1")));
    }
}
