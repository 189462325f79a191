//! Times of a medium, as people write them.

use crate::pipeline::units::Span;

const SECOND_NS: i64 = 1_000_000_000;

/// Reads `HH:MM:SS`, `MM:SS`, each with up to nine decimals, or a duration with its unit (`90s`); in ns.
///
/// # Errors
/// If it is neither, or does not fit 63 bits.
pub fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("expected a time such as 00:01:30, 01:30.500 or 90s, not {text:?}");
    if text == "0" {
        return Ok(0);
    }
    if !text.contains(':') {
        let zero = text.strip_prefix('0').is_some_and(|unit| format!("1{unit}").parse::<Span>().is_ok());
        return if zero { Ok(0) } else { text.parse::<Span>().map(|span| span.nanos()).map_err(|_| wrong()) };
    }
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = clock.split(':').collect();
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(|part| digits(part)) {
        return Err(wrong());
    }
    let fraction_ns = match fraction {
        None => 0,
        Some(fraction) if digits(fraction) && fraction.len() <= 9 => {
            format!("{fraction:0<9}").parse::<i64>().expect("nine digits")
        }
        Some(_) => return Err(wrong()),
    };
    let mut seconds: i64 = 0;
    for (n, part) in parts.iter().enumerate() {
        let value = part.parse::<i64>().ok().filter(|value| n == 0 || *value < 60).ok_or_else(wrong)?;
        seconds = seconds.checked_mul(60).and_then(|seconds| seconds.checked_add(value)).ok_or_else(wrong)?;
    }
    seconds.checked_mul(SECOND_NS).and_then(|ns| ns.checked_add(fraction_ns)).ok_or_else(wrong)
}

/// `HH:MM:SS.mmm`; what is below a millisecond is cut off.
pub fn format(time_ns: i64) -> String {
    let (seconds, below_ns) = (time_ns.div_euclid(SECOND_NS), time_ns.rem_euclid(SECOND_NS));
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, below_ns / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected_ns) in [
            ("00:01:00", 60 * SECOND_NS),
            ("1:30", 90 * SECOND_NS),
            ("100:00:00", 360_000 * SECOND_NS),
            ("00:00:01.5", SECOND_NS + 500_000_000),
            ("00:00.000000001", 1),
            ("90s", 90 * SECOND_NS),
            ("250ms", 250_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(expected_ns), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "90", "1:2:3:4", "00:60", "00:00:61", "-1s", "1:-2", "::", "00:01.0000000001", "9999999999999:00"]
        {
            assert!(parse(text).unwrap_err().contains("expected a time"), "{text:?}");
        }
    }

    #[test]
    fn timecodes_show_milliseconds() {
        assert_eq!(format(4 * SECOND_NS), "00:00:04.000");
        assert_eq!(format(3_723 * SECOND_NS + 45_999_999), "01:02:03.045");
        assert_eq!(format(360_000 * SECOND_NS), "100:00:00.000");
    }
}
