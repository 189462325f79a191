//! The keys of records, as they are written.

use std::cmp::Ordering;
use std::fmt;

use flowstone_operators::route::Route;

use super::{COMPOSITE, CodecError, Input};
use crate::record::scalar::{Key, ScalarRef, route_of_parts, write_key};

/// The key of a record: one value or several. Equal keys are equal bytes; ordered like [`Key`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRef<'a>(&'a [u8]);

const CHECKED: &str = "a key's bytes were checked when its record was made";

impl<'a> KeyRef<'a> {
    /// Of bytes that were checked, or written here.
    pub(in crate::record) fn of(bytes: &'a [u8]) -> Self {
        KeyRef(bytes)
    }

    /// The values of the key, in order.
    pub fn parts(self) -> impl Iterator<Item = ScalarRef<'a>> + Clone {
        let mut input = Input::new(self.0);
        let mut left = 1;
        if self.is_composite() {
            input.byte().expect(CHECKED);
            left = input.count().expect(CHECKED);
        }
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            Some(input.scalar().expect(CHECKED))
        })
    }

    /// The same as something of its own.
    pub fn to_key(self) -> Key {
        let mut parts = self.parts().map(Into::into);
        if self.is_composite() {
            return Key::Composite(parts.collect());
        }
        Key::One(parts.next().expect(CHECKED))
    }

    /// Appends the key as a compact JSON array, which is the row key in every sink: `["a7",4000000000]`.
    pub fn write_json(self, out: &mut Vec<u8>) {
        write_key(self.parts(), out);
    }

    fn is_composite(self) -> bool {
        self.0.first() == Some(&COMPOSITE)
    }
}

/// A key of one value routes like that value.
impl Route for KeyRef<'_> {
    fn route(&self) -> u64 {
        if self.is_composite() {
            return route_of_parts(self.parts());
        }
        self.parts().next().expect(CHECKED).route()
    }
}

impl Ord for KeyRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.is_composite().cmp(&other.is_composite()).then_with(|| self.parts().cmp(other.parts()))
    }
}

impl PartialOrd for KeyRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_key().fmt(f)
    }
}

/// Whether the bytes are the key of a record.
///
/// # Errors
/// [`CodecError`], whatever the bytes are.
pub(in crate::record) fn check_key(bytes: &[u8]) -> Result<(), CodecError> {
    let mut input = Input::new(bytes);
    let mut count = 1;
    if bytes.first() == Some(&COMPOSITE) {
        input.byte()?;
        count = input.count()?;
    }
    for _ in 0..count {
        input.scalar()?;
    }
    input.end()
}
