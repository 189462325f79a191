//! Values of the fields that somebody named, as they are found in a payload.

use std::borrow::Cow;

use crate::record::extract::{ExtractError, FieldId, Fields, Member, PathTree};
use crate::record::packed::MAX_PAYLOAD_BYTES;
use crate::record::pieces::Slice;
use crate::record::scalar::ScalarRef;
use crate::record::select::unescape;

/// The fields that somebody named, and where they are in the payload at hand.
#[derive(Debug)]
pub(super) struct NamedFields {
    tree: PathTree,
    fields: Fields,
}

impl NamedFields {
    pub(super) fn new(tree: PathTree) -> Self {
        NamedFields { tree, fields: Fields::default() }
    }

    /// Finds them in a payload that comes from outside.
    pub(super) fn walk<'a>(&mut self, payload: &'a [u8]) -> Result<&'a str, String> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(format!("record of {} bytes is longer than {MAX_PAYLOAD_BYTES}", payload.len()));
        }
        self.walk_again(payload).map_err(|e| e.to_string())
    }

    /// Finds them in a payload that was found to be good before.
    pub(super) fn walk_again<'a>(&mut self, payload: &'a [u8]) -> Result<&'a str, ExtractError> {
        self.tree.walk(payload, &mut self.fields)
    }

    pub(super) fn get(&self, field: FieldId) -> Option<Slice> {
        self.fields.get(field)
    }

    /// The path of a field.
    pub(super) fn path(&self, field: FieldId) -> impl std::fmt::Display {
        self.tree.path(field)
    }

    pub(super) fn members(&self) -> &[Member] {
        self.fields.members()
    }

    /// Whether there is something else than `null`.
    pub(super) fn is_there(&self, payload: &str, field: FieldId) -> bool {
        self.get(field).is_some_and(|slice| slice.of(payload.as_bytes()) != b"null")
    }

    pub(super) fn value<'a>(&self, payload: &'a str, field: FieldId) -> Result<&'a str, String> {
        let slice = self.fields.get(field).ok_or_else(|| format!("no field {}", self.tree.path(field)))?;
        Ok(&payload[slice.start as usize..slice.end as usize])
    }

    pub(super) fn wrong(&self, field: FieldId, expected: &str, found: &str) -> String {
        let found: String = found.chars().take(60).collect();
        format!("field {} is not {expected}: {found}", self.tree.path(field))
    }

    pub(super) fn scalar<'a>(&self, payload: &'a str, field: FieldId) -> Result<Found<'a>, String> {
        if let Some(text) = self.fields.plain_text(field) {
            return Ok(Found::Text(payload[text.start as usize..text.end as usize].into()));
        }
        let raw = self.value(payload, field)?;
        if raw.starts_with('"') {
            return unescape(raw).map(Found::Text).ok_or_else(|| self.wrong(field, "a valid string", raw));
        }
        let integer = raw.parse().map(ScalarRef::Int).ok().or_else(|| raw.parse().map(ScalarRef::UInt).ok());
        integer.map(Found::Integer).ok_or_else(|| self.wrong(field, "a string or an integer of 64 bits", raw))
    }

    /// An integer as it is, a time in nanoseconds since 1970.
    pub(super) fn integer_or_time(&self, payload: &str, field: FieldId, expected: &str) -> Result<i64, String> {
        let raw = self.value(payload, field)?;
        let wrong = || self.wrong(field, expected, raw);
        if !raw.starts_with('"') {
            return raw.parse().map_err(|_| wrong());
        }
        let text = unescape(raw).ok_or_else(wrong)?;
        let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
        i64::try_from(time.as_nanosecond()).map_err(|_| wrong())
    }

    pub(super) fn time_ns(&self, payload: &str, field: FieldId) -> Result<i64, String> {
        let raw = self.value(payload, field)?;
        let time_ns = short_integer(raw).or_else(|| raw.parse().ok());
        time_ns.ok_or_else(|| self.wrong(field, "a time in integer nanoseconds", raw))
    }

    /// A whole number that is not negative.
    pub(super) fn unsigned(&self, payload: &str, field: FieldId, expected: &str) -> Result<u64, String> {
        let raw = self.value(payload, field)?;
        raw.parse().map_err(|_| self.wrong(field, expected, raw))
    }

    /// A text without escapes in it.
    pub(super) fn word<'a>(&self, payload: &'a str, field: FieldId) -> Result<Option<&'a str>, String> {
        let raw = self.value(payload, field)?;
        Ok(raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')))
    }
}

/// An integer of up to 18 digits, which nothing needs to be checked of but these: most times are.
fn short_integer(text: &str) -> Option<i64> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (value, are_digits) = digits.iter().fold((0i64, true), |(value, are_digits), digit| {
        let digit = digit.wrapping_sub(b'0');
        (value.wrapping_mul(10).wrapping_add(i64::from(digit)), are_digits & (digit < 10))
    });
    are_digits.then_some(value)
}

/// A value that was found in a payload.
pub(super) enum Found<'a> {
    Text(Cow<'a, str>),
    Integer(ScalarRef<'static>),
}

impl Found<'_> {
    pub(super) fn as_ref(&self) -> ScalarRef<'_> {
        match self {
            Found::Text(text) => ScalarRef::Str(text),
            Found::Integer(integer) => *integer,
        }
    }
}
