//! Taking what a path leads to out of JSON text, without parsing the rest of it. Paths may fan out.

use std::borrow::Cow;

use super::path::{FieldPath, Segment};

/// Calls `each` with the JSON text of every value that `path` leads to in `json`, in order; with nothing, if it leads nowhere.
pub fn select<'a>(json: &'a str, path: &FieldPath, mut each: impl FnMut(&'a str)) {
    select_segments(json, path.segments(), &mut each);
}

/// The same for any part of a path; without a step it leads to `json` itself.
pub(super) fn select_segments<'a>(json: &'a str, segments: &[Segment], each: &mut impl FnMut(&'a str)) {
    match segments {
        [] => each(json),
        [Segment::Name(name), rest @ ..] => {
            if let Some(json) = member(json, name) {
                select_segments(json, rest, each);
            }
        }
        [Segment::Each, rest @ ..] => {
            if json.trim_ascii_start().starts_with('[') {
                for element in sonic_rs::to_array_iter(json).map_while(Result::ok) {
                    if let Cow::Borrowed(raw) = element.as_raw_cow() {
                        select_segments(raw, rest, each);
                    }
                }
            }
        }
    }
}

/// A member of an object, or an element of an array.
pub(super) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let found = match json.trim_ascii_start().as_bytes().first()? {
        b'{' => sonic_rs::get(json, [name]),
        b'[' => sonic_rs::get(json, [index(name)?]),
        _ => return None,
    };
    match found.ok()?.as_raw_cow() {
        Cow::Borrowed(raw) => Some(raw),
        Cow::Owned(_) => None,
    }
}

/// A name as the place of an element, as RFC 6901 has it: decimal, without leading zeros.
pub(super) fn index(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| canonical)
}

/// The text of a JSON string. `None` if it is none, or if an escape in it stands for no character.
pub fn unescape(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str::<String>(json).ok().map(Into::into) } else { Some(inner.into()) }
}
