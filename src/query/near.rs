//! What is asked by example: annotations whose vectors are close to a given one.

use super::Query;
use super::found::Found;
use crate::pipeline::remote::Metric;

/// An annotation that is close to a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// Its type; `None` is any.
    pub kind: Option<String>,
    /// The vector.
    pub vector: Vec<f32>,
}

impl Near {
    /// How alike the vectors are, from 0 to 1, as the server's scores say it; `None` if they can not be compared.
    pub fn similarity(&self, other: &[f32], metric: Metric) -> Option<f64> {
        if self.vector.len() != other.len() {
            return None;
        }
        let pairs = || self.vector.iter().zip(other).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let similarity = match metric {
            Metric::Cosine => {
                let product: f64 = pairs().map(|(a, b)| a * b).sum();
                let (a, b) = pairs().fold((0.0, 0.0), |(a, b), (x, y)| (a + x * x, b + y * y));
                (1.0 + product / (a * b).sqrt()) / 2.0
            }
            Metric::Euclidean => 1.0 / (1.0 + pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>()),
        };
        similarity.is_finite().then_some(similarity)
    }
}

/// Of all annotations that are close to a vector keeps the nearest ones, and the moments that then still meet all conditions.
pub(super) fn keep_nearest(query: &Query, found: &mut Found) {
    let Some(nearest) = query.nearest.filter(|_| !query.near.is_empty()) else { return };
    for condition in query.first_near()..query.conditions() {
        let mut close: Vec<(f64, usize)> = Vec::new();
        for (number, met) in found.annotations.iter().enumerate() {
            close.extend(met.sureness(condition).filter(|_| met.conditions.contains(&condition)).map(|s| (s, number)));
        }
        let key = |number: usize| &found.annotations[number].annotation.key;
        close.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| key(a.1).cmp(key(b.1))));
        for (_, number) in close.into_iter().skip(nearest) {
            found.annotations[number].conditions.retain(|other| *other != condition);
        }
    }
    let annotations = &found.annotations;
    for moments in found.assets.values_mut() {
        for moment in &mut *moments {
            moment.met.retain(|number| !annotations[*number].conditions.is_empty());
        }
        let meets = |met: &[usize], condition| met.iter().any(|n| annotations[*n].conditions.contains(&condition));
        moments.retain(|moment| (0..query.conditions()).all(|condition| meets(&moment.met, condition)));
    }
    found.assets.retain(|_, moments| !moments.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarities_are_those_of_the_server() {
        let near = Near { kind: None, vector: vec![1.0, 0.0] };
        let of = |other: &[f32], metric| near.similarity(other, metric);
        assert_eq!(of(&[2.0, 0.0], Metric::Cosine), Some(1.0));
        assert_eq!(of(&[0.0, 3.0], Metric::Cosine), Some(0.5));
        assert_eq!(of(&[-1.0, 0.0], Metric::Cosine), Some(0.0));
        assert_eq!(of(&[1.0, 0.0], Metric::Euclidean), Some(1.0));
        assert_eq!(of(&[1.0, 2.0], Metric::Euclidean), Some(0.2));
        assert_eq!(of(&[0.0, 0.0], Metric::Cosine), None, "it has no direction");
        assert_eq!(of(&[1.0], Metric::Cosine), None);
    }
}
