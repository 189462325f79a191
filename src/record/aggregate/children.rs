//! The groups of fused documents, found child by child.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::record::fused::{Fused, child};
use crate::record::packed::Record;
use crate::record::scalar::Key;

/// Finds the groups of documents, one after another, whose fields of `by` are all fields of the same child.
///
/// Neighbouring documents have most of their children in common: each is rendered and read once, and no document is.
#[derive(Default)]
pub(super) struct OfChildren {
    /// The annotations that `known` is about, by their places, and by which facet they were fused.
    pool: Option<(Arc<[Record]>, u16)>,
    known: Vec<Option<Known>>,
    text: Vec<u8>,
}

/// What is read of a child: the key of its group, if it has all fields.
type Known = Result<Option<Key>, String>;

impl OfChildren {
    /// The keys of a document's groups, each once; `read` finds that of a child's text.
    pub(super) fn keys(
        &mut self,
        fused: &Fused,
        mut read: impl FnMut(&str) -> Known,
    ) -> Result<SmallVec<[Key; 1]>, String> {
        let children = &fused.moment.children;
        let pool = children.pool();
        if !self.pool.as_ref().is_some_and(|(known, facet)| Arc::ptr_eq(known, pool) && *facet == fused.facet) {
            self.pool = Some((pool.clone(), fused.facet));
            self.known.clear();
            self.known.resize(pool.len(), None);
        }
        let mut keys = SmallVec::new();
        for place in children.places() {
            let known = self.known[*place as usize].get_or_insert_with(|| {
                self.text.clear();
                child(pool[*place as usize].child(usize::from(fused.facet)), &mut self.text);
                read(std::str::from_utf8(&self.text).expect("decode has checked the encoding"))
            });
            keys.extend(known.clone()?);
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use flowstone_operators::fuse::{Children, Moment};
    use flowstone_operators::interval::Interval;

    use super::*;
    use crate::record::aggregate::{AggregateSpec, Contributor};
    use crate::record::fused::Fuser;
    use crate::record::packed::{FacetParts, Position, RecordWriter, State};
    use crate::record::pieces::{ChildPiece, Lead, Slice};
    use crate::record::scalar::ScalarRef;
    use crate::record::{FieldPath, Row};

    fn annotation(n: u32, fields: &str) -> Record {
        let payload = format!("{{\"id\":{n},{fields}}}").into_bytes();
        let slice = Slice { start: 1, end: payload.len() as u32 - 1 };
        let mut writer = RecordWriter::default();
        writer.key(None, &Key::One(i64::from(n).into()));
        writer.state(&State::at(Position { source: 0, partition: 0, offset: n.into() }), true);
        writer.body(0, payload.len(), 1);
        let (asset, interval) = (ScalarRef::Str("a7"), Interval::new(0, 1));
        let pieces = std::iter::once(ChildPiece::new(slice, Lead::None)).collect();
        writer.facets(FacetParts { asset, kind: "SCENE", interval, context: None, pieces });
        writer.payload(&payload);
        writer.finish()
    }

    /// What the row gives, and what it would give if its document were read.
    fn both(contributor: &mut Contributor, row: &Row) -> [Result<Vec<Key>, String>; 2] {
        let take = |contributor: &mut Contributor| {
            let mut keys = Vec::new();
            contributor.take(row, |key, _| keys.push(key.by)).map(|()| keys)
        };
        let found = take(contributor);
        contributor.read_documents();
        [found, take(contributor)]
    }

    #[test]
    fn the_children_of_a_document_tell_its_groups() {
        let fields = [
            r#""label":"b","x":1"#,
            r#""label":"a","x":2"#,
            r#""label":null,"x":1"#,
            r#""x":1"#,
            r#""label":"b","x":1"#,
            r#""label":"\u0061","x":2"#,
            r#""label":[],"x":1"#,
        ];
        let pool: Vec<Record> = fields.iter().zip(0..).map(|(fields, n)| annotation(n, fields)).collect();
        let path = |field: &str| (field.to_owned(), FieldPath::literal(&format!("/source_annotations/*/{field}")));
        for (by, groups) in [(vec![path("label")], 2), (vec![path("x"), path("label")], 2)] {
            let spec = AggregateSpec { by, window: None, compute: Vec::new(), ids: None };
            for shown in [&pool[..6], &pool[2..4], &pool[..], &pool[1..2]] {
                let moment = Moment {
                    key: "a7".into(),
                    interval: Interval::new(0, 1),
                    children: Children::from(shown.to_vec()),
                };
                let row = Row::Moment(Fuser::new(0).fused(moment));
                let [found, read] = both(&mut Contributor::new(&spec), &row);
                assert_eq!(found, read);
                assert!(shown.len() != 6 || found.unwrap().len() == groups);
            }
        }
    }
}
