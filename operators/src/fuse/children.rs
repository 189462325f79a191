//! The children of a document.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Index;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The children of a [`Moment`](super::Moment), in their order: places in a pool, which all documents share that one epoch
/// makes of one key.
///
/// Neighbouring documents have most of their children in common. As places they take four bytes each and no counter is
/// touched for them; and whoever renders documents can render a pool's annotations once. The lists of places of many
/// documents stand on one sheet, so a document costs no allocation. Compared, hashed and serialised as the list that they
/// stand for.
pub struct Children<C> {
    sheet: Arc<Sheet<C>>,
    from: u32,
    to: u32,
}

/// Lists of children, one after the other, as places in a pool.
pub(super) struct Sheet<C> {
    pub pool: Arc<[C]>,
    pub places: Box<[u32]>,
}

impl<C> Children<C> {
    /// Those whose places stand at `from..to` of a sheet.
    pub(super) fn new(sheet: Arc<Sheet<C>>, from: u32, to: u32) -> Self {
        Children { sheet, from, to }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The children, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &C> {
        let pool = self.pool();
        self.places().iter().map(|place| &pool[*place as usize])
    }

    /// The annotations among which the children are; the same slice for documents that share them.
    pub fn pool(&self) -> &Arc<[C]> {
        &self.sheet.pool
    }

    /// Where in the pool the children are, in their order.
    pub fn places(&self) -> &[u32] {
        &self.sheet.places[self.from as usize..self.to as usize]
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.pool(), other.pool()) && self.places() == other.places()
    }
}

impl<C> Index<usize> for Children<C> {
    type Output = C;

    fn index(&self, at: usize) -> &C {
        &self.pool()[self.places()[at] as usize]
    }
}

impl<C> From<Vec<C>> for Children<C> {
    fn from(children: Vec<C>) -> Self {
        let to = u32::try_from(children.len()).expect("a document has fewer than 2^32 children");
        Children { sheet: Arc::new(Sheet { pool: children.into(), places: (0..to).collect() }), from: 0, to }
    }
}

impl<C> FromIterator<C> for Children<C> {
    fn from_iter<I: IntoIterator<Item = C>>(children: I) -> Self {
        Vec::from_iter(children).into()
    }
}

impl<C> Clone for Children<C> {
    fn clone(&self) -> Self {
        Children { sheet: self.sheet.clone(), from: self.from, to: self.to }
    }
}

impl<C: fmt::Debug> fmt::Debug for Children<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<C: Ord> Ord for Children<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) { Ordering::Equal } else { self.iter().cmp(other.iter()) }
    }
}

impl<C: PartialOrd> PartialOrd for Children<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other.iter())
    }
}

impl<C: PartialEq> PartialEq for Children<C> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.iter().eq(other.iter())
    }
}

impl<C: Eq> Eq for Children<C> {}

impl<C: Hash> Hash for Children<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|child| child.hash(state));
    }
}

impl<C: Serialize> Serialize for Children<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Children<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stand_for_the_list_of_what_is_there() {
        let pool: Arc<[&str]> = ["a", "b", "c", "b"].into();
        let sheet = Arc::new(Sheet { pool: pool.clone(), places: [0, 2, 1, 3].into() });
        let children = |from, to| Children::new(sheet.clone(), from, to);
        let (first, second) = (children(0, 2), children(2, 3));
        assert_eq!((first.len(), first[1], second.iter().collect::<Vec<_>>()), (2, "c", vec![&"b"]));
        assert_eq!(first, Children::from(vec!["a", "c"]), "by content, whatever the pool");
        assert_eq!(second, children(3, 4));
        assert!(first < second && children(1, 1) < first && children(1, 1).is_empty());
        let text = serde_json::to_string(&first).unwrap();
        let owned: Children<String> = serde_json::from_str(&text).unwrap();
        assert_eq!((&*text, owned.len(), &*owned[1]), (r#"["a","c"]"#, 2, "c"), "as a list");
    }
}
