//! Values of columns: taken from a row and its document.

use scylla::value::{CqlValue, MaybeUnset};

use crate::pipeline::remote::CassandraType;
use crate::record::{FieldPath, Row, Scalar, select, unescape, write_string};

/// Where the value of a column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The row key, a JSON array.
    Key,
    /// The document.
    Document,
    Epoch,
    /// The asset of a moment: strings as they are, unless they could be taken for something else.
    Asset,
    /// The start of a moment, divided by so many nanoseconds.
    StartDividedBy(u64),
    /// A value of the document.
    Path {
        path: FieldPath,
        divide: u64,
    },
}

/// A value as it is bound; `Unset` leaves no mark where there is nothing to overwrite.
pub(super) type Cell = MaybeUnset<Option<CqlValue>>;

/// A row that is taken apart.
pub(super) struct Taken<'a> {
    pub row: &'a Row,
    pub key: &'a str,
    pub document: &'a str,
    pub epoch: i64,
}

impl Taken<'_> {
    /// The value of a column; `None` if there is none of its type.
    pub fn value(&self, source: &Source, kind: CassandraType) -> Option<CqlValue> {
        match source {
            Source::Key => Some(CqlValue::Text(self.key.to_owned())),
            Source::Document => Some(CqlValue::Text(self.document.to_owned())),
            Source::Epoch => Some(CqlValue::BigInt(self.epoch)),
            Source::Asset => self.moment().map(|(asset, _)| CqlValue::Text(asset_text(asset))),
            Source::StartDividedBy(ns) => self.moment().map(|(_, start)| CqlValue::BigInt(divided(start, *ns))),
            Source::Path { path, divide } => by_path(self.document, path, kind, *divide),
        }
    }

    fn moment(&self) -> Option<(&Scalar, i64)> {
        match self.row {
            Row::Moment(fused) => Some((&fused.moment.key, fused.moment.interval.start_ns())),
            _ => None,
        }
    }
}

/// An asset as text, different for different assets: integers as digits, strings as they are, and as JSON those that would
/// look like an integer or like JSON.
fn asset_text(asset: &Scalar) -> String {
    match asset.as_str() {
        Some(text) if text.starts_with('"') || text.parse::<i128>().is_ok() => {
            let mut json = Vec::new();
            write_string(text, &mut json);
            String::from_utf8(json).expect("JSON text")
        }
        Some(text) => text.to_owned(),
        None => asset.to_string(),
    }
}

fn divided(value: i64, by: u64) -> i64 {
    i64::try_from(i128::from(value).div_euclid(i128::from(by.max(1)))).expect("it only becomes smaller")
}

fn by_path(document: &str, path: &FieldPath, kind: CassandraType, divide: u64) -> Option<CqlValue> {
    if path.fans_out() {
        let mut all = "[".to_owned();
        select(document, path, |json| {
            if all.len() > 1 {
                all.push(',');
            }
            all.push_str(json);
        });
        all.push(']');
        return (kind == CassandraType::Text).then_some(CqlValue::Text(all));
    }
    let mut leaf = None;
    select(document, path, |json| leaf = Some(json));
    let json = leaf?.trim_ascii();
    match kind {
        _ if json == "null" => None,
        CassandraType::Text => Some(CqlValue::Text(unescape(json).map_or_else(|| json.to_owned(), Into::into))),
        CassandraType::Bigint => json.parse().ok().map(|value| CqlValue::BigInt(divided(value, divide))),
        CassandraType::Double => json.parse().ok().map(CqlValue::Double),
        CassandraType::Boolean => json.parse().ok().map(CqlValue::Boolean),
    }
}

/// About how many bytes a value takes.
pub(super) fn bytes(cell: &Cell) -> usize {
    match cell {
        MaybeUnset::Set(Some(CqlValue::Text(text))) => text.len(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::row;

    const DOCUMENT: &str =
        r#"{"ids":{"a":"x\ny"},"n":-9007199254740993,"ratio":0.25,"yes":true,"none":null,"list":[{"l":1},{"l":"b"}]}"#;

    fn value(path: &str, kind: CassandraType, divide: u64) -> Option<CqlValue> {
        let row = row("k", DOCUMENT);
        let taken = Taken { row: &row, key: "[\"k\"]", document: DOCUMENT, epoch: 7 };
        taken.value(&Source::Path { path: FieldPath::literal(path), divide }, kind)
    }

    #[test]
    fn values_have_the_type_of_their_column_or_are_not_there() {
        use CassandraType::{Bigint, Boolean, Double, Text};
        assert_eq!(value("/ids/a", Text, 1), Some(CqlValue::Text("x\ny".to_owned())));
        assert_eq!(value("/ids", Text, 1), Some(CqlValue::Text(r#"{"a":"x\ny"}"#.to_owned())));
        assert_eq!(value("/n", Bigint, 1), Some(CqlValue::BigInt(-9_007_199_254_740_993)), "exact");
        assert_eq!(value("/n", Bigint, 1_000), Some(CqlValue::BigInt(-9_007_199_254_741)), "rounded down");
        assert_eq!(value("/ratio", Double, 1), Some(CqlValue::Double(0.25)));
        assert_eq!(value("/yes", Boolean, 1), Some(CqlValue::Boolean(true)));
        assert_eq!(value("/list/*/l", Text, 1), Some(CqlValue::Text(r#"[1,"b"]"#.to_owned())));
        for (path, kind) in
            [("/none", Text), ("/missing", Text), ("/ratio", Bigint), ("/ids/a", Bigint), ("/n", Boolean)]
        {
            assert_eq!(value(path, kind, 1), None, "{path}");
        }
    }

    #[test]
    fn assets_of_different_types_stay_different() {
        let texts =
            [Scalar::from("a7"), Scalar::from("7"), Scalar::from(7), Scalar::from("\"7\"")].map(|a| asset_text(&a));
        assert_eq!(texts, ["a7", "\"7\"", "7", "\"\\\"7\\\"\""]);
    }
}
