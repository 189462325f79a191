//! What was found, and the check that finds it: the same wherever the moments come from.

use hashbrown::HashMap;

use super::Query;
use super::clause::Checked;
use crate::record::Scalar;
use crate::sink::tantivy::Annotation;

/// What was found: moments of assets, and the annotations that meet clauses in them.
#[derive(Default)]
pub(super) struct Found {
    /// The annotations that meet a clause.
    pub annotations: Vec<Met>,
    /// By asset, in any order.
    pub assets: HashMap<Scalar, Vec<FoundMoment>>,
}

/// An annotation that meets a clause.
pub(super) struct Met {
    pub annotation: Annotation,
    /// Which conditions it meets: the number of an `all` clause, then one for all `any` clauses, then those for vectors.
    pub conditions: Vec<usize>,
    /// For each vector, how similar its own is.
    pub similar: Vec<Option<f64>>,
    /// The first condition for a vector.
    pub first_near: usize,
}

impl Met {
    /// How sure it is that it meets a condition.
    pub fn sureness(&self, condition: usize) -> Option<f64> {
        match condition.checked_sub(self.first_near) {
            Some(near) => self.similar.get(near).copied().flatten(),
            None => self.annotation.confidence,
        }
    }
}

/// A moment in which every condition is met.
pub(super) struct FoundMoment {
    pub start_ns: i64,
    pub end_ns: i64,
    /// Indexes into [`Found::annotations`].
    pub met: Vec<usize>,
}

/// Checks annotations and moments against a query.
pub(super) struct Scan<'a> {
    pub query: &'a Query,
    /// The annotations found so far, by their bytes in the index: one may be in several moments, and in several segments.
    known: HashMap<Vec<u8>, usize>,
    pub found: Found,
}

impl<'a> Scan<'a> {
    pub fn new(query: &'a Query) -> Self {
        Scan { query, known: HashMap::new(), found: Found::default() }
    }

    /// The number of the annotation that is `bytes` in the index and that `read` makes of them, if it meets a clause.
    pub fn check<E>(&mut self, bytes: &[u8], read: impl FnOnce() -> Result<Annotation, E>) -> Result<Option<usize>, E> {
        self.check_similar(bytes, || read().map(|annotation| (annotation, Vec::new())))
    }

    /// The same, if it also says for each of [`Query::near`] how similar the annotation's vector is.
    pub fn check_similar<E>(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce() -> Result<(Annotation, Vec<Option<f64>>), E>,
    ) -> Result<Option<usize>, E> {
        if let Some(number) = self.known.get(bytes) {
            return Ok(Some(*number));
        }
        let (annotation, similar) = read()?;
        let checked = Checked::new(&annotation);
        if !checked.is_eligible(self.query) {
            return Ok(None);
        }
        let all = self.query.all.iter().enumerate().filter(|(_, clause)| checked.meets(clause, self.query));
        let mut conditions: Vec<usize> = all.map(|(number, _)| number).collect();
        if self.query.any.iter().any(|clause| checked.meets(clause, self.query)) {
            conditions.push(self.query.all.len());
        }
        let first_near = self.query.first_near();
        for (n, (near, similar)) in self.query.near.iter().zip(&similar).enumerate() {
            let is_kind = near.kind.as_ref().is_none_or(|kind| *kind == annotation.kind);
            let least = self.query.min_similarity.unwrap_or(0.0);
            if is_kind && similar.is_some_and(|similar| similar >= least) {
                conditions.push(first_near + n);
            }
        }
        if conditions.is_empty() {
            return Ok(None);
        }
        let number = self.found.annotations.len();
        self.found.annotations.push(Met { annotation, conditions, similar, first_near });
        self.known.insert(bytes.to_owned(), number);
        Ok(Some(number))
    }

    /// Whether annotations with these numbers meet all clauses together.
    pub fn meets_all(&self, met: &[usize]) -> bool {
        let meets = |condition| met.iter().any(|n| self.found.annotations[*n].conditions.contains(&condition));
        (0..self.query.conditions()).all(meets)
    }
}

/// A string or an integer.
pub(super) fn scalar(value: &serde_json::Value) -> Option<Scalar> {
    match value {
        serde_json::Value::String(text) => Some(Scalar::from(text.as_str())),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Scalar::Int).or_else(|| number.as_u64().map(Scalar::UInt))
        }
        _ => None,
    }
}
