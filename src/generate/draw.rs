//! Random draws that are the same on every machine.
//!
//! Only ChaCha's output and IEEE-exact operations (`+ - * /` and `sqrt`) are used: `exp`, `ln` and `powf` differ between
//! platforms, and the samplers of general crates change with their versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// 2^53: every whole number up to here is exact as a float.
const PRECISION: u64 = 1 << 53;

/// What a sequence is for. Each has its own, so that one more draw here changes nothing there.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// What is in the asset at this position.
    Asset(usize),
    /// Which titles and assets there are.
    Catalogue,
    /// How vectors differ from their centre.
    Noise,
    /// A whole uniform archive.
    Uniform,
    /// What happens to the annotations of this batch of assets.
    Batch(usize),
    /// The centre of the vectors of a type and label with this hash.
    Centre(u64),
    /// Auctions and those who bid.
    Nexmark,
    /// Where they bid.
    Channels,
}

impl Stream {
    /// Positions of assets and batches are far below 2^40.
    fn number(self) -> u64 {
        match self {
            Stream::Asset(position) => position as u64,
            Stream::Catalogue => 1 << 40,
            Stream::Noise => 2 << 40,
            Stream::Uniform => 3 << 40,
            Stream::Batch(position) => (4 << 40) + position as u64,
            Stream::Centre(hash) => 1 << 63 | hash,
            Stream::Nexmark => 5 << 40,
            Stream::Channels => 6 << 40,
        }
    }
}

/// A random sequence: one of 2^64 streams of a seed.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
}

impl Draw {
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream.number());
        Draw { rng }
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.rng.next_u64()) * u128::from(bound);
        (scaled >> 64) as u64
    }

    /// The same for time spans, which are never negative.
    pub(crate) fn below_ns(&mut self, bound_ns: i64) -> i64 {
        self.below(bound_ns.max(0).unsigned_abs()).cast_signed()
    }

    /// An index below `len`, which is more than 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A number from 0 to just below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.below(PRECISION) as f64 / PRECISION as f64
    }

    /// True in this share of all cases; always for shares of 1 and more.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A number whose mean is `mean`, of which the fraction decides by chance.
    pub(super) fn round(&mut self, mean: f64) -> u64 {
        mean as u64 + u64::from(self.chance(mean - (mean as u64) as f64))
    }

    /// A log-normal length (sigma 0.6) with this mean.
    pub(super) fn length_ns(&mut self, mean_ns: i64) -> i64 {
        let step = self.index(LOG_NORMAL.len() - 1);
        let (low, high) = (LOG_NORMAL[step], LOG_NORMAL[step + 1]);
        let micros = low * 1_000 + self.below_ns((high - low) * 1_000);
        scale(mean_ns, micros, 1_000_000)
    }
}

/// Quantiles of the log-normal distribution with sigma 0.6, at 0.002, 1/32, 2/32 … 31/32, 0.998: in thousandths of its mean.
const LOG_NORMAL: [i64; 33] = [
    147, 270, 329, 375, 414, 451, 485, 518, 551, 584, 616, 649, 682, 716, 752, 788, 826, 866, 908, 952, 1000, 1052,
    1108, 1169, 1238, 1316, 1407, 1514, 1647, 1822, 2074, 2526, 4645,
];

/// `value * numerator / denominator`, without overflow on the way; saturates.
pub(super) fn scale(value: i64, numerator: i64, denominator: i64) -> i64 {
    let exact = i128::from(value) * i128::from(numerator) / i128::from(denominator);
    i64::try_from(exact).unwrap_or(i64::MAX)
}

/// How a whole is divided: the item of rank `r` (from 1) has a share in proportion to `1 / r^skew`.
pub(crate) struct Shares {
    /// The sum of all shares up to and including each, in units of 2^-53.
    cumulative: Vec<u64>,
}

impl Shares {
    pub(crate) fn zipf(items: u64, skew: f64) -> Self {
        let weights: Vec<f64> = (1..=items).map(|rank| 1.0 / power(rank as f64, skew)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let mut cumulative: Vec<u64> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                (sum / total * PRECISION as f64) as u64
            })
            .collect();
        if let Some(last) = cumulative.last_mut() {
            *last = PRECISION;
        }
        Shares { cumulative }
    }

    /// An item by its share.
    pub(crate) fn draw(&self, draw: &mut Draw) -> usize {
        let at = draw.below(PRECISION);
        self.cumulative.partition_point(|end| *end <= at)
    }

    /// How many of `total` each item gets; together exactly `total`.
    pub(super) fn split(&self, total: u64) -> impl Iterator<Item = u64> {
        let mut given = 0;
        self.cumulative.iter().map(move |end| {
            let until = (u128::from(total) * u128::from(*end) / u128::from(PRECISION)) as u64;
            until - std::mem::replace(&mut given, until)
        })
    }
}

/// `base` to a power that is not negative: whole steps by multiplication, the fraction by repeated square roots.
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    let whole = exponent as u32;
    let mut result = (0..whole).fold(1.0, |product, _| product * base);
    let (mut fraction, mut root) = (exponent - f64::from(whole), base);
    for _ in 0..40 {
        fraction *= 2.0;
        root = root.sqrt();
        if fraction >= 1.0 {
            fraction -= 1.0;
            result *= root;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_is_pinned() {
        let mut draw = Draw::new(1, Stream::Asset(2));
        let first: Vec<u64> = (0..4).map(|_| draw.below(1_000_000)).collect();
        assert_eq!(first, [376_157, 109_845, 406_452, 261_846]);
        assert_ne!(Draw::new(1, Stream::Asset(3)).below(1_000_000), first[0]);
    }

    #[test]
    fn powers_without_the_platforms_mathematics() {
        for (base, exponent) in [(2.0, 0.0), (2.0, 1.0), (9.0, 0.5), (200.0, 1.2), (7.0, 2.75)] {
            let expected = f64::powf(base, exponent);
            assert!((power(base, exponent) / expected - 1.0).abs() < 1e-9, "{base}^{exponent}");
        }
    }

    #[test]
    fn lengths_have_the_mean_that_was_asked_for() {
        let mut draw = Draw::new(1, Stream::Asset(0));
        let lengths: Vec<i64> = (0..100_000).map(|_| draw.length_ns(3_000_000_000)).collect();
        let mean = lengths.iter().sum::<i64>() / 100_000;
        assert!((2_950_000_000..3_050_000_000).contains(&mean), "{mean}");
        assert!(lengths.iter().all(|length| *length > 0));
    }

    #[test]
    fn shares_add_up_and_skew_bends_them() {
        for (items, skew) in [(1, 0.0), (7, 0.0), (200, 1.0), (1_000, 3.5)] {
            assert_eq!(Shares::zipf(items, skew).split(999_983).sum::<u64>(), 999_983);
        }
        assert!(Shares::zipf(4, 0.0).split(400).all(|share| share == 100));
        let skewed: Vec<u64> = Shares::zipf(3, 1.0).split(11_000).collect();
        assert_eq!(skewed, [6_000, 3_000, 2_000]);
    }

    #[test]
    fn chances_hold_at_their_ends() {
        let mut draw = Draw::new(1, Stream::Asset(0));
        assert!((0..1_000).all(|_| !draw.chance(0.0) && draw.chance(1.0)));
        let mean = (0..10_000).map(|_| draw.round(2.25)).sum::<u64>() as f64 / 10_000.0;
        assert!((mean - 2.25).abs() < 0.02, "{mean}");
    }
}
