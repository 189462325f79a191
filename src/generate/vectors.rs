//! Embedding vectors.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::draw::{Draw, Stream};

/// Makes vectors of length 1. Those of a type and label lie close together, all others about at right angles, so that
/// a search for neighbours finds something.
pub(super) struct Vectors {
    seed: u64,
    dims: usize,
    noise: Draw,
    centres: HashMap<(&'static str, &'static str), Vec<i64>>,
    sum: Vec<i64>,
}

/// A component of a centre is at most this, and that of the noise around it at most half.
const CENTRE: i64 = 1 << 16;

impl Vectors {
    pub(super) fn new(seed: u64, dims: usize, noise: Draw) -> Self {
        Vectors { seed, dims, noise, centres: HashMap::new(), sum: vec![0; dims] }
    }

    /// Appends a vector as a JSON array of numbers with four decimals.
    pub(super) fn write(&mut self, kind: &'static str, label: &'static str, line: &mut Vec<u8>) {
        let (seed, dims) = (self.seed, self.dims);
        let centre = self.centres.entry((kind, label)).or_insert_with(|| {
            let hash = xxh3_64(kind.as_bytes()) ^ xxh3_64(label.as_bytes()).rotate_left(1);
            let mut draw = Draw::new(seed, Stream::Centre(hash));
            (0..dims).map(|_| draw.below_ns(2 * CENTRE) - CENTRE).collect()
        });
        for (sum, centre) in self.sum.iter_mut().zip(centre) {
            *sum = *centre + self.noise.below_ns(CENTRE) - CENTRE / 2;
        }
        let squares: i64 = self.sum.iter().map(|value| value * value).sum();
        let length = (squares.max(1) as f64).sqrt();
        line.push(b'[');
        for (index, value) in self.sum.iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            write_ten_thousandths((*value as f64 / length * 10_000.0) as i64, line);
        }
        line.push(b']');
    }
}

fn write_ten_thousandths(value: i64, line: &mut Vec<u8>) {
    if value < 0 {
        line.push(b'-');
    }
    let value = value.unsigned_abs();
    line.push(b'0' + (value / 10_000) as u8);
    line.push(b'.');
    line.extend([1_000, 100, 10, 1].map(|unit| b'0' + (value / unit % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(vectors: &mut Vectors, label: &'static str) -> Vec<f64> {
        let mut line = Vec::new();
        vectors.write("SCENE_SEARCH", label, &mut line);
        serde_json::from_slice(&line).unwrap()
    }

    fn product(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_same_label_lies_close_and_another_does_not() {
        let mut vectors = Vectors::new(1, 128, Draw::new(1, Stream::Noise));
        let (a, b) = (vector(&mut vectors, "kitchen"), vector(&mut vectors, "kitchen"));
        let other = vector(&mut vectors, "street");
        assert_eq!(a.len(), 128);
        assert_ne!(a, b);
        assert!((product(&a, &a) - 1.0).abs() < 0.02);
        assert!(product(&a, &b) > 0.7 && product(&a, &other).abs() < 0.3);
    }

    #[test]
    fn a_single_dimension_is_a_sign() {
        let mut vectors = Vectors::new(1, 1, Draw::new(1, Stream::Noise));
        assert!((0..100).all(|_| vector(&mut vectors, "kitchen")[0].abs() == 1.0));
    }
}
