//! Exact decimal numbers.

use flowstone_operators::aggregate::Sum;
use serde::{Deserialize, Serialize};

/// A number in units of 10^-18: exact, so that sums depend on no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Decimal(i128);

/// So many digits after the point.
const DIGITS: u32 = 18;
const ONE: i128 = 10i128.pow(DIGITS);

/// As many digits as surely fit.
const SAFE_DIGITS: usize = 18;

impl Decimal {
    /// Of so many units of 10^-18.
    pub fn of_units(units: i128) -> Self {
        Decimal(units)
    }

    /// In units of 10^-18.
    pub fn units(self) -> i128 {
        self.0
    }

    /// Reads a JSON number. Digits beyond the 18th after the point are rounded, to the even neighbour if there are two.
    /// `None` if it is as large as 1.7 * 10^20, or no number.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if !digits.is_empty() && digits.len() <= SAFE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit()) {
            let value = digits.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            let value = i128::from(value) * ONE;
            return Some(Decimal(if is_negative { -value } else { value }));
        }
        let (mantissa, exponent) = match digits.find(['e', 'E']) {
            Some(at) => (&digits[..at], exponent(&digits[at + 1..])?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let shift = exponent.saturating_add(i64::from(DIGITS)).saturating_sub(fraction.len() as i64);
        let magnitude = shifted(whole.bytes().chain(fraction.bytes()), whole.len() + fraction.len(), shift)?;
        Some(Decimal(if is_negative { -magnitude } else { magnitude }))
    }

    /// Appends it as a JSON number, without digits that say nothing.
    pub fn write_json(self, out: &mut Vec<u8>) {
        write(self.0 < 0, 0, self.0.unsigned_abs(), out);
    }
}

/// Appends a sum of decimals, in their units, as a JSON number.
pub fn write_sum(sum: &Sum, out: &mut Vec<u8>) {
    let (is_negative, high, low) = sum.magnitude();
    write(is_negative, high, low, out);
}

/// Appends `high` times 2^128, and `low`, units.
fn write(is_negative: bool, high: u64, low: u128, out: &mut Vec<u8>) {
    let mut limbs = [high, (low >> 64) as u64, low as u64];
    // In groups of as many digits as there are after the point; the last ones first.
    let mut groups = [0u64; 4];
    for group in &mut groups {
        let mut rest = 0u128;
        for limb in &mut limbs {
            let value = (rest << 64) | u128::from(*limb);
            *limb = (value / ONE as u128) as u64;
            rest = value % ONE as u128;
        }
        *group = rest as u64;
    }
    if is_negative {
        out.push(b'-');
    }
    let [fraction, whole @ ..] = groups;
    let first = whole.iter().rposition(|group| *group > 0).unwrap_or(0);
    out.extend_from_slice(itoa::Buffer::new().format(whole[first]).as_bytes());
    whole[..first].iter().rev().for_each(|group| padded(*group, out));
    if fraction > 0 {
        out.push(b'.');
        padded(fraction, out);
        let zeros = out.iter().rev().take_while(|digit| **digit == b'0').count();
        out.truncate(out.len() - zeros);
    }
}

fn padded(group: u64, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(group).as_bytes();
    out.extend(std::iter::repeat_n(b'0', DIGITS as usize - text.len()));
    out.extend_from_slice(text);
}

/// An exponent, as large as it need be.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// The number with these digits, times ten to the power of `shift`.
fn shifted(digits: impl Iterator<Item = u8>, count: usize, shift: i64) -> Option<i128> {
    // What stays, and the first digit that goes.
    let kept = i64::try_from(count).ok()?.saturating_add(shift.min(0));
    let (mut value, mut first_gone, mut others_gone) = (0i128, 0, false);
    for (digit, at) in digits.map(|digit| digit - b'0').zip(0i64..) {
        if at < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if at == kept {
            first_gone = digit;
        } else {
            others_gone |= digit != 0;
        }
    }
    if kept >= 0 && (first_gone > 5 || (first_gone == 5 && (others_gone || value & 1 == 1))) {
        value = value.checked_add(1)?;
    }
    if value == 0 || shift <= 0 {
        return Some(value);
    }
    value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)
}

#[cfg(test)]
mod tests {
    use flowstone_operators::aggregate::Accumulator;

    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut out = Vec::new();
        Decimal::parse(text)?.write_json(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_number_is_read_exactly_and_written_without_idle_digits() {
        let same = ["0", "1", "-1", "12.5", "0.000000000000000001", "-0.1", "9007199254740993", "18446744073709551615"];
        same.into_iter().for_each(|text| assert_eq!(read(text).as_deref(), Some(text)));
        let others = [
            ("-0", "0"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("1.5E+2", "150"),
            ("25e-1", "2.5"),
            ("1E-18", "0.000000000000000001"),
            ("0e99999999999999999999", "0"),
            ("1e-99999999999999999999", "0"),
            ("170141183460469231731.687303715884105727", "170141183460469231731.687303715884105727"),
            ("0.00000000000000000000000000000000000000001e30", "0.00000000001"),
        ];
        others.into_iter().for_each(|(text, written)| assert_eq!(read(text).as_deref(), Some(written), "{text}"));
    }

    #[test]
    fn what_is_too_large_or_no_number_is_refused() {
        let bad = [
            "170141183460469231731.687303715884105728",
            "1e21",
            "-1e300",
            "1e99999999999999999999",
            "",
            "-",
            "x",
            "1.x",
            "e5",
            ".5",
            "1e",
            "1e+",
        ];
        bad.into_iter().for_each(|text| assert_eq!(read(text), None, "{text}"));
    }

    #[test]
    fn digits_beyond_the_18th_are_rounded_to_the_nearest_and_then_to_the_even_one() {
        let unit = |text: &str| Decimal::parse(text).unwrap().units();
        assert_eq!(
            [unit("15e-19"), unit("25e-19"), unit("25.1e-19"), unit("-15e-19"), unit("5e-19"), unit("51e-20")],
            [2, 2, 3, -2, 0, 1]
        );
        assert_eq!([unit("4e-19"), unit("9e-19"), unit("9e-20"), unit("0.9999999999999999999")], [0, 1, 0, ONE]);
    }

    #[test]
    fn a_sum_may_be_larger_than_any_of_its_numbers() {
        let mut sum = Sum::default();
        sum.add(Decimal::parse("-100000000000000000000.25").unwrap().units(), i64::MAX);
        let mut out = Vec::new();
        write_sum(&sum, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "-922337203685477580702305843009213693951.75");
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(units: i128) {
            proptest::prop_assume!(units > i128::MIN);
            let mut out = Vec::new();
            Decimal(units).write_json(&mut out);
            proptest::prop_assert_eq!(Decimal::parse(std::str::from_utf8(&out).unwrap()), Some(Decimal(units)));
        }
    }
}
