//! Elements such as `-0.25`, 64 bytes at a time: a vector is mostly these, and going through it byte by byte is slow, because no
//! processor guesses where a sign is.

use wide::u8x64;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

/// What the bytes of a block are, a bit each.
struct Classes {
    digits: u64,
    zeros: u64,
    points: u64,
    signs: u64,
    commas: u64,
}

impl Classes {
    fn of(block: &[u8; BLOCK]) -> Self {
        let bytes = u8x64::new(*block);
        let places = |of: u8x64| of.to_bitmask();
        let equal = |byte: u8| places(bytes.simd_eq(u8x64::splat(byte)));
        let values = bytes - u8x64::splat(b'0');
        Classes {
            digits: places(values.simd_eq(values.min(u8x64::splat(9)))),
            zeros: equal(b'0'),
            points: equal(b'.'),
            signs: equal(b'-'),
            commas: equal(b','),
        }
    }

    /// Where something is that no plain number has. It is never behind the comma of the element that it spoils.
    fn wrong(&self) -> u64 {
        let Classes { digits, zeros, points, signs, commas } = *self;
        let begins = commas << 1 | 1;
        let first_digits = (begins & !signs) | (begins & signs) << 1;
        let after_points = points << 1;
        // Adding carries from the first digit behind a point past the last one.
        let after_fractions = digits.wrapping_add(after_points & digits) & !digits;
        let others = !(digits | points | signs | commas);
        others
            | signs & !begins
            | first_digits & !digits
            | (first_digits & zeros) << 1 & digits
            | (points | commas) & !(digits << 1)
            | after_points & !digits
            | after_fractions & points
    }
}

/// How many bytes the plain numbers take that a block begins with, each with the comma behind it and no space in it. Numbers
/// with an exponent, and everything else, end them.
pub(super) fn numbers(block: &[u8; BLOCK]) -> usize {
    let classes = Classes::of(block);
    let wrong = classes.wrong();
    let before_it = (wrong & wrong.wrapping_neg()).wrapping_sub(1);
    let commas = classes.commas & before_it;
    BLOCK - commas.leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    /// Of all elements up to five bytes long, before and behind one that is right: what is taken, another parser takes; and
    /// what it takes is taken, unless it has an exponent.
    #[test]
    fn plain_numbers_are_taken_exactly_if_another_parser_takes_them() {
        let alphabet = b"-.019,e \"";
        let mut taken = 0;
        for length in 0..=5_u32 {
            for n in 0..alphabet.len().pow(length) {
                let element: Vec<u8> =
                    (0..length).map(|at| alphabet[n / alphabet.len().pow(at) % alphabet.len()]).collect();
                let text = [b"-0.5,", &element[..], b",12.25,"].concat();
                let mut block = [0; BLOCK];
                block[..text.len()].copy_from_slice(&text);
                let passed = numbers(&block);
                let json = [b"[", &text[..text.len() - 1], b"]"].concat();
                let is_plain = element.iter().all(|byte| b"-.019,".contains(byte));
                let is_right = is_plain && serde_json::from_slice::<IgnoredAny>(&json).is_ok();
                assert_eq!(passed == text.len(), is_right, "{}", text.escape_ascii());
                let so_far = [b"[", &text[..passed - 1], b"]"].concat();
                assert!(serde_json::from_slice::<IgnoredAny>(&so_far).is_ok(), "{}", so_far.escape_ascii());
                taken += usize::from(is_right);
            }
        }
        assert!(taken > 900, "{taken}");
    }

    #[test]
    fn digits_are_told_from_all_other_bytes_wherever_they_are() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b'7'; BLOCK];
                block[place] = byte;
                let expected = if byte.is_ascii_digit() { u64::MAX } else { !(1 << place) };
                assert_eq!(Classes::of(&block).digits, expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn a_block_full_of_numbers_is_passed_up_to_its_last_comma() {
        let block: [u8; BLOCK] = std::array::from_fn(|at| b"0.5,"[at % 4]);
        assert_eq!(numbers(&block), BLOCK);
        let block: [u8; BLOCK] = std::array::from_fn(|at| b"-0.25,"[at % 6]);
        assert_eq!(numbers(&block), 60);
        assert_eq!(numbers(&[b'7'; BLOCK]), 0);
    }
}
