//! Durations and sizes, written with their units.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in whole nanoseconds, written with its unit: `250ms`, `1s`, `10m`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    nanos: i64,
}

const SPAN_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Span {
    /// A span of so many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Span { nanos: millis * 1_000_000 }
    }

    /// Its length in nanoseconds; positive.
    pub fn nanos(&self) -> i64 {
        self.nanos
    }

    /// Twice as long, if that can be said.
    pub(super) fn twice(self) -> Self {
        Span { nanos: self.nanos.saturating_mul(2) }
    }

    /// The same for the standard library.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanos.unsigned_abs())
    }
}

/// A size in bytes, written with its unit: `64KiB`, `8MiB`, `1GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A whole number and one of `units`.
fn parse(text: &str, units: &[(&str, u64)], what: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let names = || units.iter().map(|u| u.0).collect::<Vec<_>>().join(", ");
    let scale = units.iter().find(|u| u.0 == unit.trim());
    match (number.parse::<u64>(), scale) {
        (Ok(number), Some((_, scale))) => number
            .checked_mul(*scale)
            .filter(|n| *n > 0 && *n <= i64::MAX as u64)
            .ok_or_else(|| format!("{what} must be more than zero and fit 63 bits, not {text:?}")),
        _ => Err(format!("expected {what}: a whole number and a unit ({}), not {text:?}", names())),
    }
}

fn print(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fitting = units.iter().filter(|u| value.is_multiple_of(u.1)).max_by_key(|u| u.1).copied();
    let (unit, scale) = fitting.unwrap_or(units[0]);
    write!(f, "{}{unit}", value / scale)
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let nanos = parse(text, &SPAN_UNITS, "a duration")?;
        Ok(Span { nanos: i64::try_from(nanos).expect("checked to fit 63 bits") })
    }
}

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &SIZE_UNITS, "a size").map(ByteSize)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.nanos.unsigned_abs(), &SPAN_UNITS, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &SIZE_UNITS, f)
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $pattern:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

as_text!(Span, "Span", "^[0-9]+ ?(ns|us|ms|s|m|h|d)$", "a duration with its unit: 250ms, 1s, 10m, 30d");
as_text!(ByteSize, "ByteSize", "^[0-9]+ ?(B|kB|MB|GB|KiB|MiB|GiB)$", "a size with its unit: 64KiB, 8MiB, 1GB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        for text in ["1ns", "250ms", "90s", "36h", "30d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("1000ms".parse::<Span>().unwrap().to_string(), "1s");
        assert_eq!("8MiB".parse::<ByteSize>().unwrap().to_string(), "8MiB");
        assert_eq!("5 kB".parse::<ByteSize>().unwrap(), ByteSize(5_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "1", "s", "-1s", "1.5s", "1 fortnight", "0s", "99999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
