//! Names of indexes: one for all rows, or several, of which the key of a row decides.

use std::fmt::Write;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::record::FieldPath;

/// More indexes than this would keep a cluster busy with themselves.
const MOST_BY_HASH: u32 = 256;

/// A name such as `moments`, `moments-{day}` or `moments-{hash:8}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexName {
    before: String,
    bucket: Option<(Bucket, String)>,
    after: String,
}

/// What decides of the index that a row is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// The hash (xxh3) of the row key, modulo this.
    Hash(u32),
    /// The time of the row, in UTC: a field of its key, or the start of a moment.
    Time(Unit, Option<FieldPath>),
}

/// How long the time is that one index has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `2026-01-31-20`
    Hour,
    /// `2026-01-31`
    Day,
    /// `2026-01`
    Month,
    /// `2026`
    Year,
}

impl FromStr for IndexName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            let name = IndexName { before: text.to_owned(), bucket: None, after: String::new() };
            return if text.contains('}') { Err(format!("{text:?} has a }} without a {{")) } else { Ok(name) };
        };
        let Some((bucket, after)) = rest.split_once('}') else {
            return Err(format!("{text:?} has a {{ without a }}"));
        };
        if after.contains(['{', '}']) {
            return Err(format!("{text:?} has more than one part in braces"));
        }
        let bucket = (bucket.parse()?, format!("{{{bucket}}}"));
        Ok(IndexName { before: before.to_owned(), bucket: Some(bucket), after: after.to_owned() })
    }
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, of) = text.split_once(':').map_or((text, None), |(kind, of)| (kind, Some(of)));
        let unit = match kind {
            "hash" => {
                let count = of.and_then(|of| of.parse().ok()).filter(|count| (2..=MOST_BY_HASH).contains(count));
                return count.map(Bucket::Hash).ok_or_else(|| {
                    format!("{{{text}}} needs a number of indexes from 2 to {MOST_BY_HASH}, such as {{hash:8}}")
                });
            }
            "hour" => Unit::Hour,
            "day" => Unit::Day,
            "month" => Unit::Month,
            "year" => Unit::Year,
            _ => {
                return Err(format!(
                    "{{{text}}} is not known; there are {{hash:8}}, {{hour}}, {{day}}, {{month}} and {{year}}, and {{day:/time}} \
                     for a field of the key"
                ));
            }
        };
        Ok(Bucket::Time(unit, of.map(str::parse).transpose()?))
    }
}

impl IndexName {
    /// What decides of the index; `None` if there is only one.
    pub fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref().map(|(bucket, _)| bucket)
    }

    /// The same as it was written, with braces.
    pub fn bucket_text(&self) -> &str {
        self.bucket.as_ref().map_or("", |(_, text)| text)
    }

    /// The index with this in the place of the braces.
    pub fn with(&self, bucket: &str) -> String {
        format!("{}{bucket}{}", self.before, self.after)
    }

    /// The index that there is in any case: the only one, or the one that the others are remembered in.
    pub fn head(&self) -> String {
        self.with(if self.bucket.is_some() { "meta" } else { "" })
    }

    /// What all of them, and maybe others, are called.
    pub fn pattern(&self) -> String {
        self.with(if self.bucket.is_some() { "*" } else { "" })
    }

    /// Whether this could be one of several, by whatever they are divided.
    pub fn may_be(&self, index: &str) -> bool {
        let middle = index.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(&self.after));
        self.bucket.is_some()
            && middle.is_some_and(|middle| {
                middle.starts_with(|c: char| c.is_ascii_digit())
                    && middle.chars().all(|c| c.is_ascii_digit() || c == '-')
            })
    }
}

impl Unit {
    /// The name of what a time is in.
    pub fn name(self, time_ns: i64) -> String {
        let time = Timestamp::from_nanosecond(time_ns.into()).expect("64 bits of nanoseconds are some centuries");
        let time = time.to_zoned(TimeZone::UTC);
        let mut name = format!("{:04}", time.year());
        let parts = [(Unit::Month, time.month()), (Unit::Day, time.day()), (Unit::Hour, time.hour())];
        for (_, part) in parts.into_iter().take(self.parts()) {
            write!(name, "-{part:02}").expect("a text takes everything");
        }
        name
    }

    fn parts(self) -> usize {
        match self {
            Unit::Year => 0,
            Unit::Month => 1,
            Unit::Day => 2,
            Unit::Hour => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> IndexName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_without_braces_is_one_index() {
        let plain = name("moments");
        assert_eq!((plain.bucket(), plain.head().as_str(), plain.pattern().as_str()), (None, "moments", "moments"));
        assert!(!plain.may_be("moments"));
    }

    #[test]
    fn a_name_with_braces_is_several_indexes_and_the_one_that_knows_them() {
        let hashed = name("moments-{hash:8}-v1");
        assert_eq!(hashed.bucket(), Some(&Bucket::Hash(8)));
        assert_eq!(
            (hashed.with("3"), hashed.head(), hashed.pattern(), hashed.bucket_text()),
            ("moments-3-v1".to_owned(), "moments-meta-v1".to_owned(), "moments-*-v1".to_owned(), "{hash:8}")
        );
        assert!(hashed.may_be("moments-12-v1") && hashed.may_be("moments-2026-01-v1"));
        assert!(!hashed.may_be(&hashed.head()) && !hashed.may_be("moments-old-v1") && !hashed.may_be("moments-3"));
        let path = FieldPath::literal("/at/time");
        assert_eq!(name("x-{month:/at/time}").bucket(), Some(&Bucket::Time(Unit::Month, Some(path))));
    }

    #[test]
    fn times_are_named_in_utc() {
        let time_ns = 1_769_889_600_000_000_000 - 1;
        let names = [Unit::Year, Unit::Month, Unit::Day, Unit::Hour].map(|unit| unit.name(time_ns));
        assert_eq!(names, ["2026", "2026-01", "2026-01-31", "2026-01-31-19"]);
        assert_eq!(Unit::Hour.name(0), "1970-01-01-00");
        assert_eq!(Unit::Day.name(i64::MAX), "2262-04-11");
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_there_is() {
        for (text, expected) in [
            ("m-{hash}", "such as {hash:8}"),
            ("m-{hash:1}", "from 2 to 256"),
            ("m-{hash:1000}", "from 2 to 256"),
            ("m-{week}", "{hour}, {day}, {month} and {year}"),
            ("m-{day:time}", "starts with '/'"),
            ("m-{day", "without a }"),
            ("m-day}", "without a {"),
            ("m-{day}-{hour}", "more than one"),
        ] {
            let error = text.parse::<IndexName>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
