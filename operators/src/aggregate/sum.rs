//! Exact sums.

use serde::{Deserialize, Serialize};

use super::accumulator::Accumulator;

/// A sum of integers of 128 bits, each added less than 2^63 times: it never overflows, so that no order of additions and
/// retractions shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sum {
    /// The sum is `high` times 2^128, and `low`.
    high: i64,
    low: u128,
}

impl Sum {
    /// The sum, if it fits.
    pub fn value(&self) -> Option<i128> {
        let low = self.low as i128;
        (self.high == low.signum().min(0) as i64).then_some(low)
    }

    /// The sum divided by a positive number, rounded to the nearest integer, and if two are as near, to the even one.
    ///
    /// `None` if that does not fit, or if the number is not positive.
    pub fn divided_by(&self, count: i64) -> Option<i128> {
        let count = u128::try_from(count).ok().filter(|count| *count > 0)?;
        let (is_negative, high, low) = self.magnitude();
        // By halves of 64 bits: the rest of each is less than the count, which is less than 2^63.
        let mut rest = u128::from(high) % count;
        if u128::from(high) / count != 0 {
            return None;
        }
        let mut quotient = 0u128;
        for half in [low >> 64, low & u128::from(u64::MAX)] {
            let value = (rest << 64) | half;
            quotient = (quotient << 64) | (value / count);
            rest = value % count;
        }
        let twice = rest * 2;
        if twice > count || (twice == count && quotient & 1 == 1) {
            quotient = quotient.checked_add(1)?;
        }
        let value = i128::try_from(quotient).ok()?;
        Some(if is_negative { -value } else { value })
    }

    /// Whether it is negative; and without its sign, how often it holds 2^128, and the rest.
    pub fn magnitude(&self) -> (bool, u64, u128) {
        if self.high >= 0 {
            return (false, self.high as u64, self.low);
        }
        let (low, carry) = (!self.low).overflowing_add(1);
        (true, (!self.high as u64).wrapping_add(u64::from(carry)), low)
    }

    fn plus(&mut self, high: i64, low: u128) {
        let (sum, carry) = self.low.overflowing_add(low);
        self.low = sum;
        self.high = self.high.wrapping_add(high).wrapping_add(i64::from(carry));
    }
}

/// The product of an integer and a number of times, as a [`Sum`] keeps it.
fn product(value: i128, times: i64) -> Sum {
    if let Some(product) = value.checked_mul(i128::from(times)) {
        return Sum { high: product.signum().min(0) as i64, low: product as u128 };
    }
    // In two steps of 64 bits each, without signs.
    let (magnitude, times_magnitude) = (value.unsigned_abs(), u128::from(times.unsigned_abs()));
    let low = (magnitude & u128::from(u64::MAX)) * times_magnitude;
    let high = (magnitude >> 64) * times_magnitude + (low >> 64);
    let mut sum = Sum { high: (high >> 64) as i64, low: (high << 64) | (low & u128::from(u64::MAX)) };
    if (value < 0) != (times < 0) {
        let (low, carry) = (!sum.low).overflowing_add(1);
        sum = Sum { high: (!sum.high).wrapping_add(i64::from(carry)), low };
    }
    sum
}

impl Accumulator for Sum {
    type Input = i128;

    fn add(&mut self, input: i128, times: i64) {
        let Sum { high, low } = product(input, times);
        self.plus(high, low);
    }

    fn merge(&mut self, other: Self) {
        self.plus(other.high, other.low);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[(i128, i64)]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|(value, times)| sum.add(*value, *times));
        sum
    }

    #[test]
    fn a_sum_beyond_its_range_comes_back() {
        let beyond = [(i128::MAX, 3), (i128::MIN, -2)];
        assert_eq!(sum(&beyond).value(), None);
        assert_eq!(sum(&[beyond[0], beyond[1], (i128::MAX, -3), (i128::MIN, 2), (7, 1)]).value(), Some(7));
        assert_eq!(sum(&[(i128::MAX, i64::MAX), (i128::MAX, -i64::MAX)]), Sum::default());
        assert_eq!(sum(&[(i128::MIN, i64::MAX), (i128::MIN, -i64::MAX)]), Sum::default());
        assert_eq!(sum(&[(i128::MIN, 1)]).value(), Some(i128::MIN));
        assert_eq!(sum(&[(i128::MAX, 3)]).divided_by(3), Some(i128::MAX));
        assert_eq!(sum(&[(i128::MIN + 1, 5)]).divided_by(5), Some(i128::MIN + 1));
        assert_eq!(sum(&[(i128::MAX, 3)]).divided_by(1), None);
    }

    #[test]
    fn a_quotient_is_rounded_to_the_nearest_and_then_to_the_even_one() {
        let quotients = [(5, 2), (7, 2), (-5, 2), (-7, 2), (2, 3), (-1, 3), (0, 9), (1, 2), (3, 2)];
        let found = quotients.map(|(value, count)| sum(&[(value, 1)]).divided_by(count));
        assert_eq!(found, [2, 4, -2, -4, 1, 0, 0, 0, 2].map(Some));
        assert_eq!((sum(&[(1, 1)]).divided_by(0), sum(&[(1, 1)]).divided_by(-1)), (None, None));
    }

    proptest! {
        #[test]
        fn small_sums_are_those_of_integers(values in prop::collection::vec((any::<i64>(), -1000..1000i64), 0..20), count in 1..i64::MAX) {
            let expected: i128 = values.iter().map(|(value, times)| i128::from(*value) * i128::from(*times)).sum();
            let values: Vec<_> = values.into_iter().map(|(value, times)| (value.into(), times)).collect();
            prop_assert_eq!(sum(&values).value(), Some(expected));
            let quotient = sum(&values).divided_by(count).unwrap();
            let count = i128::from(count);
            prop_assert!((expected - quotient * count).abs() * 2 <= count);
        }

        #[test]
        fn merging_is_adding(a in prop::collection::vec((any::<i128>(), any::<i32>()), 0..9), b in prop::collection::vec((any::<i128>(), any::<i32>()), 0..9)) {
            let wide = |values: Vec<(i128, i32)>| values.into_iter().map(|(v, n)| (v, n.into())).collect::<Vec<_>>();
            let (a, b) = (wide(a), wide(b));
            let mut merged = sum(&b);
            merged.merge(sum(&a));
            prop_assert_eq!(merged, sum(&[a.clone(), b.clone()].concat()));
            let back: Vec<_> = [a, b].concat().into_iter().map(|(v, n)| (v, -n)).collect();
            merged.merge(sum(&back));
            prop_assert_eq!(merged, Sum::default());
        }
    }
}
