//! Which of several indexes the row of a key is in: a function of the key, so that a row never leaves its index.

use xxhash_rust::xxh3::xxh3_64;

use crate::pipeline::index_name::{Bucket, IndexName, Unit};
use crate::pipeline::layout::Layout;
use crate::record::Row;

/// Says which index a row is in.
pub(super) struct Routes {
    name: IndexName,
    by: By,
}

enum By {
    Hash(u64),
    /// The start of a moment.
    Start(Unit),
    /// A field of the key, by its place in it.
    Field(Unit, usize),
}

impl Routes {
    /// Those of a sink that writes several indexes; an error says why its rows can not be divided so.
    pub fn of(name: &IndexName, layout: &Layout) -> Result<Option<Self>, String> {
        let bucket_text = name.bucket_text();
        let by = match (name.bucket(), layout) {
            (None, _) => return Ok(None),
            (Some(Bucket::Hash(count)), _) => By::Hash(u64::from(*count)),
            (Some(Bucket::Time(unit, None)), Layout::Moments(_)) => By::Start(*unit),
            (Some(Bucket::Time(_, Some(_))), Layout::Moments(_)) => {
                return Err(format!("moments are divided by their start: {bucket_text} can not name a field"));
            }
            (Some(Bucket::Time(_, None)), Layout::Rows { .. }) => {
                return Err(format!("{bucket_text} must name the field of the key that holds the time: {{day:/time}}"));
            }
            (Some(Bucket::Time(unit, Some(path))), Layout::Rows { key }) => {
                let Some(place) = key.iter().position(|field| field == path) else {
                    return Err(format!(
                        "the index of a row follows from its key, and {path} is not in the key: when it changes, the row would be \
                         in two indexes; add it to the key, or divide by {{hash:8}}"
                    ));
                };
                By::Field(*unit, place)
            }
        };
        Ok(Some(Routes { name: name.clone(), by }))
    }

    /// The index of a row, or why it has none. `key` is the row key.
    pub fn index(&self, row: &Row, key: &str) -> Result<String, String> {
        let bucket = match (&self.by, row) {
            (By::Hash(count), _) => (xxh3_64(key.as_bytes()) % count).to_string(),
            (By::Start(unit), Row::Moment(fused)) => unit.name(fused.moment.interval.start_ns()),
            (By::Start(_), _) => return Err("it is no moment".to_owned()),
            (By::Field(unit, place), _) => unit.name(time(key, *place)?),
        };
        Ok(self.name.with(&bucket))
    }
}

/// The time in a field of a key: an integer in nanoseconds since 1970 or an RFC 3339 time.
fn time(key: &str, place: usize) -> Result<i64, String> {
    let fields: Vec<serde_json::Value> = serde_json::from_str(key).map_err(|error| error.to_string())?;
    let field = fields.get(place).unwrap_or(&serde_json::Value::Null);
    let parsed = || i64::try_from(field.as_str()?.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok();
    field.as_i64().or_else(parsed).ok_or_else(|| {
        format!("its index follows from its time, and {field} is neither nanoseconds since 1970 nor an RFC 3339 time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FieldPath;
    use crate::sink::testing::row;

    fn rows(key: &[&str]) -> Layout {
        Layout::Rows { key: key.iter().map(|path| FieldPath::literal(path)).collect() }
    }

    fn routes(name: &str, layout: &Layout) -> Result<Option<Routes>, String> {
        Routes::of(&name.parse().unwrap(), layout)
    }

    #[test]
    fn a_hash_spreads_keys_and_is_always_the_same() {
        let routes = routes("m-{hash:4}", &rows(&["/id"])).unwrap().unwrap();
        let index = |n: u32| routes.index(&row("x", "{}"), &format!("[\"k{n}\"]")).unwrap();
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        (0..1_000).for_each(|n| *counts.entry(index(n)).or_default() += 1);
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["m-0", "m-1", "m-2", "m-3"]);
        assert!(counts.values().all(|count| *count > 200), "{counts:?}");
        assert_eq!([index(0), index(1), index(2)].map(|name| name[2..].to_owned()), HASHED);
    }

    /// Of `["k0"]`, `["k1"]` and `["k2"]`: if it changes, every index must be filled anew.
    const HASHED: [&str; 3] = ["0", "2", "0"];

    #[test]
    fn a_time_of_the_key_decides_in_either_form() {
        let routes = routes("m-{day:/at}", &rows(&["/id", "/at"])).unwrap().unwrap();
        let index = |key: &str| routes.index(&row("x", "{}"), key);
        assert_eq!(index("[\"a\",1769889600000000000]").unwrap(), "m-2026-01-31");
        assert_eq!(index("[\"a\",\"2026-01-31T23:59:59-05:00\"]").unwrap(), "m-2026-02-01");
        assert!(index("[\"a\",\"soon\"]").unwrap_err().contains("\"soon\" is neither"));
    }

    #[test]
    fn what_is_not_in_the_key_decides_nothing() {
        let refused = |name: &str| routes(name, &rows(&["/id"])).err().unwrap();
        assert!(refused("m-{day:/at}").contains("/at is not in the key"));
        assert!(refused("m-{day}").contains("must name the field"));
        assert!(routes("m", &rows(&[])).unwrap().is_none());
    }
}
